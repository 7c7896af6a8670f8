"""PyTorch eager: models by its own layers' functions, updated in place."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name its users know

from ..models import LOSSES, trainable
from ..workloads import LEARNING_RATE
from . import Task, torch_peer


class Layers:
    """The layers that the networks are made of."""

    relu, gelu, tanh, mse = F.relu, F.gelu, torch.tanh, F.mse_loss
    relu, gelu, tanh, mse = map(staticmethod, (relu, gelu, tanh, mse))

    def __init__(self, parameters):
        self.parameters = parameters
        self.parameter = parameters.__getitem__

    def linear(self, x, name):
        y = F.linear(x, self.parameter(f"{name}/W").T, self.parameter(f"{name}/b"))
        if f"{name}/A" in self.parameters:
            y = y + x @ self.parameter(f"{name}/A") @ self.parameter(f"{name}/B")
        return y

    def norm(self, x, name):
        scale = self.parameter(f"{name}/scale")
        return F.layer_norm(x, scale.shape, scale, self.parameter(f"{name}/bias"))

    def embedding(self, ids, name):
        return F.embedding(ids, self.parameter(f"{name}/table"))

    def conv(self, x, name):
        W, b = self.parameter(f"{name}/W"), self.parameter(f"{name}/b")
        return F.conv2d(x, W, b, padding=1)

    @torch.compiler.disable  # as it does by default with nn.LSTM
    def lstm(self, x, name):
        W, U, b = (self.parameter(f"{name}/{part}") for part in "WUb")
        start = x.new_zeros(1, x.shape[1], U.shape[0])
        weights = [W.T, U.T, b, torch.zeros_like(b)]
        ys, _, _ = torch.lstm(
            x, (start, start), weights, True, 1, 0.0, True, False, False
        )
        return ys

    def pool(self, x):
        return F.max_pool2d(x, 2)

    def spatial_mean(self, x):
        return x.mean((2, 3))

    def heads(self, x, count):
        return x.reshape(*x.shape[:2], count, -1).transpose(1, 2)

    def joined(self, x):
        return x.transpose(1, 2).flatten(2)

    def causal_attention(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def cross_entropy(self, z, labels):
        return F.cross_entropy(z.flatten(0, -2), labels.flatten())


def _task(model):
    def task(arrays):
        names = trainable(arrays)
        tensors = {
            n: torch.tensor(a, requires_grad=n in names) for n, a in arrays.items()
        }
        x, y = tensors.pop("x"), tensors.pop("y")
        learning = [tensors[n] for n in names]
        layers = Layers(tensors)
        loss_of = torch_peer.compiled(lambda x, y: LOSSES[model](layers, x, y))

        def run():
            loss = loss_of(x, y)
            slopes = torch.autograd.grad(loss, learning)
            with torch.no_grad():
                torch._foreach_add_(learning, slopes, alpha=-LEARNING_RATE)
            return loss

        def read(loss):
            return [t.detach().numpy() for t in (loss, *learning)]

        return Task(run, read)

    return task


block, characters, cnn, deep, memory = map(_task, LOSSES)
