"""Findings: what the evidence shows, causes first.

Each rule looks at the evidence and yields findings.  A rule about a cause gives it a
rank, by which findings of one severity are ordered: what was wrong from the start
explains what came of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from symgrad.diagnosis.evidence import Evidence

SEVERITIES = ("error", "warning", "note")


@dataclass
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: such as ``vanishing`` or ``learning_rate_too_high``.
        where: the layer, the units, or the run.
        evidence: the numbers that show it.
        causes: what explains it, most likely first.
        advice: what to do, in one sentence.
        severity: ``error``, ``warning`` or ``note``.
        rank: the place among findings of one severity; causes come first.
    """

    kind: str
    where: str
    evidence: str
    causes: list[str] = field(default_factory=list)
    advice: str = ""
    severity: str = "warning"
    rank: int = 50

    def __str__(self) -> str:
        lines = [
            f"{self.severity}: {self.kind} ({self.where})",
            f"  evidence: {self.evidence}",
        ]
        if self.causes:
            lines.append(f"  causes:   {'; '.join(self.causes)}")
        if self.advice:
            lines.append(f"  advice:   {self.advice}")
        return "\n".join(lines)


Rule = Callable[[Evidence], Iterator[Finding]]


def conclude(evidence: Evidence) -> list[Finding]:
    """Return the findings, most serious first and causes before symptoms."""
    from symgrad.diagnosis import structure, training

    found = [f for rule in structure.RULES for f in rule(evidence)]
    for rule in training.RULES:
        found += rule(evidence, found)
    _blame(found)
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), f.rank))
    return found


def _blame(found: list[Finding]) -> None:
    """Make the first fault of the model itself as serious as what comes of it."""
    serious = any(f.severity == "error" and f.rank >= 10 for f in found)
    faults = [f for f in found if f.severity == "warning" and 10 <= f.rank < 30]
    if serious and faults:
        min(faults, key=lambda f: f.rank).severity = "error"


def number(value: float) -> str:
    """Return a number with two digits.

    >>> number(0.00012345), number(3.14159), number(12345.0)
    ('0.00012', '3.1', '1.2e+04')
    """
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    return f"{value:.2g}"


def listed(names: list[str] | list[int], most: int = 12) -> str:
    """Return names with commas, the first ones if there are many."""
    shown = ", ".join(map(str, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
