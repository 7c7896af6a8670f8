"""Formulas for a group of nodes: what the emitter writes on top of each kernel.

    h[i, j] = relu(sum[k](x[i, k]*W[k, j]) + b[j])

Nodes that the group uses once are written into their user; the others get a line of
their own.  Every node is visited once, so the cost is linear in the group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from symgrad.declare import scalar
from symgrad.declare.comprehension import (
    AXIS_LETTERS,
    Comprehension,
    Guard,
    Index,
    Value,
)
from symgrad.declare.scalar import Expr
from symgrad.declare.tensor import (
    Constant,
    Reshape,
    SizeOf,
    Tensor,
    op_name,
    print_shape,
    scalar_value,
)

#: A text and how strongly it binds (the scale of ``scalar.to_text``; 9 is an atom).
Text = tuple[str, int]
#: A node whose formula has more operations than this keeps a line of its own.
LONGEST = 24
ATOM = 9


def describe_group(outputs: Sequence[Tensor], names: Mapping[Tensor, str]) -> list[str]:
    """Return one line for each output, after lines for what several of them share.

    Args:
        outputs: the results of the group; those in ``names`` are called so.
        names: operands, whose own formulas are not shown, and names of the outputs.

    >>> import symgrad as sg
    >>> x, b = sg.input("x", (3, 4)), sg.input("b", (4,))
    >>> h = sg.relu(x + b)
    >>> describe_group([h], {x: "x", b: "b", h: "h"})
    ['h[i, j] = relu(x[i, j] + b[j])']
    """
    return _Group(outputs, names).lines()


@dataclass
class _Line:
    """The letters of one line: each loop that is written down gets the next one."""

    used: int = 0

    def letter(self) -> str:
        self.used += 1
        n = self.used - 1
        return AXIS_LETTERS[n] if n < len(AXIS_LETTERS) else f"i{n}"


@dataclass
class _Group:
    outputs: Sequence[Tensor]
    names: Mapping[Tensor, str]
    called: dict[Tensor, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the lines, operands before their users."""
        ends = set(self.outputs)
        inner = self._inner(ends)
        own = self._own_lines(inner, ends)
        taken = set(self.names.values())
        for t in own:
            self.called[t] = self.names.get(t) or _fresh(taken)
        return [self._line(t) for t in own]

    def _inner(self, ends: set[Tensor]) -> list[Tensor]:
        """Return the nodes of the group in order: from the outputs to the operands."""
        order: list[Tensor] = []
        seen: set[Tensor] = set()
        stack = [(t, False) for t in reversed(self.outputs)]
        while stack:
            t, done = stack.pop()
            if done:
                order.append(t)
            elif t not in seen and (t in ends or not self._is_leaf(t)):
                seen.add(t)
                stack.append((t, True))
                stack += [(a, False) for a in reversed(t.args)]
        return order

    def _is_leaf(self, t: Tensor) -> bool:
        return t in self.names or not isinstance(t.op, Comprehension | Reshape)

    def _own_lines(self, inner: list[Tensor], ends: set[Tensor]) -> list[Tensor]:
        """Return the nodes that are not written into their one user."""
        uses: dict[Tensor, int] = {}
        for t in inner:
            for a in _reads(t):
                uses[a] = uses.get(a, 0) + 1
        whole = {t.args[0] for t in inner if isinstance(t.op, Reshape)}
        weight: dict[Tensor, int] = {}
        own = []
        for t in inner:
            parts = [weight.get(a, 0) for a in t.args]
            weight[t] = 1 + sum(parts)
            scatters = isinstance(t.op, Comprehension) and t.op.target is not None
            free = uses.get(t) == 1 or self._is_moved_leaf(t)
            alone = free and t not in ends and t not in whole
            if not alone or scatters or weight[t] > LONGEST:
                own.append(t)
                weight[t] = 0
        return own

    def _is_moved_leaf(self, t: Tensor) -> bool:
        """Return True for a leaf under other indices: as short as a name."""
        c = t.op
        if not isinstance(c, Comprehension) or not c.is_movement or c.guards:
            return False
        return len(t.args) == 1 and self._is_leaf(t.args[0])

    def _line(self, t: Tensor) -> str:
        line = _Line()
        axes: list[Text] = [(line.letter(), ATOM) for _ in range(t.ndim)]
        where = ", ".join(text for text, _ in axes)
        name = self.called[t]
        if isinstance(t.op, Comprehension) and t.op.target is not None:
            line = _Line()
            axes = [(line.letter(), ATOM) for _ in t.op.extents]
            statement = _Statement(self, t, axes, line)
            where = ", ".join(statement.index(i)[0] for i in t.op.target)
            return f"{name}[{where}] += {statement.body(bare=True)[0]}"
        text, _ = self.formula(t, axes, line)
        return f"{name}[{where}] = {text}" if where else f"{name} = {text}"

    def formula(self, t: Tensor, axes: Sequence[Text], line: _Line) -> Text:
        """Return the value of ``t`` at the given indices, written out."""
        if isinstance(t.op, Reshape):
            source = self._name(t.args[0])
            return (
                _subscript(f"reshape({source}, {print_shape(t.shape)})", axes),
                ATOM,
            )
        if not isinstance(t.op, Comprehension):
            return _subscript(self._name(t), axes), ATOM
        bound: list[Text] = [(line.letter(), ATOM) for _ in t.op.reduced]
        statement = _Statement(self, t, [*axes, *bound], line)
        body = statement.body(bare=t.op.reduce is not None)
        if t.op.reduce is None:
            return body
        loops = ", ".join(text for text, _ in bound)
        return f"{t.op.reduce}[{loops}]({body[0]})", ATOM

    def operand(self, t: Tensor, axes: Sequence[Text], line: _Line) -> Text:
        """Return an operand at the given indices: by name, or written out."""
        if t in self.called or self._is_leaf(t):
            return _subscript(self._name(t), axes), ATOM
        return self.formula(t, axes, line)

    def _name(self, t: Tensor) -> str:
        found = self.called.get(t) or self.names.get(t)
        if found is not None:
            return found
        known = scalar_value(t)
        if known is not None:
            return f"{known:.9g}" if isinstance(known, float) else str(known)
        if isinstance(t.op, Constant | SizeOf):
            return op_name(t.op)
        return t.name or op_name(t.op)


