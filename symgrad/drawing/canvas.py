"""A few shapes on a canvas, written as SVG or drawn by matplotlib.

Coordinates are pixels, downwards from the upper left corner.
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from symgrad.drawing.layout import NOT_XML
from symgrad.errors import FormatError

Point = tuple[float, float]
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass
class Line:
    """A line through points, perhaps with a head at its end.

    Attributes:
        points: at least two.
        colour, width: of the line.
        dash: lengths of dashes and gaps, none for a solid line.
        head: the size of the arrow's head, 0 for none.
        role: the classes of the SVG element, by which styles and animations find it.
    """

    points: Sequence[Point]
    colour: str
    width: float = 1.0
    dash: tuple[float, ...] = ()
    head: float = 0.0
    role: str = ""


@dataclass
class Dot:
    """A disc, with a ring around it."""

    at: Point
    radius: float
    fill: str
    ring: str = "none"
    width: float = 0.0
    role: str = ""


@dataclass
class Word:
    """A line of text; ``anchor`` is ``start``, ``middle`` or ``end``."""

    at: Point
    text: str
    colour: str
    size: float = 13.0
    anchor: str = "start"
    bold: bool = False
    halo: bool = False
    role: str = ""


Shape = Line | Dot | Word


@dataclass
class Canvas:
    """Shapes, those added later above."""

    width: float
    height: float
    paper: str = "#ffffff"
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Add shapes."""
        self.shapes += shapes

    def svg(self, label: str, style: str = "") -> str:
        """Return an SVG element that needs nothing else.

        Args:
            label: what the picture shows, for readers that do not see it.
            style: a style sheet for the roles of shapes.
        """
        parts = "\n".join(map(_element, self.shapes))
        sheet = f"<style>{style}</style>" if style else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} '
            f'{self.height:g}" width="{self.width:g}" height="{self.height:g}" '
            f'role="img" aria-label="{_escaped(label)}" font-family="{FONT}">'
            f'<title>{_escaped(label)}</title>{sheet}<rect width="100%" height="100%" '
            f'rx="6" fill="{self.paper}" class="paper"/>\n{parts}\n</svg>'
        )

    def file(self, format: str) -> bytes:
        """Return a PNG (at twice the size, for crisp text) or a PDF.

        Raises:
            FormatError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise FormatError(
                f"a plot as {format.upper()} needs matplotlib: "
                "pip install 'symgrad[plot]'; .svg and .html need nothing"
            ) from None
        figure = Figure(figsize=(self.width / 96, self.height / 96), dpi=192)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.axis("off")
        figure.set_facecolor(self.paper)
        for level, shape in enumerate(self.shapes):
            _draw(axes, shape, level)
        written = io.BytesIO()
        figure.savefig(written, format=format)
        return written.getvalue()


def _escaped(text: str) -> str:
    return html.escape(NOT_XML.sub("\ufffd", text), quote=True)


def _element(s: Shape) -> str:
    more = f' class="{s.role}"' if s.role else ""
    if isinstance(s, Dot):
        return (
            f'<circle cx="{s.at[0]:.2f}" cy="{s.at[1]:.2f}" r="{s.radius:g}" '
            f'fill="{s.fill}" stroke="{s.ring}" stroke-width="{s.width:g}"{more}/>'
        )
    if isinstance(s, Word):
        weight = ' font-weight="600"' if s.bold else ""
        halo = ' stroke="#fff" stroke-width="4" paint-order="stroke"' if s.halo else ""
        return (
            f'<text x="{s.at[0]:.2f}" y="{s.at[1]:.2f}" fill="{s.colour}" '
            f'font-size="{s.size:g}" text-anchor="{s.anchor}"{weight}{halo}{more}>'
            f"{_escaped(s.text)}</text>"
        )
    dash = f' stroke-dasharray="{" ".join(map(str, s.dash))}"' if s.dash else ""
    line = (
        f'<path d="{_path(_trimmed(s))}" fill="none" stroke="{s.colour}" '
        f'stroke-width="{s.width:g}" stroke-linejoin="round"{dash}'
    )
    if not s.head:
        return f"{line}{more}/>"
    head = f'<path d="{_path(_head(s))}z" fill="{s.colour}"/>'
    return f"<g{more}>{line}/>{head}</g>"


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points)


def _direction(s: Line) -> Point:
    (x0, y0), (x1, y1) = s.points[-2], s.points[-1]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
    return (x1 - x0) / length, (y1 - y0) / length


def _trimmed(s: Line) -> Sequence[Point]:
    """Return the points of a line that ends inside its arrow's head."""
    if not s.head:
        return s.points
    (x, y), (dx, dy) = s.points[-1], _direction(s)
    return [*s.points[:-1], (x - 0.7 * s.head * dx, y - 0.7 * s.head * dy)]


def _head(s: Line) -> list[Point]:
    (x, y), (dx, dy), h = s.points[-1], _direction(s), s.head
    back, half = (x - h * dx, y - h * dy), 0.42 * h
    left = back[0] - half * dy, back[1] + half * dx
    return [(x, y), left, (back[0] + half * dy, back[1] - half * dx)]


def _draw(axes: object, s: Shape, level: int) -> None:
    """Draw a shape by matplotlib; its sizes are points, of which 0.75 are a pixel."""
    from matplotlib import patheffects
    from matplotlib.axes import Axes
    from matplotlib.patches import Polygon

    assert isinstance(axes, Axes)
    if isinstance(s, Word):
        where = {"start": "left", "middle": "center", "end": "right"}[s.anchor]
        words = axes.text(
            *s.at,
            s.text.replace("$", r"\$"),
            color=s.colour,
            size=0.75 * s.size,
            ha=where,
            va="baseline",
            weight="bold" if s.bold else "normal",
            zorder=level,
        )
        if s.halo:
            words.set_path_effects(
                [patheffects.withStroke(linewidth=3, foreground="white")]
            )
        return
    if isinstance(s, Dot):
        axes.plot(
            *([c] for c in s.at),
            marker="o",
            markersize=1.5 * s.radius,
            markerfacecolor=s.fill,
            markeredgecolor=s.ring,
            markeredgewidth=0.75 * s.width,
            zorder=level,
        )
        return
    x, y = zip(*_trimmed(s), strict=True)
    dash = (0, [0.75 * d / s.width for d in s.dash]) if s.dash else "-"
    axes.plot(
        x, y, color=s.colour, linewidth=0.75 * s.width, linestyle=dash, zorder=level
    )
    if s.head:
        axes.add_patch(Polygon(_head(s), color=s.colour, linewidth=0, zorder=level))
