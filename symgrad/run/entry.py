"""A small program as a built-in function of Python's: the cheapest call there is.

A call through `ctypes` costs as much as a small program.  CPython calls a built-in
function of the kind METH_FASTCALL with the addresses of its arguments, and native code
that reads those objects itself (see `symgrad.run.arrays`) needs no more: it checks the
arrays, finds memory for the outputs, runs the kernels, and returns the outputs.

Python's lock is held meanwhile, so this is for programs that are done in microseconds;
and no other thread can see their operands half written.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from textwrap import indent
from typing import Any

import numpy as np

from symgrad.run.arrays import (
    DATA,
    DESCRIPTION,
    DIMENSIONS,
    FLAGS,
    RANK,
    TYPE,
    ArgumentSpec,
    layout_is_known,
)
from symgrad.run.blas import function_address
from symgrad.run.kernels import address

REFERENCES = 0  # offset of an object's number of references
LIST_ITEMS = 24  # offset of a list's pointer to its items
EMPTY = 184  # PyArray_Empty in NumPy's table of functions, which never changes
FAST_CALL = 0x80  # CPython's METH_FASTCALL
HEAD = 16  # numbers before those of the first argument


def _fits(array: str, depth: int) -> str:
    """Return the lines that set `good` to False unless an array is as at `place`."""
    return indent(
        f"""\
shape = load({array} + {DIMENSIONS})
flags = load(place + 8)
rank = load(place + 16)
good &= load({array} + {DESCRIPTION}) == load(place)
good &= load_int32({array} + {FLAGS}) & flags == flags
good &= load_int32({array} + {RANK}) == rank
if good:
    for axis in range(rank):
        good &= load(shape + 8 * axis) == load(place + 24 + 8 * axis)""",
        "    " * depth,
    )


def _bound(array: str, depth: int) -> str:
    """Return the lines that note an array's address and move `place` to the next."""
    return indent(
        f"""\
place += 24 + 8 * load(place + 16)
slots = load(place)
for slot in range(slots):
    place += 8
    store(operands + 8 * load(place), load({array} + {DATA}))
place += 8""",
        "    " * depth,
    )


ENTRY = f'''"""Check arrays, run a table of kernels on them, and return the outputs.

The table: number of arguments, the type of arrays, address of the operands, None;
addresses of Py_IncRef, Py_DecRef, PyArray_Empty and PyList_New; address and number of
the rows of kernels, address of the driver (0: none is needed), number of threads, the
pool's state; number of outputs, whether the only one is returned by itself, address of
the two arrays kept for each output.  Then for each argument and each output its element
type, flags, rank, shape, and the slots that its address goes to.  The result is None if
an argument is not as the table says.
"""

from symgrad.emit.intrinsics.native import (
    call_function,
    call_kernel,
    load,
    load_int32,
    store,
)


def kernel(owner, arguments, count):
    table = load(owner + {DATA})
    array_type = load(table + 8)
    operands = load(table + 16)
    none = load(table + 24)
    increase = load(table + 32)
    good = count == load(table)
    place = table + {8 * HEAD}
    if good:
        for number in range(count):
            array = load(arguments + 8 * number)
            good = load(array + {TYPE}) == array_type
            if good:
{_fits("array", 4)}
            if not good:
                break
{_bound("array", 3)}
    if not good:
        call_function(increase, none, 0, 0, 0)
        return none

    outputs = load(table + 104)
    kept = load(table + 120)
    for number in range(outputs):
        array = load(kept)
        good = load_int32(array + {REFERENCES}) == 1
{_fits("array", 2)}
        if not good:
            other = load(kept + 8)
            good = load_int32(other + {REFERENCES}) == 1
{_fits("other", 3)}
            if good:
                store(kept + 8, array)
            else:
                element = load(place)
                rank = load(place + 16)
                call_function(increase, element, 0, 0, 0)
                other = call_function(load(table + 48), rank, place + 24, element, 0)
                if other == 0:
                    return 0
                call_function(load(table + 40), array, 0, 0, 0)
            store(kept, other)
            array = other
        kept += 16
{_bound("array", 2)}

    rows = load(table + 64)
    total = load(table + 72)
    driver = load(table + 80)
    if driver == 0:
        for row in range(rows, rows + 48 * total, 48):
            call_kernel(load(row), load(row + 8), load(row + 16), load(row + 24))
    else:
        call_function(driver, rows, total, load(table + 88), load(table + 96))

    kept = load(table + 120)
    if load(table + 112) != 0:
        result = load(kept)
        call_function(increase, result, 0, 0, 0)
        return result
    result = call_function(load(table + 56), outputs, 0, 0, 0)
    if result == 0:
        return 0
    items = load(result + {LIST_ITEMS})
    for number in range(outputs):
        array = load(kept + 16 * number)
        call_function(increase, array, 0, 0, 0)
        store(items + 8 * number, array)
    return result
'''


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


