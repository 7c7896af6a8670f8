"""A slow, obvious evaluator of graphs: the meaning of a comprehension, in NumPy.

It shares nothing with the compiler but the declared graph, so it serves as an
independent answer in tests.  It visits every point of the full iteration space.
"""

from __future__ import annotations

import numpy as np
import scipy.special

from symgrad.declare.comprehension import Comprehension, Index, Quotient, Value
from symgrad.declare.dims import evaluate
from symgrad.declare.loop import Final, Stacked, States
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import (
    Constant,
    Reshape,
    SizeOf,
    Tensor,
    topological,
)

SCALAR = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "neg": np.negative, "pow": np.power, "floordiv": np.floor_divide, "mod": np.mod,
    "fma": lambda x, y, z: x * y + z,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or,
    "xor": np.logical_xor, "not": np.logical_not, "isnan": np.isnan,
    "isinf": np.isinf, "isfinite": np.isfinite, "select": np.where,
    "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil,
    "trunc": np.trunc, "round": np.round, "maximum": np.maximum,
    "minimum": np.minimum, "relu": lambda x: np.where(x > 0, x, np.where(x != x, x, 0)),
    "stop_gradient": lambda x: x, "copysign": np.copysign, "sqrt": np.sqrt,
    "cbrt": np.cbrt, "reciprocal": lambda x: 1 / x, "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "sigmoid": scipy.special.expit, "softplus": lambda x: np.logaddexp(0, x),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "erf": scipy.special.erf, "erfc": scipy.special.erfc,
    "lgamma": scipy.special.gammaln, "digamma": scipy.special.digamma,
    "trigamma": lambda x: scipy.special.polygamma(1, x),
    "polygamma": scipy.special.polygamma,
    "threefry": lambda k, c: threefry(k, c),
    "fold_bits": lambda x: (x >> 32 ^ x) & 0xFFFFFFFF,
}  # fmt: skip
REDUCE = {
    "sum": (np.sum, 0), "prod": (np.prod, 1), "max": (np.max, -np.inf),
    "min": (np.min, np.inf), "any": (np.any, False), "all": (np.all, True),
}  # fmt: skip


