"""Findings: what the evidence shows, causes first.

Each rule looks at the evidence and yields findings.  A rule about a cause gives it a
rank, by which findings of one severity are ordered: what was wrong from the start
explains what came of it.
"""

from __future__ import annotations

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
        units: the numbers of the units that it is about.
        rank: the place among findings of one severity; causes come first.
    """

    kind: str
    where: str
    evidence: str
    causes: list[str] = field(default_factory=list)
    advice: str = ""
    severity: str = "warning"
    rank: int = 50
    units: list[int] = field(default_factory=list)

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
    from symgrad.diagnosis import recurrence, structure, training

    if not evidence.measured:
        rules = (*structure.FORESEEN, *recurrence.FORESEEN)
        return [f for rule in rules for f in rule(evidence)]
    rules = (*structure.RULES, *recurrence.RULES)
    found = [f for rule in rules for f in rule(evidence)]
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


def ranges(numbers: list[int]) -> str:
    """Return every number, runs of them as ranges.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0–2, 5, 7–8'
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(f"{a}–{b}" if a < b else str(a) for a, b in runs)


def listed(names: list[str], most: int = 12) -> str:
    """Return names with commas, the first ones if there are many."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
