"""Trees of arrays as arguments and results."""

import dataclasses
from collections import OrderedDict, namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgrad as sg
from symgrad.transforms.trees import collect, flatten, paths, show, unflatten
from tests.transforms.functions import XP, W, X, Y, assert_same

Pair = namedtuple("Pair", ["left", "right"])


def model(xp):
    def loss(p, x):
        h = xp.tanh(p["layers"][0]["w"] @ x + p["layers"][0]["b"])
        return xp.sum(h * p["out"].left) ** 2 + p["out"].right * xp.sum(h)

    return loss


PARAMS = {
    "layers": [{"w": W, "b": Y[:3]}],
    "out": Pair(X[:3], 0.5),
    "unused": None,
}


def test_gradients_of_nested_parameters():
    assert_same(sg.grad(model(XP))(PARAMS, X), jax.grad(model(jnp))(PARAMS, X))


def test_an_update_of_nested_parameters():
    def step(xp, t):
        def update(p, x):
            value, g = t.value_and_grad(model(xp))(p, x)
            leaves = zip(jax.tree.leaves(p), jax.tree.leaves(g), strict=True)
            new = [a - 0.1 * b for a, b in leaves]
            return value, jax.tree.unflatten(jax.tree.structure(p), new)

        return t.jit(update)

    assert_same(step(XP, sg)(PARAMS, X), step(jnp, jax)(PARAMS, X))


def test_jacobian_and_hessian_by_dicts():
    def f(xp):
        return lambda p: {"y": p["a"] * xp.sum(p["b"]), "z": (xp.sin(p["a"]),)}

    p = {"a": X, "b": Y[:2]}
    assert_same(sg.jacobian(f(XP))(p), jax.jacrev(f(jnp))(p))

    def loss(xp):
        return lambda p: xp.sum(f(xp)(p)["y"] ** 3)

    assert_same(sg.hessian(loss(XP))(p), jax.hessian(loss(jnp))(p))


def test_products_with_trees():
    f = {xp: lambda p, c, xp=xp: [p["a"] * c, xp.sum(p["b"]) * c] for xp in (XP, jnp)}
    args = {"a": X, "b": Y}, 2.0
    tangents = {"a": Y, "b": X}, 1.0
    assert_same(sg.jvp(f[XP], args, tangents), jax.jvp(f[jnp], args, tangents))
    _, pull = sg.vjp(f[XP], *args)
    _, expected = jax.vjp(f[jnp], *args)
    assert_same(pull([Y, np.float64(2)]), expected([jnp.asarray(Y), 2.0]))


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        (),
        None,
        (1.0, None, [2.0]),
        {"b": 1.0, "a": {"c": ()}},
        {2: 1.0, 1: 2.0},
        {"a": 1.0, 1: 2.0},
        OrderedDict([("z", 1.0), ("a", 2.0)]),
        Pair(1.0, (2.0, 3.0)),
    ],
    ids=repr,
)
def test_round_trip(value):
    leaves, tree = flatten(value)
    assert unflatten(tree, leaves) == value
    assert type(unflatten(tree, leaves)) is type(value)
    assert len(paths(tree, "x")) == len(leaves) == tree.leaves
    assert hash(tree) == hash(flatten(value)[1])


def test_structures_print():
    value = {"a": (1.0, None), "b": [Pair(1.0, 2.0)]}
    tree = flatten(value)[1]
    assert paths(tree, "p") == ["p['a'][0]", "p['b'][0].left", "p['b'][0].right"]
    assert show(tree) == "dict(['a']: (*, None), ['b']: [Pair(.left: *, .right: *)])"


def test_dicts_are_equal_in_any_order():
    f = sg.jit(lambda p: p["a"] - p["b"])
    assert f({"a": 3.0, "b": 1.0}) == f({"b": 1.0, "a": 3.0}) == 2.0


@dataclasses.dataclass
class Ray:
    origin: object
    direction: object
    name: str = "ray"


def test_registered_dataclasses():
    with pytest.raises(sg.DTypeError, match=r"argument ray is a Ray.*register"):
        sg.jit(lambda ray: ray.origin)(Ray(1.0, 2.0))
    sg.register_dataclass(Ray, meta_fields=["name"])
    found = sg.grad(lambda ray: np.sum(ray.origin * ray.direction))(Ray(X, Y, "r"))
    assert isinstance(found, Ray)
    assert found.name == "r"
    np.testing.assert_allclose(found.origin, Y)
    with pytest.raises(sg.DTypeError, match=r"argument ray\.origin is int64"):
        sg.grad(lambda ray: ray.origin * 1.0)(Ray(1, 2.0))
    with pytest.raises(sg.GraphError, match="no field 'colour'"):
        sg.register_dataclass(Ray, meta_fields=["colour"])
    with pytest.raises(sg.GraphError, match="no dataclass"):
        sg.register_dataclass(int)


class Box:
    def __init__(self, item, label):
        self.item, self.label = item, label


def test_registered_classes():
    sg.register_pytree(
        Box, lambda b: ((b.item,), b.label), lambda label, parts: Box(*parts, label)
    )
    found = sg.vmap(lambda box: Box(box.item * 2, box.label))(Box(W, "w"))
    assert found.label == "w"
    np.testing.assert_allclose(found.item, 2 * W)


def test_other_array_types():
    torch = pytest.importorskip("torch")
    f = sg.grad(lambda x: np.sum(x**2))
    for array in (jnp.asarray(X), torch.from_numpy(X.copy()), memory(X)):
        found = f(array)
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, 2 * X)
    with pytest.raises(sg.DTypeError, match=r"argument x .Tensor. does not give"):
        f(torch.ones(3, requires_grad=True))


class memory:  # noqa: N801
    """Something with no more than ``__array__``."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


@pytest.mark.parametrize(
    ("value", "other", "alike"),
    [
        ((1.0, {"a": 2.0}), (3.0, {"a": 4.0}), True),
        ((1.0, {"a": 2.0}), (3.0, {"b": 4.0}), False),
        ({"a": 2.0}, {"a": 4.0, "b": 1.0}, False),
        (Pair(1.0, None), Pair(2.0, None), True),
        (Pair(1.0, None), Pair(2.0, 3.0), False),
        ([1.0], (1.0,), False),
        ([1.0, 2.0], [1.0], False),
        (OrderedDict(a=1.0, b=2.0), OrderedDict(b=1.0, a=2.0), False),
        (None, None, True),
        ({"a": ((), None)}, {"a": ((), None)}, True),
    ],
)
def test_leaves_of_a_known_structure(value, other, alike):
    leaves = []
    assert collect(flatten(value)[1], other, leaves) == alike
    assert not alike or leaves == flatten(other)[0]
