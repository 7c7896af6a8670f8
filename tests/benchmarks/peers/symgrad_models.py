"""symgrad: models by the layers of `sg.nn`, trained by a `Trainer`."""

# What symgrad imports when it first compiles: its memory is that of imports.
import numba  # noqa: F401
import sympy  # noqa: F401

import symgrad as sg

from ..models import LOSSES, trainable
from ..workloads import LEARNING_RATE
from . import Task, as_arrays


class Layers:
    """The layers that the networks are made of."""

    relu, gelu, tanh = (
        staticmethod(sg.relu),
        staticmethod(sg.gelu),
        staticmethod(sg.tanh),
    )
    mse, cross_entropy = staticmethod(sg.nn.mse), staticmethod(sg.nn.cross_entropy)

    def __init__(self, arrays):
        learning = trainable(arrays)
        self.parameters = {
            name: sg.param(name, a.shape, init=a, trainable=name in learning)
            for name, a in arrays.items()
            if name not in ("x", "y")
        }
        self.parameter = self.parameters.__getitem__

    def linear(self, x, name):
        W = self.parameter(f"{name}/W")
        if f"{name}/A" in self.parameters:
            W = W + self.parameter(f"{name}/A") @ self.parameter(f"{name}/B")
        return x @ W + self.parameter(f"{name}/b")

    def norm(self, x, name):
        y = sg.nn.layer_norm(x, scale=False, bias=False)
        return y * self.parameter(f"{name}/scale") + self.parameter(f"{name}/bias")

    def embedding(self, ids, name):
        return sg.take(self.parameter(f"{name}/table"), ids, axis=0)

    def conv(self, x, name):
        y = sg.conv2d(x, self.parameter(f"{name}/W"), padding="same")
        return y + self.parameter(f"{name}/b")[:, None, None]

    def lstm(self, x, name):
        W, U, b = (self.parameter(f"{name}/{part}") for part in "WUb")
        size = U.shape[0]

        def step(state, x):
            h, c = state
            z = x @ W + h @ U + b
            i, f, g, o = (z[:, k * size : (k + 1) * size] for k in range(4))
            c = sg.sigmoid(f) * c + sg.sigmoid(i) * sg.tanh(g)
            h = sg.sigmoid(o) * sg.tanh(c)
            return (h, c), h

        start = sg.zeros((x.shape[1], size))
        return sg.scan(step, (start, start), x)[1]

    def pool(self, x):
        return sg.max_pool(x, 2)

    def spatial_mean(self, x):
        return sg.mean(x, axis=(2, 3))

    def heads(self, x, count):
        *lead, width = x.shape
        return sg.permute_dims(x.reshape((*lead, count, width // count)), (0, 2, 1, 3))

    def joined(self, x):
        batch, count, time, width = x.shape
        return sg.permute_dims(x, (0, 2, 1, 3)).reshape((batch, time, count * width))

    def causal_attention(self, q, k, v):
        return sg.nn.attention(q, k, v, causal=True)


def _task(model):
    def task(arrays):
        inputs = [sg.input(n, arrays[n].shape, arrays[n].dtype) for n in "xy"]
        loss = LOSSES[model](Layers(arrays), *inputs)
        trainer = sg.Trainer(loss, sg.optim.SGD(LEARNING_RATE))
        x, y = arrays["x"], arrays["y"]

        def read(loss):
            return as_arrays([loss, *(trainer.params[n] for n in trainable(arrays))])

        return Task(lambda: trainer.step(x=x, y=y), read)

    return task


block, characters, cnn, deep, memory = map(_task, LOSSES)
