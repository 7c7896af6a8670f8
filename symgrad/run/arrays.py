"""Checks a program's arguments and writes their addresses into its operand table.

The usual case, NumPy arrays just as the program wants them, is one call of native
code, which reads the array objects themselves.  Whether they lie in memory as assumed
is tried out once per process; where they do not, Python does the same more slowly.
"""

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from symgrad.errors import DTypeError, ShapeError
from symgrad.run.kernels import address

# Offsets in CPython's objects and NumPy's arrays, in bytes.
TYPE, LENGTH, ITEMS = 8, 16, 24
DATA, RANK, DIMENSIONS, DESCRIPTION, FLAGS = 16, 24, 32, 56, 64
C_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400  # NumPy's flags

FIXED, ANY, DEFINES, REPEATS = range(4)  # what an axis has to be

BIND = f'''"""Check the arrays of a tuple against a table and note their addresses.

The table: number of arrays, the type of arrays, addresses of the operands and of the
sizes of named dimensions, the type of tuples; for each array its element type, flags,
rank, for each axis what it has to be, and the operand slots that its address goes to;
at the end, the slots that sizes go to.  The result is 0, or 1 + the number of the first
array that is not as the table says; -1 if it is no tuple of as many items.
"""

from symgrad.emit.intrinsics.native import load, load_int32, store

FIXED, DEFINES, REPEATS = {FIXED}, {DEFINES}, {REPEATS}


def kernel(table, arrays):
    count = load(table)
    array_type = load(table + 8)
    operands = load(table + 16)
    sizes = load(table + 24)
    if load(arrays + {TYPE}) != load(table + 32):
        return -1
    if load(arrays + {LENGTH}) != count:
        return -1
    place = table + 40
    for number in range(count):
        array = load(arrays + {ITEMS} + 8 * number)
        flags = load(place + 8)
        rank = load(place + 16)
        if load(array + {TYPE}) != array_type:
            return number + 1
        if load(array + {DESCRIPTION}) != load(place):
            return number + 1
        if load_int32(array + {RANK}) != rank:
            return number + 1
        if load_int32(array + {FLAGS}) & flags != flags:
            return number + 1
        place += 24
        dimensions = load(array + {DIMENSIONS})
        for axis in range(rank):
            size = load(dimensions + 8 * axis)
            kind = load(place)
            value = load(place + 8)
            if kind == FIXED and size != value:
                return number + 1
            if kind == DEFINES:
                store(sizes + 8 * value, size)
            if kind == REPEATS and size != load(sizes + 8 * value):
                return number + 1
            place += 16
        slots = load(place)
        for slot in range(slots):
            place += 8
            store(operands + 8 * load(place), load(array + {DATA}))
        place += 8
    slots = load(place)
    for slot in range(slots):
        store(operands + 8 * load(place + 16), load(sizes + 8 * load(place + 8)))
        place += 16
    return 0
'''


@dataclass(frozen=True)
class ArgumentSpec:
    """What one argument has to be, and the operand slots that its address goes to.

    A dimension is a number, -1 for any, or a name, which is the same size wherever
    it occurs.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]
    slots: tuple[int, ...]
    writable: bool = False

    @property
    def flags(self) -> int:
        """Return NumPy's flags that an array for this argument has."""
        return C_CONTIGUOUS | ALIGNED | (WRITEABLE if self.writable else 0)


