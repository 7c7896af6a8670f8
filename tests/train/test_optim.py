"""Optimizers: their graphs against plain loops in NumPy, and against PyTorch."""

import math

import numpy as np
import pytest

import symgrad as sg
from symgrad.train.schedules import check_number
from tests.reference import evaluate_graph

optim = sg.optim
SHAPES = {"layer/W": (3, 2), "layer/b": (2,)}


class Run:
    """Makes steps of an optimizer's graphs, evaluated slowly."""

    def __init__(self, optimizer, dtype="float64", seed=0):
        rng = np.random.default_rng(seed)
        self.optimizer = optimizer
        self.params = [sg.param(n, s, dtype=dtype) for n, s in SHAPES.items()]
        self.grads = [
            sg.input(f"g{n}", s, dtype) for n, s in enumerate(SHAPES.values())
        ]
        self.made = optimizer.updates(self.params, self.grads)
        state = [*self.made.values, self.made.rate]
        self.values = sg.init(state)
        for p in self.params:
            self.values[p.name] = rng.normal(size=p.shape).astype(dtype)

    def compile(self):
        self.program = sg.compile(self.grads, [], updates=self.made.values)
        self.program.bind(self.values)
        return self

    def compiled_step(self, grads):
        steps = int(self.values[self.made.step.name])
        self.values[self.made.rate.name][...] = self.optimizer.rate(steps)
        self.program(*grads)

    def step(self, grads):
        fed = {g.name: v for g, v in zip(self.grads, grads, strict=True)}
        steps = int(self.values[self.made.step.name])
        self.values[self.made.rate.name][...] = self.optimizer.rate(steps)
        new = evaluate_graph(list(self.made.values.values()), self.values | fed)
        for p, value in zip(self.made.values, new, strict=True):
            assert value.dtype == p.dtype
            self.values[p.name] = value

    @property
    def theta(self):
        return [self.values[p.name] for p in self.params]


# -- plain loops, written from the papers and PyTorch's documentation ------------------


def clip(gs, limit):
    norm = math.sqrt(sum((g**2).sum() for g in gs))
    return [g * min(1.0, limit / (norm + 1e-6)) for g in gs] if limit else gs


def sgd(o, p, g, s, t, lr):
    g = g + o.weight_decay * p
    if o.momentum:
        s["b"] = o.momentum * s.get("b", 0) + g
        g = g + o.momentum * s["b"] if o.nesterov else s["b"]
    return p - lr * g


def adam(o, p, g, s, t, lr):
    g = g + o.weight_decay * p
    s["m"] = o.b1 * s.get("m", 0) + (1 - o.b1) * g
    s["v"] = o.b2 * s.get("v", 0) + (1 - o.b2) * g**2
    m, v = s["m"] / (1 - o.b1**t), s["v"] / (1 - o.b2**t)
    return p - lr * m / (np.sqrt(v) + o.eps)


def adamw(o, p, g, s, t, lr):
    p = p - lr * o.weight_decay * p
    return adam(optim.Adam(o.lr, o.b1, o.b2, o.eps), p, g, s, t, lr)


def rmsprop(o, p, g, s, t, lr):
    g = g + o.weight_decay * p
    s["v"] = o.alpha * s.get("v", 0) + (1 - o.alpha) * g**2
    g = g / (np.sqrt(s["v"]) + o.eps)
    s["b"] = o.momentum * s.get("b", 0) + g
    return p - lr * s["b"]


def adagrad(o, p, g, s, t, lr):
    g = g + o.weight_decay * p
    s["s"] = s.get("s", o.initial) + g**2
    return p - lr * g / (np.sqrt(s["s"]) + o.eps)


CASES = [
    (optim.SGD(0.1), sgd),
    (optim.SGD(0.1, weight_decay=0.3, clip_norm=0.5), sgd),
    (optim.SGD(0.1, momentum=0.9, weight_decay=0.01), sgd),
    (optim.SGD(0.1, momentum=0.9, nesterov=True), sgd),
    (optim.SGD(optim.cosine(0.1, 5)), sgd),
    (optim.Adam(0.01), adam),
    (optim.Adam(0.01, 0.8, 0.9, eps=1e-3, weight_decay=0.1, clip_norm=1.0), adam),
    (optim.Adam(0.01, b1=0.0), adam),
    (optim.AdamW(0.01), adamw),
    (optim.AdamW(optim.step(0.01, every=2), weight_decay=0.5), adamw),
    (optim.RMSProp(0.01), rmsprop),
    (optim.RMSProp(0.01, 0.9, momentum=0.5, weight_decay=0.1, clip_norm=2.0), rmsprop),
    (optim.Adagrad(0.1), adagrad),
    (optim.Adagrad(0.1, initial=0.5, weight_decay=0.1, clip_norm=1.0), adagrad),
]