def threefry(key, counter):
    """Threefry-2x32 with 20 rounds, from the paper of Salmon et al. (2011)."""
    key, counter = (np.asarray(a).astype(np.uint64) for a in (key, counter))
    low = np.uint64(0xFFFFFFFF)
    k = [(key >> np.uint64(32)).astype(np.uint32), (key & low).astype(np.uint32)]
    k.append(k[0] ^ k[1] ^ np.uint32(0x1BD11BDA))
    x = (counter >> np.uint64(32)).astype(np.uint32) + k[0]
    y = (counter & low).astype(np.uint32) + k[1]
    for turn in range(20):
        r = ((13, 15, 26, 6), (17, 29, 16, 24))[turn // 4 % 2][turn % 4]
        x = x + y
        y = (y << np.uint32(r) | y >> np.uint32(32 - r)) ^ x
        if turn % 4 == 3:
            n = turn // 4 + 1
            x, y = x + k[n % 3], y + k[(n + 1) % 3] + np.uint32(n)
    return (x.astype(np.uint64) << np.uint64(32) | y).astype(np.int64)


def evaluate_graph(outputs, values, sizes=None):
    """Return the arrays of ``outputs``; ``values`` maps leaves (or names) to arrays."""
    sizes = dict(sizes or {})
    known = {}
    order = topological(outputs)
    for t in order:
        if t.name is not None:
            array = np.asarray(values[t] if t in values else values[t.name], t.dtype)
            for d, s in enumerate(t.shape):
                if not isinstance(s, int) and repr(s).isidentifier():
                    sizes[repr(s)] = array.shape[d]
            known[t] = array
    with np.errstate(all="ignore"):
        for t in order:
            if t not in known:
                known[t] = node(t, [known[a] for a in t.args], sizes)
    return [known[t] for t in outputs]


def node(t: Tensor, args: list, sizes: dict) -> np.ndarray:
    """Return the array of one node, given those of its operands."""
    shape = tuple(evaluate(s, sizes) for s in t.shape)
    match t.op:
        case Constant(value=value):
            return value
        case SizeOf(dim=dim):
            return np.asarray(evaluate(dim, sizes), t.dtype)
        case Reshape():
            return args[0].reshape(shape)
        case Comprehension():
            return _statement(t.op, args, t.dtype, shape, sizes)
        case Final() | States() | Stacked():
            return _loop(t.op, args, sizes)
    raise AssertionError(t.op)


def _loop(op, args, sizes):
    """Run all steps, one after another, whatever result is asked for."""
    loop, length = op.loop, evaluate(op.loop.length, sizes)
    carries = args[: len(loop.updates)]
    wanted = op.value if isinstance(op, Stacked) else loop.updates[op.number]
    order = range(length)[::-1] if loop.reverse else range(length)
    first = len(loop.updates) + loop.sequences
    rows = {}
    for k in order:
        elements = [a[k] for a in args[len(loop.updates) : first]]
        known = dict(
            zip(loop.formals, [*carries, *elements, *args[first:]], strict=True)
        )
        for t in topological([*loop.updates, wanted]):
            if t not in known:
                known[t] = node(t, [known[a] for a in t.args], sizes)
        carries = [known[u] for u in loop.updates]
        rows[k] = known[wanted]
    if isinstance(op, Final):
        return carries[op.number]
    stack = [rows[k] for k in range(length)]
    if isinstance(op, States):
        stack.insert(length if loop.reverse else 0, args[op.number])
    shape = [evaluate(s, sizes) for s in wanted.shape]
    return np.array(stack, wanted.dtype).reshape(len(stack), *shape)


def _statement(c: Comprehension, args, dtype, shape, sizes) -> np.ndarray:
    extents = tuple(evaluate(e, sizes) for e in c.extents)
    grid = np.meshgrid(*(np.arange(e) for e in extents), indexing="ij", sparse=True)
    reads: dict[int, np.ndarray] = {}

    def index(i: Index) -> np.ndarray:
        total = np.asarray(evaluate(i.constant, sizes))
        for atom, factor in i.terms:
            if isinstance(atom, Quotient):
                value = index(atom.index) // atom.divisor
            elif isinstance(atom, Value):
                n = evaluate(atom.size, sizes)
                value = read(atom.read)
                value = np.clip(np.where(value < 0, value + n, value), 0, n - 1)
            else:
                value = grid[atom]
            total = total + factor * value
        return total

    def read(k: int) -> np.ndarray:
        if k not in reads:
            array = args[c.reads[k].operand]
            where = [
                np.clip(index(i), 0, max(n - 1, 0))
                for i, n in zip(c.reads[k].index, array.shape, strict=True)
            ]
            if array.size == 0:
                reads[k] = np.zeros(extents, array.dtype)
            else:
                reads[k] = array[tuple(np.broadcast_arrays(*where))] if where else array
        return reads[k]

    def body(e: Expr):
        match e.fn:
            case "read":
                return read(e.value)
            case "axis":
                return grid[e.value]
            case "number":
                return e.value
            case "size":
                return evaluate(e.value, sizes)
        return SCALAR[e.fn](*(body(a) for a in e.args))

    value = np.broadcast_to(body(c.body), extents)
    keep = np.ones((), bool)
    for g in c.guards:
        i = index(g.index)
        keep = keep & (i >= 0) & (i % g.modulus == 0)
        if g.bound is not None:
            keep = keep & (i < evaluate(g.bound, sizes))
    if c.target is not None:
        out = np.zeros(shape, dtype)
        where = np.broadcast_arrays(
            *(np.broadcast_to(index(i), extents) for i in c.target)
        )
        np.add.at(out, tuple(where), np.where(keep, value, 0).astype(dtype))
        return out
    axes = tuple(range(c.rank, len(extents)))
    if c.reduce is None:
        return np.where(keep, value, 0).astype(dtype)
    if c.reduce in ("argmax", "argmin"):
        return getattr(np, c.reduce)(value, axis=axes[0]).astype(dtype)
    function, identity = REDUCE[c.reduce]
    if c.reduce in ("max", "min"):
        value = value.astype(np.float64) if c.guards else value
    kept = value if keep.all() else np.where(keep, value, identity)
    if c.reduce in ("sum", "prod"):
        kept = kept.astype(dtype)
    return function(kept, axis=axes).astype(dtype)
