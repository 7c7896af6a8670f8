"""What named sizes must satisfy for a graph to have a value at them.

Most statements have one at any sizes.  Some have not: ``x[5]`` needs six elements,
``x[1:]`` one, and a reshape to four rows a number that 4 divides.  Declaring them is no
error, since the sizes are not known; they are checked once when they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from symgrad.declare.comprehension import (
    Comprehension,
    Guard,
    Index,
    bounds,
    surely_holds,
)
from symgrad.declare.dims import Dim, Size, evaluate, names, product
from symgrad.declare.loop import Scan, Stacked
from symgrad.declare.tensor import Reshape, Shape, Tensor, print_shape, topological
from symgrad.errors import ShapeError


def conditional(nodes: Iterable[Tensor]) -> list[Tensor]:
    """Return the nodes that do not have a value at every choice of named sizes.

    The nodes of loops' steps are among them.

    >>> from symgrad.declare.tensor import input
    >>> x = input("x", ("n",))
    >>> conditional([x, x[5], x[1:], x[::2], x.reshape(4, -1), x.reshape(-1, 1)])
    [<Tensor 'slice' float32[]>, <Tensor 'slice' float32[n - 1]>,
    <Tensor 'slice' float32[(n + 1)//2]>, <Tensor 'reshape' float32[4, (n)//4]>]
    """
    found: dict[Tensor, None] = {}
    bodies: dict[Tensor, None] = {}
    for t in nodes:
        if isinstance(t.op, Scan):
            bodies.update(dict.fromkeys(t.op.loop.updates))
            if isinstance(t.op, Stacked):
                bodies[t.op.value] = None
        elif _is_conditional(t):
            found[t] = None
    if bodies:
        found.update(dict.fromkeys(conditional(topological(list(bodies)))))
    return list(found)


def sizes_of(
    tensors: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]
) -> dict[str, int]:
    """Return the sizes of named dimensions, as arrays for these tensors have them.

    Raises:
        ShapeError: an array has another rank, or a dimension is not as declared.

    >>> from symgrad.declare.tensor import input
    >>> sizes_of([input("x", ("n", 3)), input("y", ("n",))], [(5, 3), (5,)])
    {'n': 5}
    """
    sizes: dict[str, int] = {}
    for t, shape in zip(tensors, shapes, strict=True):
        if len(shape) != t.ndim:
            raise ShapeError(f"{t.describe()} is given an array of shape {shape}")
        for s, n in zip(t.shape, shape, strict=True):
            if isinstance(s, Dim) and str(s).isidentifier():
                sizes[str(s)] = n
    for t, shape in zip(tensors, shapes, strict=True):
        for d, (s, n) in enumerate(zip(t.shape, shape, strict=True)):
            try:
                expected = evaluate(s, sizes)
            except KeyError as error:
                raise ShapeError(
                    f"{t.describe()}: no input has a dimension {error}"
                ) from None
            if expected != n:
                raise ShapeError(
                    f"{t.describe()}: dimension {d} must be {s} = {expected}, not {n}"
                )
    return sizes


def check(nodes: Iterable[Tensor], sizes: Mapping[str, int]) -> None:
    """Raise ShapeError unless each of the nodes has a value at these sizes."""
    for t in nodes:
        if isinstance(t.op, Reshape):
            _check_reshape(t, sizes)
        elif isinstance(t.op, Comprehension):
            _check_extents(t, t.op, sizes)
            _check_reads(t, t.op, sizes)


def _is_conditional(t: Tensor) -> bool:
    c = t.op
    if isinstance(c, Reshape):
        return product(t.shape) != product(t.args[0].shape)
    if not isinstance(c, Comprehension):
        return False
    shapes = (c.extents, t.shape, *(x.shape for x in t.args))
    if not any(isinstance(s, Dim) for shape in shapes for s in shape):
        return False
    return not all(map(_surely_positive, c.extents)) or any(_unsure_reads(t, c))


def _surely_positive(size: Size) -> bool:
    """Return True if a size is surely at least 0: a sum of products of names."""
    return isinstance(size, int) or all(
        factor > 0 and all(isinstance(atom, str) for atom in monomial)
        for monomial, factor in size.terms
    )


def _unsure_reads(t: Tensor, c: Comprehension) -> Iterable[tuple[Tensor, int, Index]]:
    """Yield tensor, dimension and index where one may be out of range.

    A guard keeps a statement from reading out of range, but not from adding 0 there.
    Indices from data are clamped, so they are in range unless there is nothing to read.
    """
    for d, (index, extent) in enumerate(zip(c.target or (), t.shape, strict=False)):
        if not surely_holds(Guard(index, extent), c.extents):
            yield t, d, index
    if c.guards:
        return
    for read in c.reads:
        x = t.args[read.operand]
        for d, (index, extent) in enumerate(zip(read.index, x.shape, strict=True)):
            empty = index.values() and (extent == 0 or isinstance(extent, Dim))
            if empty or not surely_holds(Guard(index, extent), c.extents):
                yield x, d, index


def _check_reshape(t: Tensor, sizes: Mapping[str, int]) -> None:
    x = t.args[0]
    have = evaluate(product(x.shape), sizes)
    need = evaluate(product(t.shape), sizes)
    if have != need:
        raise ShapeError(
            f"reshape of {x.describe()} to {print_shape(t.shape)}: where "
            f"{_known(x.shape, sizes)}, {have} elements do not fill the shape, which "
            f"holds {need}; give sizes that divide"
        )


def _check_extents(t: Tensor, c: Comprehension, sizes: Mapping[str, int]) -> None:
    for extent in c.extents:
        if evaluate(extent, sizes) < 0:
            raise ShapeError(
                f"{_where(t)}: where {_known(c.extents, sizes)}, a dimension {extent} "
                f"would be {evaluate(extent, sizes)}; give larger arrays"
            )


def _check_reads(t: Tensor, c: Comprehension, sizes: Mapping[str, int]) -> None:
    extents = [evaluate(extent, sizes) for extent in c.extents]
    if 0 in extents:
        return  # nothing is read
    for x, d, index in _unsure_reads(t, c):
        low, high = (evaluate(bound, sizes) for bound in bounds(index, extents))
        extent = evaluate(x.shape[d], sizes)
        if low < 0 or high >= extent or extent == 0:
            which = f"element {low}" if low == high else f"elements {low} to {high}"
            which = which if extent else "some element"
            raise ShapeError(
                f"{t.describe()}: where {_known(x.shape, sizes)}, {which} of dimension "
                f"{d} of {x.describe()} would be read, which has {extent}; give larger "
                "arrays"
            )


def _where(t: Tensor) -> str:
    operands = " and ".join(x.describe() for x in t.args)
    return f"{t.describe()} of {operands}" if t.args else t.describe()


def _known(shape: Shape, sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{n} = {sizes[n]}" for n in sorted(names(product(shape))))
