"""The pipeline: from a declared graph to a program, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from symgrad.declare import dtypes
from symgrad.declare.conditions import conditional
from symgrad.declare.dims import names
from symgrad.declare.mode import in_mode
from symgrad.declare.retype import retyped
from symgrad.declare.tensor import Input, Param, Tensor, as_tensor, topological
from symgrad.derivation.reverse import flatten, unflatten
from symgrad.emit.kernels import emit
from symgrad.errors import (
    CompileError,
    DTypeError,
    FormatError,
    GraphError,
    ShapeError,
    SymgradError,
)
from symgrad.run.layout import Parts
from symgrad.run.program import Program
from symgrad.schedule.factors import factored
from symgrad.schedule.plan import schedule
from symgrad.serialize import graph
from symgrad.serialize.graph import Declaration
from symgrad.simplification import simplify_outputs

if TYPE_CHECKING:
    from symgrad.lowering.program import JaxProgram


@overload
def compile(
    inputs: Sequence[Tensor],
    outputs: Any,
    *,
    threads: int | None = ...,
    nan_check: bool = ...,
    dtype: str | None = ...,
    updates: Mapping[Tensor, Tensor] | None = ...,
    training: bool = ...,
    backend: Literal["numba"] = ...,
) -> Program: ...


@overload
def compile(
    inputs: Sequence[Tensor],
    outputs: Any,
    *,
    threads: int | None = ...,
    nan_check: bool = ...,
    dtype: str | None = ...,
    updates: Mapping[Tensor, Tensor] | None = ...,
    training: bool = ...,
    backend: Literal["jax"],
) -> JaxProgram: ...


def compile(
    inputs: Sequence[Tensor],
    outputs: Any,
    *,
    threads: int | None = None,
    nan_check: bool = False,
    dtype: str | None = None,
    updates: Mapping[Tensor, Tensor] | None = None,
    training: bool = False,
    backend: Literal["numba", "jax"] = "numba",
) -> Program | JaxProgram:
    """Return the program that computes ``outputs`` from ``inputs``.

    Args:
        inputs: the inputs, in the order of the program's arguments.
        outputs: a tensor, or nested tuples, lists and dicts of tensors.
        threads: how many threads; by default ``SYMGRAD_NUM_THREADS``, else all
            processors.
        nan_check: look at every value, and raise at the first NaN, naming its node.
        dtype: float32 or float64: compute all floats, and take them as arguments, in
            this type, whatever was declared.
        updates: parameter -> its new value, written in place at the end of a call
            (see ``Program.bind``).
        training: compute dropout and batch norm as while training, for a loop of one's
            own in place of a ``Trainer``.  Where there is chance, the program has one
            more parameter, ``"training/key"``: an integer, another one for each step.
            ``sg.nn.state_updates`` gives what becomes of running statistics.
        backend: ``"numba"``, or ``"jax"`` for a program that JAX runs, on its devices
            and meshes, with arrays of its own.

    Raises:
        GraphError: an input is missing, unknown or given twice.
        DTypeError: ``dtype`` is not a float type.
        CompileError: there is no such backend, or JAX is not installed.
    """
    start = time.perf_counter()
    if backend not in ("numba", "jax"):
        raise CompileError(f"backend is 'numba' or 'jax', not {backend!r}")
    updates = dict(updates or {})
    targets = [as_tensor(t) for t in flatten(outputs)]
    values = in_mode([*targets, *updates.values()], training)
    targets, values = values[: len(targets)], values[len(targets) :]
    updates = dict(zip(updates, values, strict=True))
    _check_updates(updates)
    if dtype is not None:
        inputs, targets, updates = _retyped(inputs, targets, updates, dtype)
    declaration = Declaration(
        list(inputs), unflatten(outputs, targets), updates, nan_check
    )
    values = list(updates.values())
    seconds: dict[str, float] = {}
    simple = simplify_outputs([*targets, *values])
    seconds["simplify"] = _lap(start)
    leaves = topological([*targets, *values])
    inputs = list(inputs)
    _check_inputs(inputs, leaves)
    params = [t for t in leaves if isinstance(t.op, Param)]
    params += [t for t in updates if not any(t is p for p in params)]
    _check_names(inputs, params)
    _check_sizes([*inputs, *params], simple)
    if backend == "jax":
        from symgrad.lowering.program import JaxProgram

        return JaxProgram(declaration, params, simple, seconds)
    begin = time.perf_counter()
    simple = factored(simple)
    new = dict(zip(updates, simple[len(targets) :], strict=True))
    plan = schedule(simple[: len(targets)], new, store_all=nan_check)
    seconds["schedule"] = _lap(begin)
    begin = time.perf_counter()
    texts = emit(plan)
    seconds["emit"] = _lap(begin)
    parts = Parts(
        inputs,
        simple[: len(targets)],
        isinstance(outputs, Tensor),
        _rebuilder(outputs),
        params,
        new,
        conditional(leaves),
        plan,
        texts,
        threads,
        nan_check,
        seconds,
    )
    return Program(parts, declaration)


def load(path: Any, *, threads: int | None = None) -> Program:
    """Return the program that ``Program.save`` wrote to a file.

    The file holds the declared graph and no code: the program is compiled from it
    again, which finds its kernels in the cache.  Its ``inputs``, ``outputs`` and
    ``updates`` are the tensors of the graph, to draw, diagnose or compile otherwise.

    Args:
        path: the file.
        threads: as in ``sg.compile``.

    Raises:
        FormatError: the file cannot be read, or is not a program; it says where.
    """
    found = graph.load(path)
    try:
        return compile(
            found.inputs,
            found.outputs,
            threads=threads,
            nan_check=found.nan_check,
            updates=found.updates,
        )
    except SymgradError as error:
        raise FormatError(f"{path} holds no program: {error}") from error


def _retyped(
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    updates: Mapping[Tensor, Tensor],
    dtype: str,
) -> tuple[list[Tensor], list[Tensor], dict[Tensor, Tensor]]:
    kind = dtypes.canonical(dtype)
    if not dtypes.is_float(kind):
        raise DTypeError(f"dtype= is float32 or float64, not {kind}")
    tensors = [t for t in inputs if isinstance(t, Tensor)]
    found = retyped([*tensors, *targets, *updates, *updates.values()], kind)
    new = {found[p]: found[value] for p, value in updates.items()}
    return [found.get(t, t) for t in inputs], [found[t] for t in targets], new


def _rebuilder(structure: Any) -> Callable[[list], Any] | None:
    """Return the function that puts a list of arrays into the outputs' structure.

    There is none for one tensor, nor for a list of tensors.
    """
    if isinstance(structure, Tensor):
        return None
    if type(structure) is list and all(isinstance(t, Tensor) for t in structure):
        return None
    return lambda found: unflatten(structure, found)


def _lap(start: float) -> float:
    return time.perf_counter() - start


def _check_updates(updates: Mapping[Tensor, Tensor]) -> None:
    for parameter, value in updates.items():
        if not isinstance(parameter.op, Param):
            raise GraphError(f"only parameters are updated, not {parameter.describe()}")
        if value.shape != parameter.shape or value.dtype != parameter.dtype:
            raise ShapeError(
                f"the new value {value.describe()} does not fit {parameter.describe()}"
            )


def _check_inputs(inputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> None:
    given = set()
    for t in inputs:
        if not isinstance(t, Tensor) or not isinstance(t.op, Input):
            what = t.describe() if isinstance(t, Tensor) else repr(t)
            raise GraphError(f"{what} is not an input; declare inputs with sg.input")
        if id(t) in given:
            raise GraphError(f"the input {t.name!r} is listed twice")
        given.add(id(t))
    for t in leaves:
        if isinstance(t.op, Input) and id(t) not in given:
            raise GraphError(
                f"the outputs depend on {t.describe()}, which is not among the inputs"
            )


def _check_sizes(given: Sequence[Tensor], computed: Sequence[Tensor]) -> None:
    """Raise ShapeError where a named dimension is that of no input or parameter."""
    known = {n for t in given for s in t.shape for n in names(s)}
    for t in topological(computed):
        for s in t.shape:
            unknown = sorted(names(s) - known)
            if unknown:
                raise ShapeError(
                    f"the size {unknown[0]!r} of {t.describe()} is that of no input: "
                    "list an input that has it, even one that is not used"
                )


def _check_names(inputs: Sequence[Tensor], params: Sequence[Tensor]) -> None:
    for kind, tensors in (("inputs", inputs), ("parameters", params)):
        seen: dict[str, Tensor] = {}
        for t in tensors:
            other = seen.setdefault(t.name or "", t)
            if other is not t:
                raise GraphError(
                    f"two {kind} are called {t.name!r}: {other.describe()} and "
                    f"{t.describe()}; give them different names (layers take name=), "
                    "or scopes"
                )
