"""Highways as a picture: roads straight and thick, blocks beside them, numbers on both.

The places of everything are known, so the DOT text holds them and Graphviz only draws
(``layout=nop2``).  Data go down; what is measured, the gradient, comes back up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symgrad.drawing.colours import KINDS, LogScale, number, on_scale
from symgrad.drawing.dot import FONT, QUIET, ramp
from symgrad.drawing.layout import escape

INK, NONE = "#1f2937", "#9aa2b1"
ROAD, BLOCK, WIDE = 118.0, 168.0, 190.0  # of the road, of a block, and how wide it is
PANEL = 462.0
LANE = 18.0  # the width of a road
COMPACT = 12  # more sums than this get a line each
MANY = 30  # and more than this are shown by the first and the last of them
ENDS = 10


@dataclass
class Block:
    """A block beside the road: its words, and the gradient that comes through it."""

    title: str
    detail: str
    hover: str
    size: float


@dataclass
class Row:
    """A residual sum, or a note in place of several.

    Attributes:
        blocks: one or more.
        road: the norm of what comes along the road, None in a model without roads.
        whole: the norm of the gradient at the start of the row.
        derivative: ``1 + ∂f/∂x``, as derived.
        factor: what the road multiplies by, where that is not 1.
        station: what lies on the road before the row.
        note: text of a row that stands for others.
    """

    blocks: list[Block]
    road: float | None
    whole: float
    derivative: str = ""
    factor: str = ""
    station: str = ""
    note: str = ""


@dataclass
class Panel:
    """A road with its title, and the words at its ends."""

    title: str
    subtitle: str
    start: str
    end: str
    rows: list[Row]
    last: float  # the norm of the gradient at the end of the road
    note: str = ""


@dataclass
class Roadmap:
    """Panels side by side, on one scale."""

    panels: list[Panel]
    scale: LogScale
    parts: list[str] = field(default_factory=list)
    count: int = 0

    def dot(self) -> str:
        """Return the picture as DOT text."""
        heights = [self._panel(p, n * PANEL) for n, p in enumerate(self.panels)]
        low = max(heights)
        caption = "‖gradient‖ on its way up, dark = large"
        self.parts.append(
            f'legend [pos="{ROAD + 24:.0f},{-low - 34:.0f}", fixedsize=false, '
            f'shape=plain, style="", label=<{ramp(self.scale, caption)}>];'
        )
        head = (
            "digraph symgrad {\n"
            "  graph [layout=nop2, outputorder=edgesfirst, bgcolor=white, pad=0.2];\n"
            f'  node [fontname="{FONT}", fontsize=10, shape=box, fixedsize=true,\n'
            '        style="rounded,filled", fillcolor=white, penwidth=1.1];\n'
            f'  edge [fontname="{FONT}", fontsize=9, arrowhead=none];\n'
        )
        return "\n".join([head, *(f"  {p}" for p in self.parts), "}"]) + "\n"

    # -- shapes ----------------------------------------------------------------------

    def _node(self, x: float, y: float, wide: float, high: float, look: str) -> str:
        self.count += 1
        place = f'pos="{x:.1f},{-y:.1f}", width={wide / 72:.4f}, height={high / 72:.4f}'
        self.parts.append(f"p{self.count} [{place}, {look}];")
        return f"p{self.count}"

    def _text(
        self, x: float, y: float, text: str, side: str = "l", look: str = ""
    ) -> None:
        """Write a line of text that begins, ends or has its middle at ``x``."""
        wide = 8.0 * len(text) + 20
        shift = {"l": wide / 2, "r": -wide / 2, "n": 0.0}[side]
        label = escape(text) + ("" if side == "n" else f"\\{side}")
        style = look or f'fontcolor="{QUIET}", fontsize=9'
        self._node(
            x + shift,
            y,
            wide,
            14,
            f'shape=none, style="", label="{label}", margin=0, {style}',
        )

    def _line(self, points: Sequence[tuple[float, float]], look: str) -> None:
        ends = [
            self._node(x, y, 0.7, 0.7, 'style=invis, label=""')
            for x, y in (points[0], points[-1])
        ]
        if len(points) == 2:
            points = [points[0], *points, points[1]]
        way = " ".join(f"{x:.1f},{-y:.1f}" for x, y in points)
        self.parts.append(f'{ends[0]} -> {ends[1]} [pos="{way}", {look}];')

    def _ink(self, size: float, road: bool = False, most: float = 16.0) -> str:
        """Return the look of a line that carries so much gradient."""
        place = self.scale.place(size)
        if place is None:
            return f'color="{NONE}", penwidth=1.2, style=dashed'
        width = LANE if road else max(1.2, most * place)
        return f'color="{on_scale(place)}", penwidth={width:.1f}'

    def _box(self, x: float, y: float, high: float, block: Block, tall: bool) -> None:
        fill, line, ink = KINDS["fold"]
        title = f"<b>{escape(block.title, markup=True)}</b>"
        if tall and block.detail:
            detail = escape(block.detail, markup=True)
            title += f'<br/><font point-size="9.5" color="{QUIET}">{detail}</font>'
        self._node(
            x, y, WIDE, high,
            f'label=<{title}>, fillcolor="{fill}", color="{line}", fontcolor="{ink}", '
            f'tooltip="{escape(block.hover)}"',
        )  # fmt: skip

    # -- panels ----------------------------------------------------------------------

    def _panel(self, panel: Panel, left: float) -> float:
        """Draw a panel; return how far down it goes."""
        x, tall = left + ROAD, len(panel.rows) <= COMPACT
        self._text(left + 24, 0, panel.title, look=f'fontcolor="{INK}", fontsize=14')
        for n, line in enumerate(filter(None, (panel.subtitle, panel.note))):
            look = f'fontcolor="{QUIET}", fontsize=10'
            self._text(left + 24, 21 + 15 * n, line, look=look)
        has_road = any(r.road is not None for r in panel.rows)
        y = 86.0
        if has_road:
            self._text(x - 24, y - 22, "by the road", "r")
            self._text(left + BLOCK + WIDE + 8, y - 22, "through the block")
        else:
            self._text(x + WIDE / 2 + 10, y - 22, "‖∂L/∂x‖ before the block")
        self._end(x, y, panel.start)
        y += 15
        for row in panel.rows:
            y = self._row(row, left, y, tall)
        self._line([(x, y), (x, y + 16)], self._ink(panel.last, has_road))
        y += 26
        self._end(x, y, panel.end)
        return y + 12

    def _end(self, x: float, y: float, text: str) -> None:
        fill, line, ink = KINDS["input"]
        wide = max(64.0, 6.6 * len(text) + 18)
        self._node(
            x, y, wide, 20,
            f'label="{escape(text)}", fillcolor="{fill}", color="{line}", '
            f'fontcolor="{ink}"',
        )  # fmt: skip

    def _row(self, row: Row, left: float, y: float, tall: bool) -> float:
        if row.note:
            self._line(
                [(left + ROAD, y), (left + ROAD, y + 34)],
                f'color="{NONE}", penwidth=1.2, style=dotted',
            )
            self._text(left + BLOCK, y + 17, row.note)
            return y + 34
        if row.station:
            y = self._station(row, left, y, 34.0 if tall else 22.0)
        if row.road is None:
            return self._plain(row, left, y, tall)
        return self._beside(row, left, y, tall)

    def _station(self, row: Row, left: float, y: float, high: float) -> float:
        """Draw what lies on the road before a sum."""
        x = left + ROAD
        self._line([(x, y), (x, y + high)], self._ink(row.whole, True))
        _, line, ink = KINDS["op"]
        self._node(
            x, y + high / 2, max(56.0, 6.4 * len(row.station) + 14),
            min(17.0, 0.66 * high),
            f'label="{escape(row.station)}", color="{line}", fontcolor="{ink}", '
            "fontsize=9",
        )  # fmt: skip
        return y + high

    def _plain(self, row: Row, left: float, y: float, tall: bool) -> float:
        """Draw a block in a chain: the only way there is."""
        x, high, gap = left + ROAD, 34.0 if tall else 15.0, 18.0 if tall else 8.0
        self._line([(x, y), (x, y + gap)], self._ink(row.whole))
        mid = y + gap + high / 2
        for n, block in enumerate(row.blocks):
            self._box(x + n * (WIDE + 8), mid, high, block, tall)
        self._text(x + WIDE / 2 + 10, y + gap / 2, number(row.whole))
        return y + gap + high

    def _beside(self, row: Row, left: float, y: float, tall: bool) -> float:
        """Draw a stretch of road with its blocks beside it."""
        x, high, slot = left + ROAD, 34.0 if tall else 15.0, 66.0 if tall else 23.0
        end = y + slot * len(row.blocks)
        assert row.road is not None
        total = row.road + sum(b.size for b in row.blocks)
        for n, block in enumerate(row.blocks):
            mid = y + slot * (n + 0.5)
            self._ramps(row, block, x, left + BLOCK, (mid, high, y, end), tall)
            self._box(left + BLOCK + WIDE / 2, mid, high, block, tall)
            self._share(left + BLOCK + WIDE + 8, mid, block.size, total, "l", tall)
        self._line([(x, y), (x, end)], self._ink(row.road, True))
        middle = 'color="#ffffffb0", penwidth=1.4, style=dashed'
        self._line([(x, y + 3), (x, end - 3)], middle)
        centre = (y + end) / 2
        across = max(LANE, 6.4 * len(row.factor) + 14) if row.factor else LANE
        self._share(x - across / 2 - 9, centre, row.road, total, "r", tall)
        if row.factor:
            self._node(
                x, centre, across, 16,
                f'label="{escape(row.factor)}", color="{KINDS["op"][1]}", fontsize=9',
            )  # fmt: skip
        if tall:
            self._text(left + BLOCK + 96, y + 3, f"∂y/∂x = {row.derivative}")
            self._node(
                x, end, 14, 14,
                f'shape=circle, label="+", color="{INK}", fontsize=11, margin=0',
            )  # fmt: skip
        return end

    def _ramps(
        self, row: Row, block: Block, x: float, box: float,
        rows: tuple[float, float, float, float], tall: bool,
    ) -> None:  # fmt: skip
        """Draw the ways from the road to a block and back to it."""
        mid, high, y, end = rows
        look = self._ink(block.size, most=9.0 if tall else 3.0)
        if not tall:
            for at in (mid - high / 4, mid + high / 4):
                turn = mid - 10 if at < mid else mid + 10
                self._line([(x, turn), (x + 14, at), (box - 20, at), (box, at)], look)
            return
        for at, side in ((y + 5, mid - high / 2), (end - 5, mid + high / 2)):
            corner = (box + 34, at)
            self._line([(x, at), corner, corner, (box + 34, side)], look)

    def _share(
        self, x: float, y: float, size: float, total: float, side: str, tall: bool
    ) -> None:
        """Write a part of the gradient: in percent, and its norm."""
        part = f"{size / total:.0%}" if total > 0 else "–"
        bold = f'fontcolor="{INK}", fontsize={12 if tall else 9.5}'
        if tall:
            self._text(x, y - 7, part, side, bold)
            self._text(x, y + 8, number(size), side)
            return
        words = f"{number(size)}  {part}" if side == "r" else f"{part}  {number(size)}"
        self._text(x, y, words, side, bold)
