"""The chain rule from layer to layer, derived from the graph between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.declare import dtypes
from symgrad.declare.tensor import (
    Constant,
    Input,
    Param,
    Tensor,
    constant,
    input,
    topological,
)
from symgrad.derivation.reverse import reverse
from symgrad.drawing.condense import Box
from symgrad.drawing.labels import isolated
from symgrad.explainer import markup as m
from symgrad.notation.local import local_form
from symgrad.notation.names import leaf_names
from symgrad.notation.render import unicode_text

LONGEST = 64  # letters of a formula that a reader takes in at a glance
LONGEST_NAME = 14  # letters of a leaf in a formula
MOST = 40  # nodes between two layers whose formula is written out


def names_of(
    order: Sequence[Tensor], stations: Mapping[Tensor, str]
) -> dict[Tensor, str]:
    """Return names for the leaves of a graph, and for its stations."""
    taken = set(stations.values())
    leaves = [n for n in order if isinstance(n.op, Input | Param)]
    found = leaf_names(leaves)
    clashing = {t: f"{n}_" if n in taken else n for t, n in found.items()}
    return {**clashing, **stations}


def step(
    above: Tensor, below: Tensor, names: Mapping[Tensor, str], seed_name: str | None
) -> str | None:
    """Return what the gradient of ``above`` becomes at ``below``, as MathML.

    Args:
        above: a node that is computed from ``below``.
        below: the node that the gradient comes to.
        names: of the leaves and of both.
        seed_name: the name of the gradient of ``above``; None if that is the loss.

    Returns:
        The derived formula; None where it is too long to read.
    """
    members, sources = _between(above, below, names)
    if len(members) > MOST or not dtypes.is_float(below.dtype):
        return None
    copy, places = isolated(Box(above, members, sources))
    if seed_name is None:
        seed = constant(1.0, copy.dtype)
    else:
        seed = input(seed_name, copy.shape, copy.dtype)
    target = places[below]
    part = reverse([copy], [target], [seed]).cotangents.get(target)
    if part is None or len(topological([part])) > 2 * MOST:
        return None
    known = _named(above, sources, places, names, seed_name)
    if seed_name is not None:
        known[seed] = seed_name
    ways = [local_form(part, known)[0]]
    if above in names and copy is not part:
        ways.append(local_form(part, {**known, copy: names[above]}, copy)[0])
    best = min(ways, key=lambda f: len(unicode_text(f)))
    return m.formula(best) if len(unicode_text(best)) <= LONGEST else None


def value(t: Tensor, names: Mapping[Tensor, str]) -> str | None:
    """Return the formula of a node over the named ones below it, if it is short."""
    members, sources = _between(t, t, names)
    if len(members) > MOST or not t.args:  # a loss that is a parameter says nothing
        return None
    sources = [n for n in sources if n is not t]
    known = _named(t, sources, {n: n for n in sources}, names, None)
    form = local_form(t, known)[0]
    return m.formula(form) if len(unicode_text(form)) <= LONGEST else None


def _named(
    above: Tensor,
    sources: Sequence[Tensor],
    places: Mapping[Tensor, Tensor],
    names: Mapping[Tensor, str],
    seed_name: str | None,
) -> dict[Tensor, str]:
    """Return names for what stands in a formula: short ones for its few leaves."""
    short = _short([t for t in sources if isinstance(t.op, Input | Param)], names)
    taken = {names[s] for s in (above, *sources) if s in names and s not in short}
    taken.add(seed_name or "")
    return {
        places[t]: short[t] if t in short and short[t] not in taken else names[t]
        for t in sources
    }


def _short(leaves: Sequence[Tensor], names: Mapping[Tensor, str]) -> dict[Tensor, str]:
    """Return the last parts of names, those that occur twice numbered in order.

    Stations that are inputs keep the symbol that they have.
    """
    leaves = [t for t in leaves if isinstance(t.op, Param) or not _symbol(names[t])]
    last = [_end(t.name or "") for t in leaves]
    seen: dict[str, int] = {}
    found = {}
    for t, n in zip(leaves, last, strict=True):
        seen[n] = seen.get(n, 0) + 1
        found[t] = f"{n}{seen[n]}" if last.count(n) > 1 else n
    return found


def _symbol(name: str) -> bool:
    return name[:1] == "h" and name[1:].isdigit()


def _end(name: str) -> str:
    last = name.rpartition("/")[2]
    return last if len(last) <= LONGEST_NAME else f"{last[: LONGEST_NAME - 1]}…"


def _between(
    above: Tensor, below: Tensor, named: Mapping[Tensor, str]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the nodes from ``below`` and other named ones to ``above``, and those."""
    members: list[Tensor] = []
    sources: dict[Tensor, None] = {below: None}
    seen = {above, below}
    pending = [above]
    while pending:
        node = pending.pop()
        members.append(node)
        for a in node.args:
            if isinstance(a.op, Input | Param) or a in named:
                sources[a] = None
            elif a not in seen and not isinstance(a.op, Constant):
                seen.add(a)
                pending.append(a)
    place = {n: k for k, n in enumerate(topological([above]))}
    return members, sorted(sources, key=lambda n: place.get(n, -1))