@cache
def _method() -> _Method:
    """Return the description of the one function that all programs share."""
    return _Method(b"program", address(ENTRY), FAST_CALL, None)


@cache
def _functions() -> tuple[int, ...]:
    """Return the addresses of what the entry calls in Python and NumPy."""
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    functions = api.PyCapsule_GetPointer(capsule, None)
    empty = ctypes.c_int64.from_address(functions + 8 * EMPTY).value
    counting = (function_address(api.Py_IncRef), function_address(api.Py_DecRef))
    return (*counting, empty, function_address(api.PyList_New))


def entry(
    inputs: Sequence[ArgumentSpec],
    outputs: Sequence[ArgumentSpec],
    operands: np.ndarray,
    rows: np.ndarray,
    driver: tuple[int, int, int] | None = None,
    single: bool = False,
) -> Callable[..., Any] | None:
    """Return a function of arrays that runs the rows, or None where there is none.

    Args:
        inputs: what the arguments have to be, and the slots of their addresses; their
            dimensions are numbers.
        outputs: the same for the outputs.
        operands: the table that the addresses are written to.
        rows: the table of kernels, as in ``symgrad.run.driver``; all in one part.
        driver: the driver's address, number of threads and state, where the kernels
            need it; else they are called one after the other.
        single: return the only output by itself, not a list.

    Returns:
        A function that returns new arrays (or ones that nobody else refers to any
        more), or None, and then it has done nothing, if an argument is not as
        specified.
    """
    if not objects_are_known():
        return None
    kept = [
        np.empty([int(n) for n in spec.shape], spec.dtype)
        for spec in outputs
        for _ in range(2)
    ]
    items = ctypes.c_int64.from_address(id(kept) + LIST_ITEMS).value
    native, threads, state = driver or (0, 0, 0)
    table = [len(inputs), id(np.ndarray), operands.ctypes.data, id(None)]
    table += [*_functions(), rows.ctypes.data, len(rows), native, threads, state]
    table += [len(outputs), int(single), items]
    for spec in (*inputs, *outputs):
        sizes = [int(n) for n in spec.shape]
        table += [id(spec.dtype), spec.flags, len(sizes), *sizes]
        table += [len(spec.slots), *spec.slots]
    return _function(_Table(table, (kept, operands, rows, inputs, outputs)))


class _Table(np.ndarray):
    """A table of numbers that keeps alive what it has the addresses of."""

    refers: Any

    def __new__(cls, numbers: Sequence[int], refers: Any) -> "_Table":
        made = np.array(numbers, np.int64).view(cls)
        made.refers = refers
        return made


def _function(owner: np.ndarray) -> Callable[..., Any]:
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return make(ctypes.addressof(_method()), owner, None)


@cache
def objects_are_known() -> bool:
    """Whether lists and references lie in memory as the entry assumes."""
    if not layout_is_known():
        return False
    array = np.zeros((3, 5), np.int32)
    kept = [array, None]

    def read(start: int, offset: int) -> int:
        return ctypes.c_int64.from_address(start + offset).value

    items = read(id(kept), LIST_ITEMS)
    before = ctypes.c_int32.from_address(id(array) + REFERENCES).value
    kept[1] = array
    after = ctypes.c_int32.from_address(id(array) + REFERENCES).value
    known = read(items, 0) == id(array) and (before, after) == (2, 3)
    return known and _empty_is_known()


def _empty_is_known() -> bool:
    """Whether NumPy's function of that number makes an array of a shape and type."""
    empty = ctypes.PYFUNCTYPE(
        ctypes.py_object,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.py_object,
        ctypes.c_int,
    )(_functions()[2])
    shape, kind = np.array([3, 5], np.int64), np.dtype("int32")
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kind))  # the function takes it over
    made = empty(2, shape.ctypes.data, kind, 0)
    return made.shape == (3, 5) and made.dtype is kind
