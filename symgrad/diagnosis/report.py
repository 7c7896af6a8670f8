"""A diagnosis: its findings and its table of layers, as text and as a page."""

from __future__ import annotations

import math
import os
from functools import cached_property
from pathlib import Path

import numpy as np

from symgrad.diagnosis.evidence import Evidence
from symgrad.diagnosis.findings import SEVERITIES, Finding
from symgrad.drawing.colours import number
from symgrad.errors import FormatError
from symgrad.train.initialize import name_of

Row = dict[str, str | float]

#: Column -> its heading.
COLUMNS = {
    "layer": "layer",
    "gradient_norm": "gradient norm",
    "ratio_to_last": "ratio to last",
    "update_to_weight": "update/weight",
    "activation_rms": "activation rms",
    "dead": "dead",
    "saturated": "saturated",
}


class Diagnosis:
    """What is wrong with a model or run, and what shows it.

    Attributes:
        findings: most serious first, causes before symptoms.
        evidence: every measurement.
    """

    def __init__(self, findings: list[Finding], evidence: Evidence) -> None:
        self.findings, self.evidence = findings, evidence

    @property
    def healthy(self) -> bool:
        """Is there nothing but notes?"""
        return all(f.severity == "note" for f in self.findings)

    @property
    def notes(self) -> list[Finding]:
        """The findings that are worth knowing, but not wrong."""
        return [f for f in self.findings if f.severity == "note"]

    @cached_property
    def layers(self) -> list[Row]:
        """One row for each layer, in the order of the data; columns as ``COLUMNS``.

        ``update_to_weight`` is ``‖Δθ‖/‖θ‖`` of the optimizer's next step (NaN without
        a trainer).
        """
        e = self.evidence
        m = e.now if e.now.finite else e.start
        rows: list[Row] = []
        for layer in e.run.model.layers:
            names = [name_of(p) for p in layer.params]
            gradient = math.hypot(*(m.gradients.get(n, 0.0) for n in names))
            weight = math.hypot(*(m.weights[n] for n in names))
            step = math.hypot(*(e.updates.get(n, 0.0) for n in names))
            mine = [u for u in m.units if u.activation.layer == layer.name]
            relus = [u for u in mine if u.activation.kind == "relu"]
            others = [u for u in mine if u.activation.kind != "relu"]
            row: Row = {
                "layer": layer.name,
                "gradient_norm": gradient,
                "ratio_to_last": math.nan,
                "update_to_weight": step / weight if weight and e.updates else math.nan,
                "activation_rms": m.sites[layer.name][-1][0]
                if layer.sites
                else math.nan,
                "dead": _mean([len(u.dead) / len(u.idle) for u in relus]),
                "saturated": _mean([float(u.idle.mean()) for u in others]),
            }
            rows.append(row)
        last = float(rows[-1]["gradient_norm"]) if rows else 0.0
        for row in rows:
            if last:
                row["ratio_to_last"] = float(row["gradient_norm"]) / last
        return rows

    def __str__(self) -> str:
        counts = [sum(f.severity == s for f in self.findings) for s in SEVERITIES]
        said = ", ".join(
            f"{n} {s}{'s' if n > 1 else ''}"
            for n, s in zip(counts, SEVERITIES, strict=True)
            if n
        )
        parts = [said or "No findings: nothing is wrong that was looked for."]
        parts += [str(f) for f in self.findings if f.severity != "note"]
        notes = [f"note: {f.kind} ({f.where})" for f in self.notes]
        parts += ["\n".join(notes)] if notes else []
        parts.append(self.table())
        parts.append(self.summary())
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<Diagnosis: {', '.join(f.kind for f in self.findings) or 'healthy'}>"

    def table(self) -> str:
        """Return the table of layers as text."""
        cells = [list(COLUMNS.values())]
        cells += [[shown(row[c]) for c in COLUMNS] for row in self.layers]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                c.ljust(w) if n == 0 else c.rjust(w)
                for n, (c, w) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        )

    def summary(self) -> str:
        """Return loss, sharpness and noise scale in a line."""
        e = self.evidence
        parts = [f"loss {number(e.start.loss)}"]
        if e.run.steps:
            parts[0] += f" → {number(e.now.loss)} in {e.run.steps} steps"
        if e.sharpness is not None:
            parts.append(f"sharpness {number(e.sharpness)}")
        if e.product is not None and e.limit is not None:
            parts.append(
                f"lr·sharpness {number(e.product)} (stable below {number(e.limit)})"
            )
        if e.noise is not None:
            parts.append(f"noise scale {number(e.noise)} samples")
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        from symgrad.diagnosis.html import fragment

        return fragment(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML file that needs nothing else.

        Raises:
            FormatError: the suffix is not ``.html``, or it cannot be written.
        """
        from symgrad.diagnosis.html import page

        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise FormatError(
                f"cannot save a report as {target.name!r}; its suffix is .html"
            )
        try:
            target.write_text(page(self), encoding="utf-8")
        except OSError as error:
            raise FormatError(
                f"cannot write the report to {str(target)!r}: {error.strerror}; choose "
                "a folder that exists and that you may write to"
            ) from None
        return target


def shown(value: str | float) -> str:
    """Return a cell of the table."""
    if isinstance(value, str):
        return value
    return "–" if math.isnan(value) else number(value)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