def _reads(t: Tensor) -> list[Tensor]:
    """Return the operand of each place where the formula of ``t`` mentions one."""
    if not isinstance(t.op, Comprehension):
        return list(t.args)
    mentioned = _mentions(t.op.body)
    for index in [g.index for g in t.op.guards] + list(t.op.target or ()):
        mentioned += _values(index)
    for n in mentioned:  # grows while it is walked: an index may mention further reads
        for index in t.op.reads[n].index:
            mentioned += _values(index)
    return [t.args[t.op.reads[n].operand] for n in mentioned]


def _mentions(e: Expr) -> list[int]:
    if e.fn == "read":
        return [e.value]
    return [n for a in e.args for n in _mentions(a)]


def _values(index: Index) -> list[int]:
    return sorted(index.values())


@dataclass
class _Statement:
    """One comprehension, written with the texts of its axes."""

    group: _Group
    t: Tensor
    axes: Sequence[Text]
    line: _Line

    @property
    def c(self) -> Comprehension:
        assert isinstance(self.t.op, Comprehension)
        return self.t.op

    def body(self, bare: bool = False) -> Text:
        """Return the body, with its guards (in parentheses unless ``bare``)."""
        text, binds = self.expression(self.c.body)
        if not self.c.guards:
            return text, binds
        tests = " and ".join(map(self._guard, self.c.guards))
        guarded = f"{text} if {tests} else 0"
        return (guarded, 0) if bare else (f"({guarded})", ATOM)

    def expression(self, e: Expr) -> Text:
        """Return a scalar expression, with parentheses only where they are needed."""
        if e.fn == "read":
            return self._read(e.value)
        if e.fn == "axis":
            return self.axes[e.value]
        if not e.args:
            shown = f"{e.value:.9g}" if isinstance(e.value, float) else str(e.value)
            return shown, ATOM if not shown.startswith("-") else 7
        own = scalar._PRECEDENCE.get(e.fn, ATOM)
        parts = [self.expression(a) for a in e.args]
        if e.fn == "neg":
            return "-" + _wrapped(parts[0], own), own
        if e.fn in scalar.INFIX:
            left = own + 1 if e.fn == "pow" or own == 4 else own
            right = own if e.fn in ("add", "mul") else own + 1
            symbol = scalar.INFIX[e.fn] if own >= 6 else f" {scalar.INFIX[e.fn]} "
            text = _wrapped(parts[0], left) + symbol + _wrapped(parts[1], right)
            return text, own
        name = "where" if e.fn == "select" else e.fn
        return f"{name}({', '.join(p for p, _ in parts)})", ATOM

    def index(self, i: Index) -> Text:
        """Return an index over the texts of the axes."""
        parts = []
        for atom, factor in i.terms:
            if isinstance(atom, int):
                part = self.axes[atom]
            elif isinstance(atom, Value):
                part = self._read(atom.read)
            else:
                text = f"{_wrapped(self.index(atom.index), 7)}//{atom.divisor}"
                part = (text, 6) if factor == 1 else (f"({text})", ATOM)
            parts.append(_scaled(part, factor))
        if i.constant != 0 or not parts:
            parts.append(str(i.constant))
        text = " + ".join(parts).replace("+ -", "- ")
        if len(parts) > 1:
            return text, 5
        plain = bool(i.terms) and i.terms[0][1] == 1
        return (text, self._binding(i)) if plain else (text, 6)

    def _binding(self, i: Index) -> int:
        atom = i.terms[0][0]
        if isinstance(atom, int):
            return self.axes[atom][1]
        return ATOM if isinstance(atom, Value) else 6

    def _read(self, k: int) -> Text:
        r = self.c.reads[k]
        where = [self.index(i) for i in r.index]
        return self.group.operand(self.t.args[r.operand], where, self.line)

    def _equation(self, i: Index) -> str:
        """Return ``index == 0`` with the subtracted terms on the other side."""
        left = [t for t in i.terms if t[1] > 0]
        right = [(atom, -factor) for atom, factor in i.terms if factor < 0]
        sides = Index(tuple(left), i.constant), Index(tuple(right))
        return " == ".join(self.index(side)[0] for side in sides)

    def _guard(self, g: Guard) -> str:
        if g.bound == 1 and g.modulus == 1:
            return self._equation(g.index)
        text = self.index(g.index)
        tests = []
        if g.modulus != 1:
            tests.append(f"{_wrapped(text, 7)} % {g.modulus} == 0")
        tests.append(f"0 <= {text[0]}" + ("" if g.bound is None else f" < {g.bound}"))
        return " and ".join(tests)


def _scaled(text: Text, factor: int) -> str:
    if factor == 1:
        return text[0]
    if factor == -1:
        return "-" + _wrapped(text, 6)
    return f"{factor}*{_wrapped(text, 6)}"


def _wrapped(text: Text, outer: int) -> str:
    return f"({text[0]})" if text[1] < outer else text[0]


def _subscript(name: str, axes: Sequence[Text]) -> str:
    return f"{name}[{', '.join(text for text, _ in axes)}]" if axes else name


def _fresh(taken: set[str]) -> str:
    n = 1
    while f"t{n}" in taken:
        n += 1
    taken.add(f"t{n}")
    return f"t{n}"