class ArgumentBinder:
    """Puts arguments into an operand table.

    `size_slots` gives, for named dimensions, the slots that their sizes go to.

    >>> operands = np.zeros(3, np.int64)
    >>> spec = ArgumentSpec("x", np.dtype("float32"), ("batch", 3), slots=(1,))
    >>> binder = ArgumentBinder([spec], operands, size_slots={"batch": [2]})
    >>> x = np.ones((5, 3), np.float32)
    >>> binder.bind((x,)), int(operands[1]) == x.ctypes.data, int(operands[2])
    (0, True, 5)
    >>> binder.bind((x[:, :2],)), binder.bind((x.T,))
    (1, 1)
    """

    bind: Callable[[tuple[Any, ...]], int]
    """Check a tuple of arrays and write their addresses: 0, or 1 + the number of the
    first that is not as specified (-1: not a tuple of the right length).  Then
    `convert` makes them so, or says what is wrong.  The arrays have to live as long
    as the program runs."""

    def __init__(
        self,
        specs: Sequence[ArgumentSpec],
        operands: np.ndarray,
        size_slots: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self._operands = operands
        self._size_slots = {n: tuple(s) for n, s in (size_slots or {}).items()}
        names = [d for spec in specs for d in spec.shape if isinstance(d, str)]
        self._variables = {name: i for i, name in enumerate(dict.fromkeys(names))}
        for name in self._size_slots:
            if name not in self._variables:
                raise ShapeError(f"no argument has a dimension named {name!r}")
        if layout_is_known():
            self._sizes = np.zeros(len(self._variables), np.int64)
            self._table = np.array(self._rows(), np.int64)
            pointer: Any = ctypes.c_int64(self._table.ctypes.data)
            pointer.owner = self  # what it points at lives as long as `bind`
            self.bind = partial(_native_bind(), pointer)
        else:
            self.bind = self._bind_slowly

    def _rows(self) -> list[int]:
        """Write the table that native code reads."""
        rows = [len(self.specs), id(np.ndarray)]
        rows += [self._operands.ctypes.data, self._sizes.ctypes.data, id(tuple)]
        defined: set[str] = set()
        for spec in self.specs:
            rows += [id(spec.dtype), spec.flags, len(spec.shape)]
            for dimension in spec.shape:
                if isinstance(dimension, str):
                    kind = REPEATS if dimension in defined else DEFINES
                    rows += [kind, self._variables[dimension]]
                    defined.add(dimension)
                else:
                    rows += [ANY if dimension == -1 else FIXED, dimension]
            rows += [len(spec.slots), *spec.slots]
        pairs = [
            (self._variables[n], s) for n, ss in self._size_slots.items() for s in ss
        ]
        rows.append(len(pairs))
        for pair in pairs:
            rows += pair
        return rows

    def _bind_slowly(self, arrays: tuple[Any, ...]) -> int:
        """Do what `bind` does, in Python."""
        if type(arrays) is not tuple or len(arrays) != len(self.specs):
            return -1
        sizes: dict[str, int] = {}
        for number, (spec, array) in enumerate(zip(self.specs, arrays, strict=True)):
            exact = type(array) is np.ndarray and array.dtype is spec.dtype
            if not exact or array.flags.num & spec.flags != spec.flags:
                return number + 1
            if _misfit(spec, array.shape, sizes):
                return number + 1
            self._operands[list(spec.slots)] = array.ctypes.data
        for name, slots in self._size_slots.items():
            self._operands[list(slots)] = sizes[name]
        return 0

    def convert(self, arguments: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """Return arrays that `bind` takes, or raise an error that says what is wrong.

        Arrays of any stride and byte order are taken, and what can be made an array
        without losing anything; an argument that the program writes to is not copied.
        """
        if len(arguments) != len(self.specs):
            raise ShapeError(
                f"the program takes {len(self.specs)} arguments, not {len(arguments)}"
            )
        sizes: dict[str, int] = {}
        arrays = []
        for spec, argument in zip(self.specs, arguments, strict=True):
            array = _as_array(spec, argument)
            problem = _misfit(spec, array.shape, sizes)
            if problem:
                raise ShapeError(problem)
            arrays.append(array)
        return tuple(arrays)


def _misfit(
    spec: ArgumentSpec, shape: tuple[int, ...], sizes: dict[str, int]
) -> str | None:
    """Say how a shape differs from the one specified; notes the sizes of names."""
    expected = ", ".join(map(str, spec.shape))
    if len(shape) != len(spec.shape):
        return f"{spec.name} has the shape {shape}, but is declared as ({expected})"
    for axis, (size, dimension) in enumerate(zip(shape, spec.shape, strict=True)):
        if dimension == -1:
            continue
        wanted = (
            sizes.setdefault(dimension, size)
            if isinstance(dimension, str)
            else dimension
        )
        if size != wanted:
            named = f"{dimension} = {wanted}" if dimension != wanted else f"{wanted}"
            return (
                f"{spec.name} has {size} along axis {axis} of ({expected}), not {named}"
            )
    return None


def _as_array(spec: ArgumentSpec, argument: Any) -> np.ndarray:
    """Return the argument as an aligned, contiguous array of the type specified."""
    array = _plain_array(spec, argument)
    same_type = array.dtype.newbyteorder("=") == spec.dtype
    is_plain = not hasattr(argument, "dtype")  # a number or a list of numbers
    if not same_type and not (is_plain and _holds(spec.dtype, array)):
        raise DTypeError(
            f"{spec.name} is {spec.dtype}, not {array.dtype}: convert it with "
            f".astype({str(spec.dtype)!r})"
        )
    if not spec.writable:
        converted = np.require(array, spec.dtype, ["C_CONTIGUOUS", "ALIGNED"])
        if converted.dtype is not spec.dtype:  # of the same meaning, another object
            converted = converted.view(spec.dtype)
        return converted.view(np.ndarray)
    if array.dtype != spec.dtype or array.flags.num & spec.flags != spec.flags:
        raise DTypeError(
            f"{spec.name} is written to: it has to be a writable, contiguous array of "
            f"{spec.dtype} in the machine's byte order"
        )
    return array.view(spec.dtype).view(np.ndarray)


def _plain_array(spec: ArgumentSpec, argument: Any) -> np.ndarray:
    """Return any argument as an array of numbers."""
    if isinstance(argument, np.ma.MaskedArray) and np.ma.is_masked(argument):
        raise DTypeError(
            f"{spec.name} is a masked array, and programs know no masks: fill it with "
            ".filled(value)"
        )
    try:
        array = np.asarray(argument)
    except ValueError:
        raise ShapeError(
            f"{spec.name} is a list of rows of different lengths; give an array of "
            f"the shape ({', '.join(map(str, spec.shape))})"
        ) from None
    if array.dtype.kind not in "biufc":
        what = type(argument).__name__
        if isinstance(argument, np.ndarray):
            what = f"an array of {array.dtype}"
        raise DTypeError(f"{spec.name} has to be an array of {spec.dtype}, not {what}")
    return array


def _holds(dtype: np.dtype[Any], array: np.ndarray) -> bool:
    """Whether plain numbers fit a type: a float does not fit an integer."""
    return np.can_cast(array.dtype, dtype, "same_kind")


@cache
def _native_bind() -> Any:
    """Load the native check; it keeps the interpreter's lock, as objects need."""
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.py_object)
    return kind(address(BIND))


@cache
def layout_is_known() -> bool:
    """Whether arrays and tuples lie in memory as the native check assumes."""
    if sys.implementation.name != "cpython" or np.ndarray.__basicsize__ < FLAGS + 4:
        return False
    array = np.zeros((3, 5), np.int32)
    pair = (array, None)

    def read(start: int, offset: int) -> int:
        return ctypes.c_int64.from_address(start + offset).value

    dimensions = read(id(array), DIMENSIONS)
    return (
        read(id(array), TYPE) == id(np.ndarray)
        and read(id(pair), TYPE) == id(tuple)
        and read(id(pair), LENGTH) == 2
        and read(id(pair), ITEMS) == id(array)
        and read(id(array), DATA) == array.ctypes.data
        and read(id(array), RANK) & 0xFFFFFFFF == 2
        and dimensions != 0
        and ctypes.string_at(dimensions, 16) == np.array([3, 5], np.int64).tobytes()
        and read(id(array), DESCRIPTION) == id(array.dtype)
        and read(id(array), FLAGS) & 0xFFFFFFFF == array.flags.num
    )
