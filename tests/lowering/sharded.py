"""A training step on a mesh of CPU devices; run as a process of its own.

``python -m tests.lowering.sharded`` takes all devices of one process;
``… ADDRESS COUNT NUMBER`` is process NUMBER of COUNT.
"""

import sys

import jax
import numpy as np

import symgrad as sg
from symgrad.declare.tensor import Param, topological


def dense(x):
    """Return a layer's output."""
    return sg.tanh(x @ sg.param("w1", (5, 8)))


def recurrent(x):
    """Return the last state of a memory to which each number is an element."""
    return sg.nn.lstm(x.reshape(x.shape[0], 5, 1), 8)[1][0]


def model(layer):
    """Return a step of training that is compiled for JAX, and its start."""
    x, y = sg.input("x", ("batch", 5)), sg.input("y", ("batch",), dtype="int64")
    z = sg.log_softmax(layer(x) @ sg.param("w2", (8, 3)))
    loss = -sg.mean(sg.sum(z * sg.one_hot(y, 3), axis=-1))
    params = [t for t in topological([loss]) if isinstance(t.op, Param)]
    updates = sg.optim.Adam(0.05).updates(params, sg.grad(loss, params)).values
    step = sg.compile([x, y], loss, updates=updates, backend="jax")
    return step, sg.init([loss, *updates.values()])


def main(*where: str) -> None:
    """Train on one device and on the mesh; compare."""
    if where:
        address, count, number = where[0], int(where[1]), int(where[2])
        jax.distributed.initialize(address, count, number)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 5)).astype("f"), rng.integers(0, 3, 16)
    mesh = jax.make_mesh(
        (jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    rows = jax.NamedSharding(mesh, jax.P("data"))
    everywhere = jax.NamedSharding(mesh, jax.P())

    def placed(array, sharding):
        with jax.enable_x64(True):  # labels stay int64
            return jax.make_array_from_callback(
                array.shape, sharding, lambda index: array[index]
            )

    split = placed(x, rows), placed(y, rows)
    for layer in (dense, recurrent):
        alone, start = model(layer)
        alone.bind({name: a.copy() for name, a in start.items()})
        wanted = [float(alone(x, y)) for _ in range(5)]
        step, start = model(layer)
        step.bind({name: placed(a, everywhere) for name, a in start.items()})
        found = [float(step(*split)) for _ in range(5)]
        np.testing.assert_allclose(found, wanted, rtol=2e-5)
        assert found[-1] < found[0]
    print("same", jax.process_count(), jax.device_count(), jax.local_device_count())


if __name__ == "__main__":
    main(*sys.argv[1:])