@pytest.mark.parametrize(
    ("optimizer", "rule"), CASES, ids=lambda c: getattr(c, "__name__", repr(c))
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_against_a_plain_loop(optimizer, rule, dtype):
    rng = np.random.default_rng(1)
    run = Run(optimizer, dtype)
    theta = [p.astype("float64") for p in run.theta]
    states = [{} for _ in theta]
    for t in range(1, 8):
        gs = [rng.normal(size=p.shape).astype(dtype) for p in theta]
        run.step(gs)
        lr = optimizer.rate(t - 1)
        gs = clip([g.astype("float64") for g in gs], optimizer.clip_norm)
        theta = [
            rule(optimizer, p, g, s, t, lr)
            for p, g, s in zip(theta, gs, states, strict=True)
        ]
    for mine, plain in zip(run.theta, theta, strict=True):
        tolerance = 1e-12 if dtype == "float64" else 3e-6
        np.testing.assert_allclose(mine, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("optimizer", [o for o, _ in CASES[1::2]], ids=repr)
def test_the_compiled_step_is_the_graphs(optimizer):
    slow, fast = Run(optimizer, "float32"), Run(optimizer, "float32").compile()
    rng = np.random.default_rng(4)
    for _ in range(4):
        gs = [rng.normal(size=p.shape).astype("float32") for p in slow.params]
        slow.step(gs)
        fast.compiled_step(gs)
    for p in slow.made.values:
        np.testing.assert_allclose(
            fast.values[p.name], slow.values[p.name], rtol=2e-6, atol=2e-6
        )


def torch_peer(torch, o, theta):
    lr, decay = o.rate(0), o.weight_decay
    match o:
        case optim.SGD():
            return torch.optim.SGD(theta, lr, o.momentum, 0, decay, o.nesterov)
        case optim.AdamW():
            return torch.optim.AdamW(theta, lr, (o.b1, o.b2), o.eps, decay)
        case optim.Adam():
            return torch.optim.Adam(theta, lr, (o.b1, o.b2), o.eps, decay)
        case optim.RMSProp():
            return torch.optim.RMSprop(theta, lr, o.alpha, o.eps, decay, o.momentum)
    return torch.optim.Adagrad(theta, lr, 0, decay, o.initial, o.eps)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "optimizer", [o for o, _ in CASES if not callable(o.lr)], ids=repr
)
def test_against_pytorch(optimizer):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    run = Run(optimizer)
    theta = [torch.nn.Parameter(torch.tensor(p)) for p in run.theta]
    peer = torch_peer(torch, optimizer, theta)
    for _ in range(5):
        gs = [rng.normal(size=tuple(p.shape)) for p in theta]
        run.step(gs)
        for p, g in zip(theta, gs, strict=True):
            p.grad = torch.tensor(g)
        if optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(theta, optimizer.clip_norm)
        peer.step()
    for mine, p in zip(run.theta, theta, strict=True):
        np.testing.assert_allclose(mine, p.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 10, 1_000, 10**6, 3 * 10**7, 10**9])
def test_adams_corrections_stay_accurate_in_float32(steps):
    run = Run(optim.Adam(1e-3), "float32")
    rng = np.random.default_rng(3)
    for p in run.params:
        run.values[f"adam/m/{p.name}"] = rng.normal(size=p.shape).astype("float32")
        run.values[f"adam/v/{p.name}"] = rng.random(p.shape).astype("float32")
    run.values["adam/step"][...] = steps
    before = {n: v.astype("float64") for n, v in run.values.items()}
    gs = [np.full(p.shape, 0.5, "float32") for p in run.params]
    run.step(gs)
    assert run.values["adam/step"] == steps + 1
    for p, g in zip(run.params, gs, strict=True):
        s = {k: before[f"adam/{k}/{p.name}"] for k in "mv"}
        zero = np.zeros(p.shape)
        moved = adam(run.optimizer, zero, g.astype("float64"), s, steps + 1, 1e-3)
        change = run.values[p.name].astype("float64") - before[p.name]
        # what is left is the rounding of p - change in float32
        np.testing.assert_allclose(change, moved, rtol=1e-6, atol=2.5e-7)


def test_the_norm_of_exploding_gradients_does_not_overflow():
    run = Run(optim.SGD(1.0, clip_norm=1.0), "float32")
    before = [p.copy() for p in run.theta]
    run.step([np.full(p.shape, 1e30, "float32") for p in run.theta])
    moved = [a - b for a, b in zip(run.theta, before, strict=True)]
    norm = math.sqrt(sum((m.astype(float) ** 2).sum() for m in moved))
    assert norm == pytest.approx(1.0, rel=1e-5)


