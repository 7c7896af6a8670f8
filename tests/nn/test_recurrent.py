"""LSTM and GRU against PyTorch's, and what their programs consist of."""

import numpy as np
import pytest

import symgrad as sg

RNG = np.random.default_rng(11)
TIME, BATCH, INPUTS, WIDTH = 7, 3, 5, 4


def torch_run(kind, x, starts, params, reverse):
    """Return outputs, last states and gradients of PyTorch's layer."""
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, kind)(INPUTS, WIDTH, batch_first=True).double()
    gates = 4 if kind == "LSTM" else 3
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.tensor(params["W"].T))
        module.weight_hh_l0.copy_(torch.tensor(params["U"].T))
        module.bias_ih_l0.copy_(torch.tensor(params["b"]))
        module.bias_hh_l0.zero_()
        if kind == "GRU":
            module.bias_hh_l0[2 * WIDTH :] = torch.tensor(params["d"])
    assert module.weight_hh_l0.shape == (gates * WIDTH, WIDTH)
    inputs = [torch.tensor(v, requires_grad=True) for v in (x, *starts)]
    given = inputs[0].flip(1) if reverse else inputs[0]
    state = tuple(v[None] for v in inputs[1:])
    ys, last = module(given, state if kind == "LSTM" else state[0])
    last = last if kind == "LSTM" else (last,)
    loss = (ys**2).sum() + sum((k + 1) * v.sin().sum() for k, v in enumerate(last))
    loss.backward()
    ys = ys.flip(1) if reverse else ys
    grads = {
        "W": module.weight_ih_l0.grad.T,
        "U": module.weight_hh_l0.grad.T,
        "b": module.bias_ih_l0.grad,
    }
    if kind == "GRU":
        grads["d"] = module.bias_hh_l0.grad[2 * WIDTH :]
    outputs = [ys, *(v[0] for v in last)]
    return [v.detach().numpy() for v in outputs], grads, [v.grad for v in inputs]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_values_and_gradients_are_pytorchs(kind, reverse):
    x = sg.input("x", ("batch", "time", INPUTS), "float64")
    count = 2 if kind == "LSTM" else 1
    starts = [sg.input(f"s{n}", ("batch", WIDTH), "float64") for n in range(count)]
    make = sg.nn.lstm if kind == "LSTM" else sg.nn.gru
    initial = tuple(starts) if kind == "LSTM" else starts[0]
    ys, last = make(x, WIDTH, initial=initial, reverse=reverse, name="r")
    last = last if kind == "LSTM" else (last,)
    loss = sg.sum(ys**2) + sum((k + 1) * sg.sum(sg.sin(v)) for k, v in enumerate(last))
    params = {n: RNG.normal(size=v.shape) * 0.5 for n, v in sg.init(loss).items()}
    leaves = {t.name: t for t in _parameters(loss)}
    wrt = [*(leaves[n] for n in sorted(leaves)), x, *starts]
    program = sg.compile([x, *starts], [ys, *last, *sg.grad(loss, wrt)])
    arrays = [RNG.normal(size=(BATCH, TIME, INPUTS))]
    arrays += [RNG.normal(size=(BATCH, WIDTH)) for _ in starts]
    found = program(*arrays, params=params)
    plain = {n.removeprefix("r/"): v for n, v in params.items()}
    outputs, grads, others = torch_run(kind, arrays[0], arrays[1:], plain, reverse)
    expected = [*outputs, *(grads[n[2:]] for n in sorted(leaves)), *others]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-9, atol=1e-11)


def _parameters(loss):
    from symgrad.declare.tensor import Param, topological

    return [t for t in topological([loss]) if isinstance(t.op, Param)]


def test_input_products_are_before_and_weight_gradients_behind_the_loop():
    x = sg.input("x", (9, 2, INPUTS))
    ys, _ = sg.nn.lstm(x, WIDTH, time_major=True, name="r")
    loss = sg.sum(ys**2)
    program = sg.compile([x], [loss, *sg.grad(loss, _parameters(loss))])
    lines = str(program._parts.plan).splitlines()
    inside = [line for line in lines if line.startswith("  | kernel")]
    assert sum("gemm" in line for line in inside) == 2  # h U, and back
    assert sum("loop, 9 steps" in line for line in lines) == 2


def test_checkpoints_give_the_same_gradients():
    x = sg.input("x", ("batch", "time", INPUTS), "float64")
    found = []
    for every in (None, 4):
        ys, _ = sg.nn.lstm(x, WIDTH, checkpoint_every=every, name="r")
        loss = sg.sum(ys**2)
        parameters = _parameters(loss)
        program = sg.compile([x], [loss, *sg.grad(loss, parameters)])
        array = np.random.default_rng(3).normal(size=(2, 10, INPUTS))
        found.append(program(array, params=sg.init(loss)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_an_lstm_is_trained():
    """It learns to add two marked numbers of a sequence (Hochreiter's task)."""
    x, y = sg.input("x", ("n", 12, 2)), sg.input("y", ("n",))
    _, (h, _) = sg.nn.lstm(x, 16)
    loss = sg.nn.mse(sg.nn.linear(h, 1)[:, 0], y)
    rng = np.random.default_rng(0)
    numbers, marks = rng.random((256, 12)), np.zeros((256, 12))
    for row in marks:
        row[rng.choice(12, 2, replace=False)] = 1
    data = {"x": np.stack([numbers, marks], -1).astype("float32")}
    data["y"] = (numbers * marks).sum(1).astype("float32")
    trainer = sg.Trainer(loss, sg.optim.Adam(0.01), seed=0)
    losses = [float(trainer.step(**data)) for _ in range(300)]
    assert losses[-1] < 0.25 * np.var(data["y"])


def test_errors():
    x = sg.input("x", ("n", 3))
    with pytest.raises(sg.ShapeError, match="needs two dimensions"):
        sg.nn.gru(x[0], 4)
    with pytest.raises(sg.ShapeError, match="initial state"):
        sg.nn.gru(x, 4, initial=sg.zeros(3))
    with pytest.raises(sg.ShapeError, match="features is an integer"):
        sg.nn.lstm(x, 0)


def test_the_loop_is_one_box():
    ys, _ = sg.nn.lstm(sg.input("x", ("n", 6, INPUTS)), WIDTH, name="r")
    assert "scan(x, W, U, b)" in sg.draw(sg.sum(ys**2)).dot
