"""Colours: a few that colour-blind readers tell apart, and an even scale of size."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: kind -> (fill, line, text); tints of the colours of Okabe & Ito (2008).
KINDS = {
    "input": ("#e3f1fb", "#3f8fc4", "#14425f"),
    "param": ("#e2f4ec", "#0a8f66", "#06452f"),
    "frozen": ("#f1f2f4", "#a3a9b3", "#6b7280"),
    "constant": ("#f7f7f8", "#c3c7ce", "#6b7280"),
    "op": ("#ffffff", "#8b93a1", "#1f2937"),
    "output": ("#fff6df", "#d69a00", "#4d3800"),
    "fold": ("#f3f4f8", "#6b7a99", "#1f2937"),
    "cotangent": ("#fdeee4", "#d55e00", "#7a3600"),
    "result": ("#fbe3d3", "#b84f00", "#6a2e00"),
}
FORWARD, BACKWARD, FAINT = "#9aa2b1", "#d55e00", "#c9ced8"
CLUSTER = ("#fafbfc", "#dfe3ea", "#6b7280")

#: Magma backwards, without its ends (van der Walt & Smith 2015): even in lightness,
#: told apart by colour-blind readers, and pale where a gradient fades.
_SCALE = (
    (254, 206, 145),
    (254, 169, 115),
    (250, 125, 94),
    (233, 85, 98),
    (200, 62, 115),
    (161, 48, 126),
    (124, 35, 130),
    (87, 21, 126),
    (52, 16, 105),
)


def on_scale(place: float) -> str:
    """Return the colour at ``place`` between 0 and 1."""
    at = min(max(place, 0.0), 1.0) * (len(_SCALE) - 1)
    n = min(int(at), len(_SCALE) - 2)
    part = at - n
    mixed = (
        round(a + (b - a) * part) for a, b in zip(_SCALE[n], _SCALE[n + 1], strict=True)
    )
    return "#" + "".join(f"{c:02x}" for c in mixed)


class LogScale:
    """Places on a logarithmic scale between the least and the greatest value."""

    def __init__(self, values: Sequence[float]) -> None:
        live = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
        self.low, self.high = min(live), max(live)
        # one decade at least: nearly equal norms should look nearly equal
        spread = math.log10(self.high / self.low)
        self.start = math.log10(self.high) - max(spread, 1.0)
        self.span = max(spread, 1.0)

    def place(self, value: float) -> float | None:
        """Return where a value lies, None for zero and for what is not finite."""
        if not (value > 0 and math.isfinite(value)):
            return None
        return min(max((math.log10(value) - self.start) / self.span, 0.0), 1.0)

    def value(self, place: float) -> float:
        """Return the value at a place."""
        return float(10 ** (self.start + place * self.span))


def number(value: float) -> str:
    """Return a norm with two digits."""
    if value != value or value in (math.inf, -math.inf):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    if value == 0:
        return "0"
    if 1e-2 <= abs(value) < 1e4:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}·10{digits}"


def rounded(value: float, digits: int, group: str = "") -> str:
    """Return a number with so many digits and a true minus; thousands by ``group``."""
    if 10**digits <= abs(value) < 10 ** (digits + 2):
        return f"{value:{group}.0f}".replace("-", "−")
    if value == 0 or 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}".replace("-", "−")
    return number(value).replace("-", "−", 1)