def test_plain_descent_is_one_multiplication_and_one_subtraction():
    W, g = sg.param("W", (2, 3)), sg.input("g", (2, 3))
    made = optim.SGD(0.1).updates([W], [g])
    new = made.values[W]
    assert new.op.name == "sub"
    assert new.args[0] is W
    assert new.args[1].op.name == "mul"
    assert new.args[1].args == (made.rate, g)
    assert made.rate.dtype == "float32"


def test_state_is_named_after_its_parameter():
    run = Run(optim.Adam(0.1))
    assert sorted(p.name for p in run.made.values) == [
        "adam/m/layer/W", "adam/m/layer/b", "adam/step", "adam/v/layer/W",
        "adam/v/layer/b", "layer/W", "layer/b",
    ]  # fmt: skip
    assert run.made.rate.name == "adam/lr"
    state = [p for p in run.made.values if p.name.startswith("adam/")]
    assert not any(p.op.trainable for p in [*state, run.made.rate])


def test_mixed_precision_keeps_each_type():
    W, b = sg.param("W", (2,), dtype="float64"), sg.param("b", (2,))
    g, h = sg.input("g", (2,), "float64"), sg.input("h", (2,))
    made = optim.AdamW(0.1, clip_norm=1.0).updates([W, b], [g, h])
    assert made.values[W].dtype == made.rate.dtype == "float64"
    assert made.values[b].dtype == "float32"


BAD = [
    (lambda: optim.SGD(0), "SGD: lr must be a finite number greater than 0, not 0"),
    (lambda: optim.SGD(-1e-3), "SGD: lr"),
    (lambda: optim.Adam(float("nan")), "Adam: lr must be a finite number"),
    (lambda: optim.Adam(float("inf")), "Adam: lr must be a finite number"),
    (lambda: optim.Adam("0.1"), "Adam: lr .* not '0.1'"),
    (lambda: optim.Adam(True), "Adam: lr"),
    (lambda: optim.Adam(0.1, b1=1.0), "Adam: b1 .* less than 1, not 1.0"),
    (lambda: optim.Adam(0.1, b2=-0.1), "Adam: b2 must be a finite number at least 0"),
    (lambda: optim.Adam(0.1, eps=0), "Adam: eps"),
    (lambda: optim.SGD(0.1, momentum=1.0), "SGD: momentum"),
    (lambda: optim.SGD(0.1, nesterov=True), "nesterov=True needs a momentum"),
    (lambda: optim.SGD(0.1, weight_decay=-1), "SGD: weight_decay"),
    (lambda: optim.SGD(0.1, clip_norm=0), "SGD: clip_norm"),
    (lambda: optim.RMSProp(0.1, alpha=2), "RMSProp: alpha"),
    (lambda: optim.Adagrad(0.1, initial=-1), "Adagrad: initial"),
    (lambda: optim.constant(0), "constant: the rate"),
    (lambda: optim.cosine(0.1, 0), "cosine: steps must be an integer of at least 1"),
    (lambda: optim.cosine(0.1, 10, end=-1), "cosine: the end"),
    (lambda: optim.warmup_cosine(0.1, 10, 10), "warmup_cosine: steps .* at least 11"),
    (lambda: optim.step(0.1, 2.5), "step: every"),
    (lambda: optim.SGD(lambda step: -1.0).rate(3), "SGD: lr at step 3"),
    (lambda: optim.SGD(lambda step: math.nan).rate(0), "SGD: lr at step 0"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_unsuitable_options(make, message):
    with pytest.raises(sg.GraphError, match=message):
        make()


def test_numbers_at_the_edges():
    check_number("x", 0)
    check_number("x", 5e-324, positive=True)
    with pytest.raises(sg.GraphError):
        check_number("x", 1.0, below=1.0)


def test_parameters_and_gradients_must_match():
    W, g = sg.param("W", (2,)), sg.input("g", (3,))
    with pytest.raises(sg.ShapeError, match=r"gradient of 'W' .* shape \[3\]"):
        optim.SGD(0.1).updates([W], [g])
    with pytest.raises(sg.GraphError, match="1 parameters and 0 gradients"):
        optim.SGD(0.1).updates([W], [])
    with pytest.raises(sg.GraphError, match="0 parameters"):
        optim.SGD(0.1).updates([], [])
    with pytest.raises(sg.GraphError, match="is not a parameter"):
        optim.SGD(0.1).updates([W * 2], [W])


def test_schedules_at_their_ends():
    warm = optim.warmup_cosine(1.0, 10, 110, start=0.1, end=0.2)
    assert warm(0) == pytest.approx(0.1)
    assert warm(10) == pytest.approx(1.0)
    assert warm(60) == pytest.approx(0.6)
    assert warm(110) == warm(10**9) == pytest.approx(0.2)
    assert optim.warmup_cosine(1.0, 0, 10)(0) == 1.0
    assert optim.constant(0.5)(10**9) == 0.5
