"""Training and evaluation: what a graph does differently while it is trained.

``TRAINING`` is a leaf that is True in a trainer's step and False everywhere else.  It
has no value at run time: before a graph is compiled, each choice by it is replaced by
the branch that is taken, so that the other one costs nothing.

>>> import symgrad as sg
>>> x = sg.input("x", ("n",))
>>> y = choose(sg.relu(x), x)
>>> in_mode([y], training=True)[0] is sg.relu(x), in_mode([y], training=False)[0] is x
(True, True)
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from symgrad.declare import build, random
from symgrad.declare.build import elementwise
from symgrad.declare.comprehension import Comprehension
from symgrad.declare.rebuild import rebuilt_node
from symgrad.declare.tensor import (
    Param,
    Tensor,
    constant,
    make,
    param,
    print_shape,
    topological,
)
from symgrad.errors import ShapeError

#: True while training; never left in a graph that is compiled.
TRAINING = make(Param("training", False, False), (), (), "bool")
#: The random key of a training step: a trainer gives it and counts it on.
KEY = make(Param("training/key", 0, False), (), (), "int64")


@dataclass(frozen=True, eq=False)
class Chance(Param):
    """A leaf for one use of the random key; never left in a graph that is compiled."""


def chance() -> Tensor:
    """Return a new random key: that of a training step, for this one use.

    Uses differ by their scopes, and in one scope by their order in the graph; so the
    same model has the same keys wherever it is declared.
    """
    return make(Chance("training/key", 0, False), (), (), "int64")


def is_mode(node: Tensor) -> bool:
    """Return True for leaves that say how a graph is run: no parameters of a model."""
    return node is TRAINING or node is KEY or isinstance(node.op, Chance)


def choose(training: Tensor, evaluation: Tensor) -> Tensor:
    """Return the first tensor while training, and the second one otherwise.

    Raises:
        ShapeError: their shapes differ.
    """
    if training.shape != evaluation.shape:
        raise ShapeError(
            f"in training, {training.describe()} takes the place of "
            f"{evaluation.describe()}, but has another shape"
        )
    return elementwise("select", TRAINING, training, evaluation)


def state(
    name: str,
    shape: Iterable[int],
    init: Any,
    dtype: str,
    following: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return a parameter that is not learned, but computed anew in each training step.

    Args:
        name: prefixed with the current scope.
        shape: integers.
        init: its value at the start.
        dtype: float32 or float64.
        following: from the parameter to its value after a step.
    """
    s = param(name, shape, init, trainable=False, dtype=dtype)
    return follow(s, following(s))


def follow(s: Tensor, new: Tensor) -> Tensor:
    """Make a parameter that was just declared a state: ``new`` after each step."""
    assert isinstance(s.op, Param)
    if (new.shape, new.dtype) != (s.shape, s.dtype):
        raise ShapeError(
            f"the state {s.describe()} cannot become {new.describe()}; a value of "
            f"{print_shape(s.shape)} is needed"
        )
    object.__setattr__(s.op, "following", new)  # once, before anyone has seen it
    return s


def following(p: Tensor) -> Tensor | None:
    """Return what a training step makes of a ``state``; None for other parameters."""
    return p.op.following if isinstance(p.op, Param) else None


def in_mode(outputs: Sequence[Tensor], training: bool) -> list[Tensor]:
    """Return the outputs as they are in training, or in evaluation."""
    order = topological(outputs)
    if not any(map(is_mode, order)):
        return list(outputs)
    found = {TRAINING: constant(training), **_keys(order, training)}
    return _chosen(outputs, order, found, lambda _: training)


def on_average(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs as in training, but for what is left to chance.

    It is what gradients are looked at in: normalised by the batch, and without dropout,
    whose mean is what it is given.
    """
    order = topological(outputs)
    if not any(map(is_mode, order)):
        return list(outputs)
    random = {n for n in order if isinstance(n.op, Chance) or n is KEY}

    def training(choice: Tensor) -> bool:
        """Does the branch of training depend on no chance?"""
        taken = _branch(choice, True)
        return taken is not None and taken not in random

    for node in order:
        kept = training(node)
        branch = _branch(node, kept)
        read = node.args if branch is None else (branch,)
        if any(a in random for a in read):
            random.add(node)
    found = {TRAINING: constant(True), **_keys(order, False)}
    return _chosen(outputs, order, found, training)


def _chosen(
    outputs: Sequence[Tensor],
    order: Sequence[Tensor],
    found: dict[Tensor, Tensor],
    training: Callable[[Tensor], bool],
) -> list[Tensor]:
    """Return the outputs with each choice replaced by the branch that is taken."""
    for node in order:
        if node in found:
            continue
        branch = _branch(node, training(node))
        if branch is None:
            found[node] = rebuilt_node(node, found)
        else:
            found[node] = build.broadcast_to(found[branch], node.shape)
    return [found[t] for t in outputs]


def _keys(order: Sequence[Tensor], training: bool) -> dict[Tensor, Tensor]:
    """Return each use of chance -> its key, made of the step's and of its scope.

    In evaluation nothing depends on them; a loop's body may hold on to one.
    """
    seen: Counter[str] = Counter()
    keys: dict[Tensor, Tensor] = {}
    for node in order:
        if not isinstance(node.op, Chance):
            continue
        number = seen[node.scope]
        seen[node.scope] += 1
        text = f"{node.scope}\0{number}" if number else node.scope
        digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
        own = random.fold_in(KEY, int.from_bytes(digest, "little"))
        keys[node] = own if training else constant(0)
    return keys


def _branch(node: Tensor, training: bool) -> Tensor | None:
    """Return the operand that a choice by the mode takes; None for other nodes."""
    c = node.op
    if not isinstance(c, Comprehension) or c.reduce or c.guards or c.target is not None:
        return None
    if c.body.fn != "select" or any(a.fn != "read" for a in c.body.args):
        return None
    condition, first, second = (
        node.args[c.reads[a.value].operand] for a in c.body.args
    )
    taken = first if training else second
    pairs = zip(taken.shape[::-1], node.shape[::-1], strict=False)
    fits = all(s in (1, t) for s, t in pairs)
    same = taken.dtype == node.dtype
    return taken if condition is TRAINING and fits and same else None
