"""Skip connections: a slope of 1 beside the block's, and what that does to depth."""

from __future__ import annotations

from typing import Any

from symgrad.drawing.highways import local_derivative
from symgrad.explainer import builtin
from symgrad.explainer import markup as m
from symgrad.explainer.roads import Highway, sized, width
from symgrad.explainer.story import Figure, Scene, line, lines, plural, signed
from symgrad.explainer.subject import Subject


def choose(s: Subject) -> tuple[Highway, str]:
    """Return the model's road, or the built-in one with a note."""
    if s.highway is not None:
        return s.highway, ""
    other = builtin.substitute()
    assert other.highway is not None
    return other.highway, f"{s.name} has no shortcut; {other.name} stands in."


def skip(s: Subject) -> Scene:
    """Return the scene of one shortcut."""
    h, note = choose(s)
    share = h.shares[0]
    r = share.residual
    x, f = m.sym("x"), m.sym("f")
    block = sum(share.blocks)
    count = len(h.road.residuals) if h.road else 1
    paths = 2.0**count
    rows = [
        line(m.whole(m.sym("y"), m.op("="), x, m.op("+"), f, m.op("("), x, m.op(")")),
             f"{r.name} adds to its input", at=0.5, size="large", tone="forward"),
        line(m.whole(m.partial(m.sym("y"), x), m.op("="), _local(local_derivative(r))),
             "so the derivative gains a term that no weight can shrink", at=2.6,
             size="large", tone="backward"),
        line(m.whole(m.num(share.road)), "norm of the gradient by the road, measured",
             then=f"and {signed(block)} through {_short(r.name)}", at=5.0),
        line(m.whole(m.power(m.num(2.0), m.num(str(count))), m.op("="),
                     m.num(f"{paths:,.0f}" if paths < 1e6 else signed(paths))),
             f"paths through {plural(count, 'such block')}: multiply out the product "
             "of 1 + ∂f/∂x; one of them is all ones", at=7.0),
    ]  # fmt: skip
    figure: Figure = {
        "kind": "roads", "weight": 1.1,
        "alt": f"A road past the block {r.name}: the gradient passes by both.",
        "lanes": [{
            "road": True, "at": 5.0, "start": "x", "end": "y",
            "forward": 0.6, "forwardFor": 1.6, "backward": 3.0, "backwardFor": 1.8,
            "blocks": [{"name": _short(r.name), "road": 9,
                        "block": width(block, [share.road, block], 7),
                        "notes": [{"text": f"road {sized(share.by_road)}",
                                   "tone": "backward-ink"},
                                  {"text": f"block {sized(1 - share.by_road)}",
                                   "tone": "muted"}]}],
        }],
    }  # fmt: skip
    return Scene(
        "skip", "A shortcut adds one", 9.0,
        [
            (0.0, "A residual block adds its input to its result: a road past the "
                  "block."),
            (2.8, "The derivative of the road is 1, whatever the block does."),
            (6.2, f"Here {sized(share.by_road)} of what arrives at x came along the "
                  "road."),
        ],
        [figure, lines(*rows)],
        note=note,
    )  # fmt: skip


def _local(text: str) -> str:
    """Return ``1 + ∂f/∂x`` as MathML."""
    parts = []
    for n, term in enumerate(text.split(" + ")):
        above, slash, below = term.partition("/")
        parts += [m.op("+")] if n else []
        if slash and term.startswith("∂"):
            parts.append(m.partial(m.sym(above[1:]), m.sym(below[1:])))
        else:
            parts.append(m.expression_text(term) if term[0].isdigit() else m.word(term))
    return m.row(*parts)


def _distinct(names: list[str]) -> list[str]:
    """Return names of which those that occur twice are numbered."""
    found = []
    for k, name in enumerate(names):
        number = names[: k + 1].count(name)
        found.append(f"{name}.{number}" if names.count(name) > 1 else name)
    return found


def _short(name: str) -> str:
    return name.rpartition("/")[2] or name


def highway(s: Subject) -> Scene:
    """Return the scene of a road with and without its shortcuts."""
    h, note = choose(s)
    bare, along = h.bare, h.along
    sizes = [*along, *bare.along]
    flows = [*sizes, *(sum(v.blocks) for v in h.shares)]
    kept, faded = _kept(along), _kept(bare.along)
    assert h.road is not None
    every, shown = len(h.road.residuals), len(h.chosen)
    with_road: list[dict[str, Any]] = []
    without: list[dict[str, Any]] = []
    names = _distinct([_short(v.residual.name) for v in h.shares])
    for k, (share, name) in enumerate(zip(h.shares, names, strict=True)):
        with_road.append({
            "name": name, "road": width(along[k], sizes, 11),
            "block": width(sum(share.blocks), flows, 8),
            "notes": [{"text": f"road {sized(share.by_road)}",
                       "tone": "backward-ink"}],
        })  # fmt: skip
        wide = width(bare.along[k], sizes, 11)
        without.append({
            "name": name, "road": wide, "fade": max(0.25, min(1.0, wide / 8)),
            "notes": [{"text": f"‖g‖ {signed(bare.along[k])}",
                       "tone": "backward-ink"}],
        })  # fmt: skip
    ends = ((0.0, along[0], 5.0), (1.0, along[-1], 2.6))
    marks = [
        {"place": p, "text": f"‖g‖ {signed(size)}", "tone": "backward", "at": at}
        for p, size, at in ends
    ]
    figure: Figure = {
        "kind": "roads", "weight": 1,
        "alt": f"{shown} blocks with shortcuts and without: widths show the gradient.",
        "lanes": [
            {"title": f"with shortcuts: loss {signed(h.subject.loss_value)}",
             "short": f"with: loss {signed(h.subject.loss_value)}",
             "road": True, "at": 4.6, "forward": 0.4,
             "forwardFor": 1.6, "backward": 2.6, "backwardFor": 2.4,
             "blocks": with_road, "marks": marks},
            {"title": f"the same blocks without: loss {signed(bare.loss)}",
             "short": f"without: loss {signed(bare.loss)}",
             "road": False, "at": 6.4,
             "forward": 0.4, "forwardFor": 1.6, "backward": 4.4, "backwardFor": 2.4,
             "blocks": without},
        ],
    }  # fmt: skip
    left = f" ({shown} of {every} shown)" if shown < every else ""
    return Scene(
        "highway", "The gradient highway", 9.5,
        [
            (0.0, f"{plural(every, 'block')} in a row{left}. Shortcuts join into one "
                  "straight road to the loss."),
            (2.6, f"With it, the gradient at the first block is {signed(kept)} times "
                  "that at the last."),
            (6.0, f"Without shortcuts it is {signed(faded)} times: "
                  f"{_verdict(kept, faded)}."),
        ],
        [figure], "column",
        note=note,
    )  # fmt: skip


def _kept(sizes: list[float]) -> float:
    return sizes[0] / sizes[-1] if sizes[-1] > 0 else 0.0


def _verdict(kept: float, faded: float) -> str:
    if not faded > 0:
        return "nothing arrives"
    factor = kept / faded
    if factor > 1.5:
        return f"{signed(factor)} times less arrives"
    if factor < 0.67:
        return f"here {signed(1 / factor)} times more arrives: these blocks amplify"
    return "here it hardly matters: these blocks keep the gradient's size"
