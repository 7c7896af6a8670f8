"""A diagnosis: its findings and its table of layers, as text and as a page."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from symgrad.diagnosis.evidence import Evidence
from symgrad.diagnosis.findings import SEVERITIES, Finding, listed
from symgrad.diagnosis.forecast import Forecast, bounds_at_data
from symgrad.drawing.colours import number
from symgrad.drawing.picture import write
from symgrad.errors import FormatError
from symgrad.train.initialize import name_of

Row = dict[str, str | float]

#: Column -> its heading.
COLUMNS = {
    "layer": "layer",
    "gradient_norm": "gradient",
    "bound": "bound",
    "bound_at_data": "bound at data",
    "ratio_to_last": "ratio",
    "first_ratio": "at start",
    "predicted_ratio": "predicted",
    "through_time": "a step back",
    "update_to_weight": "update/weight",
    "activation_rms": "rms",
    "dead": "dead",
    "saturated": "saturated",
    "verdict": "verdict",
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

    @property
    def prediction(self) -> Forecast | None:
        """What the formulas say of each layer, with a verdict; None if nothing is."""
        return self.evidence.forecast

    @cached_property
    def layers(self) -> list[Row]:
        """One row for each layer, in the order of the data; columns as ``COLUMNS``.

        ``bound`` is what the gradient's norm cannot exceed for inputs in the range of
        these data, from the formulas and the present weights (``sg.gradient_bound``);
        ``bound_at_data`` is a sharper one for these data alone, from the values that
        the nodes have there.  ``through_time`` is by how much a step of a loop changes
        a gradient that goes back through time.  ``first_ratio`` is
        the ratio to the last layer before training, ``predicted_ratio`` what mean-field
        theory expects of it (see ``prediction``).
        ``update_to_weight`` is ``‖Δθ‖/‖θ‖`` of the optimizer's next step (NaN without
        a trainer).
        """
        e = self.evidence
        m = e.now if e.now.finite else e.start
        sharp = self._bounds_at_data()
        journeys = {j.layer: j.rate for j in m.journeys}
        rows: list[Row] = []
        for layer in e.run.model.layers:
            names = [name_of(p) for p in layer.params]
            gradient = _together(m.gradients, names) if e.measured else math.nan
            weight = _together(m.weights, names)
            step = math.hypot(*(e.updates.get(n, 0.0) for n in names))
            foreseen = self.prediction[layer.name] if self.prediction else None
            mine = [u for u in m.units if u.activation.layer == layer.name]
            relus = [u for u in mine if u.activation.kind == "relu"]
            others = [u for u in mine if u.activation.kind != "relu"]
            row: Row = {
                "layer": layer.name,
                "gradient_norm": gradient,
                "first_ratio": _together(e.start.gradients, names),
                "bound": foreseen.bound if foreseen else math.nan,
                "bound_at_data": min(
                    math.hypot(*(sharp.get(n, 0.0) for n in names)),
                    foreseen.bound,
                )
                if sharp and foreseen
                else math.nan,
                "through_time": journeys.get(layer.name, math.nan),
                "ratio_to_last": math.nan,
                "predicted_norm": foreseen.expected if foreseen else math.nan,
                "predicted_ratio": foreseen.ratio if foreseen else math.nan,
                "update_to_weight": step / weight if weight and e.updates else math.nan,
                "activation_rms": m.sites[layer.name][-1][0]
                if m.sites.get(layer.name)
                else math.nan,
                "dead": _mean([len(u.dead) / len(u.idle) for u in relus]),
                "verdict": foreseen.verdict if foreseen else "",
                "saturated": _mean([float(u.idle.mean()) for u in others]),
            }
            rows.append(row)
        for column, source in (
            ("ratio_to_last", "gradient_norm"),
            ("first_ratio", "first_ratio"),
        ):
            last = float(rows[-1][source]) if rows else 0.0
            for row in rows:
                row[column] = float(row[source]) / last if last else math.nan
        return rows

    def _bounds_at_data(self) -> dict[str, float]:
        e = self.evidence
        if self.prediction is None or not e.measured or not e.start.finite:
            return {}
        params = e.run.now if e.now.finite else e.run.start
        return bounds_at_data(e.run.model, params, e.run.data)

    def __str__(self) -> str:
        counts = [sum(f.severity == s for f in self.findings) for s in SEVERITIES]
        said = ", ".join(
            f"{n} {s}{'s' if n > 1 else ''}"
            for n, s in zip(counts, SEVERITIES, strict=True)
            if n
        )
        parts = [said or self.nothing]
        alike = grouped([f for f in self.findings if f.severity != "note"])
        parts += [str(f) + also(more, "\n  also in:  ") for f, more in alike]
        notes = [
            f"note: {f.kind} ({f.where}){also(more, '; also ')}"
            for f, more in grouped(self.notes, most=0)
        ]
        parts += ["\n".join(notes)] if notes else []
        parts.append(self.table())
        parts.append(self.summary())
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<Diagnosis: {', '.join(f.kind for f in self.findings) or 'healthy'}>"

    @property
    def nothing(self) -> str:
        """What is said where there are no findings."""
        if not self.evidence.measured:
            return "Nothing is predicted to go wrong."
        return "No findings: nothing is wrong that was looked for."

    @property
    def columns(self) -> dict[str, str]:
        """Column → heading, of the columns in which there is something."""
        empty = {
            c
            for c in COLUMNS
            if all(
                isinstance(v := row[c], float) and math.isnan(v) for row in self.layers
            )
        }
        untrained = self.evidence.now is self.evidence.start
        if untrained and self.evidence.measured:
            empty.add("first_ratio")  # the same as the ratio at present
        if self.evidence.measured:
            empty.add("verdict")
        if "bound_at_data" not in empty:
            empty.add("bound")  # the sharper one tells more
        return {c: name for c, name in COLUMNS.items() if c not in empty}

    def table(self) -> str:
        """Return the table of layers as text."""
        columns = self.columns if self.layers else COLUMNS
        cells = [list(columns.values())]
        cells += [[shown(row[c]) for c in columns] for row in self.layers]
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
        if not e.measured:
            return "predicted from the formulas and weights alone: no data were given"
        parts = [f"loss {number(e.start.loss)}"]
        if e.run.steps:
            parts[0] += f" → {number(e.now.loss)} in {e.run.steps} steps"
        if e.sharpness is not None:
            parts.append(f"sharpness {number(e.sharpness)}")
        if e.product is not None and e.limit is not None:
            parts.append(
                f"lr·sharpness {number(e.product)} (stable below {number(e.limit)})"
            )
        if road := self.road_share:
            parts.append(f"{road} of the gradient by {len(e.roads)} shortcuts")
        if e.noise is not None:
            drowned = math.isinf(e.noise)
            size = f"{number(e.noise)} samples"
            parts.append(
                "the gradient drowns in noise" if drowned else f"noise scale {size}"
            )
        return ", ".join(parts)

    @property
    def road_share(self) -> str:
        """The least and greatest part of the gradient that a shortcut carries."""
        parts = [r.by_road for r in self.evidence.roads if not math.isnan(r.by_road)]
        if not parts:
            return ""
        low, high = f"{min(parts):.0%}", f"{max(parts):.0%}"
        return low if low == high else f"{low}–{high}"

    def _repr_html_(self) -> str:
        from symgrad.diagnosis.html import fragment

        return fragment(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML file that needs nothing else, or nothing.

        Raises:
            FormatError: the suffix is not ``.html``, or it cannot be written.
        """
        from symgrad.diagnosis.html import page

        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise FormatError(
                f"cannot save a report as {target.name!r}; its suffix is .html"
            )
        write(target, page(self).encode(), "the report")
        return target


def grouped(
    findings: Sequence[Finding], most: int = 1
) -> list[tuple[Finding, list[Finding]]]:
    """Return findings, those of one kind and severity after the first ``most`` folded.

    A model of forty layers with the same fault in each has one finding to read.
    """
    found: list[tuple[Finding, list[Finding]]] = []
    for f in findings:
        same = [
            (first, more)
            for first, more in found
            if (first.kind, first.severity) == (f.kind, f.severity)
        ]
        if len(same) > most:
            same[-1][1].append(f)
        else:
            found.append((f, []))
    return found


def also(more: Sequence[Finding], before: str) -> str:
    """Return where else a finding was made, as text after ``before``."""
    return before + listed([f.where.split(":")[0] for f in more], 8) if more else ""


def shown(value: str | float) -> str:
    """Return a cell of the table."""
    if isinstance(value, str):
        return value
    return "–" if math.isnan(value) else number(value)


def _together(norms: Mapping[str, float], names: list[str]) -> float:
    return math.hypot(*(norms.get(n, 0.0) for n in names))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
