"""Names in formulas: short for leaves, telling for hidden activations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from symgrad.declare.comprehension import Comprehension
from symgrad.declare.tensor import Tensor, op_name
from symgrad.notation.terms import Term, power_parts, refs

_ACTIVATIONS = {"relu", "sigmoid", "tanh", "softplus", "sin", "cos", "exp", "erf"}
_ACTIVATIONS |= {"maximum", "minimum", "select", "abs"}


def leaf_names(leaves: Sequence[Tensor]) -> dict[Tensor, str]:
    """Return a distinct name for each leaf, as short as the others allow.

    ``layer1/W`` is ``W`` where no other leaf ends so, else ``W1``, else ``layer1.W``.
    """
    names: dict[Tensor, str] = {}
    pending = list(leaves)
    for spell in (_last, _numbered, _dotted):
        wanted = [spell(t.name or op_name(t.op)) for t in pending]
        taken = set(names.values())
        clear = [wanted.count(w) == 1 and w not in taken for w in wanted]
        found = zip(pending, wanted, clear, strict=True)
        names |= {t: w for t, w, ok in found if ok}
        pending = [t for t, ok in zip(pending, clear, strict=True) if not ok]
    for t in pending:
        base = _dotted(t.name or op_name(t.op))
        names[t] = unused(f"{base}_", set(names.values()))
    return names


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _numbered(path: str) -> str:
    scope, _, name = path.rpartition("/")
    return name + (_number(scope) or "")


def _dotted(path: str) -> str:
    return path.replace("/", ".")


def _number(scope: str) -> str | None:
    """Return the number of the innermost scope that has one."""
    found = re.findall(r"\d+", scope)
    return found[-1] if found else None


def unused(base: str, taken: set[str]) -> str:
    """Return the base with the first number that is free."""
    n = 1
    while f"{base}{n}" in taken:
        n += 1
    return f"{base}{n}"


class Namer:
    """Names for definitions: H for activations, Z before them, G for gradients.

    ``matrices`` are what inverses and determinants are of: K, like a kernel's.
    """

    def __init__(
        self,
        names: dict[Tensor, str],
        forward: Iterable[Tensor],
        matrices: Iterable[Tensor] = (),
    ) -> None:
        self.names = names
        self.taken = set(names.values())
        self.forward = set(forward)
        self.matrices = set(matrices)

    def name(self, t: Tensor, term: Term, letter: str = "") -> str:
        """Return a new name for a definition, of a letter, and remember it."""
        letter = letter or self._letter(t, term)
        number = _number(t.scope) or self._from_parts(letter, term)
        if letter == "t" and t in self.matrices:
            free = (n for n in "KCMSQ" if n not in self.taken)
            chosen = next(free, None) or unused("K", self.taken)
        elif letter == "t":
            chosen = unused("t", self.taken)
        elif number is None:
            chosen = letter if letter not in self.taken else unused(letter, self.taken)
        else:
            chosen = self._beside(letter + number)
        self.names[t] = chosen
        self.taken.add(chosen)
        return chosen

    def rename(self, t: Tensor, term: Term) -> str:
        """Name a definition that says something else now."""
        self.taken.discard(self.names[t])
        return self.name(t, term)

    def _beside(self, wanted: str) -> str:
        for suffix in ("", *"bcdefghk"):
            if wanted + suffix not in self.taken:
                return wanted + suffix
        return unused("t", self.taken)

    def _letter(self, t: Tensor, term: Term) -> str:
        if t not in self.forward:
            return "G"
        if term.kind == "fam":
            return "P"
        if term.kind == "call" and term.value in _ACTIVATIONS:
            return "H"
        base, _ = power_parts(term)
        if base.kind == "red" and base.value[0] == "sum":
            return "Z"
        if (
            term.kind == "add"
            and t.ndim > 1
            and any(a.kind == "red" for a in term.args)
        ):
            return "Z"
        return "t"

    def _from_parts(self, letter: str, term: Term) -> str | None:
        """Return the layer's number, from the names of what the definition mentions.

        A later gradient that goes back through layer 3 into layer 2 belongs to 2; the
        first one, of the loss, to the last layer.
        """
        mentioned = [self.names[r.value] for r in refs(term) if r.value in self.names]
        numbered = (n for n in mentioned if not re.fullmatch(r"t\d+", n))
        numbers = [int(n) for name in numbered if (n := _trailing(name)) is not None]
        if not numbers:
            return None
        back = letter == "G" and any(re.fullmatch(r"G\d+", n) for n in mentioned)
        return str(min(numbers) if back else max(numbers))


def _trailing(name: str) -> str | None:
    found = re.search(r"(\d+)$", name)
    return found.group(1) if found else None


def gradient_nodes(order: Sequence[Tensor]) -> set[Tensor]:
    """Return the nodes that a transposed statement reaches: they are derivatives."""
    found: set[Tensor] = set()
    for t in order:
        own = isinstance(t.op, Comprehension) and t.op.name.endswith("_vjp")
        if own or any(a in found for a in t.args):
            found.add(t)
    return found
