"""The report as HTML: one file, without scripts, that asks for nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from symgrad.diagnosis.findings import Finding
from symgrad.diagnosis.report import COLUMNS, Diagnosis, shown
from symgrad.drawing.colours import number
from symgrad.errors import SymgradError

STYLE = """
.sg-report{font:15px/1.5 system-ui,sans-serif;color:#1f2937;max-width:62rem}
.sg-report h1{font-size:1.5rem;margin:0 0 .25rem}
.sg-report h2{font-size:1.1rem;margin:2rem 0 .5rem}
.sg-report .lead{color:#4b5563;margin:0 0 1rem}
.sg-report table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.sg-report th,.sg-report td{padding:.3rem .8rem .3rem 0;text-align:right;
border-bottom:1px solid #e5e7eb;vertical-align:top}
.sg-report th{font-weight:600;color:#4b5563}
.sg-report th:first-child,.sg-report td:first-child,
.sg-report table.words td,.sg-report table.words th{text-align:left}
.sg-report .finding{border-left:4px solid;padding:.4rem 0 .4rem 1rem;margin:1rem 0}
.sg-report .error{border-color:#b84f00}.sg-report .warning{border-color:#d69a00}
.sg-report .note{border-color:#9aa2b1}
.sg-report .kind{font-weight:600}.sg-report .where{color:#4b5563}
.sg-report .finding p{margin:.15rem 0}
.sg-report .scroll{overflow-x:auto}
.sg-report pre{font:13px/1.5 ui-monospace,monospace;margin:0}
.sg-report summary{cursor:pointer;color:#4b5563}
.sg-report svg{max-width:100%;height:auto}
"""


def page(d: Diagnosis) -> str:
    """Return the whole report."""
    parts = [fragment(d), *_picture(d), *_formulas(d), *_matters(d)]
    body = "\n".join(parts).replace("</section>", "", 1) + "</section>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>Diagnosis</title><style>body{margin:2rem;background:#fff}</style>"
        f"</head><body>{body}</body></html>\n"
    )


def fragment(d: Diagnosis) -> str:
    """Return findings, chart and table, for a notebook."""
    parts = [
        f'<section class="sg-report"><style>{STYLE}</style>',
        f"<h1>{_headline(d)}</h1>",
        f'<p class="lead">{escape(d.summary())}</p>',
        *(_finding(f) for f in d.findings if f.severity != "note"),
        *_notes(d),
        "<h2>Layers</h2>",
        chart(d),
        _table(d),
        "</section>",
    ]
    return "\n".join(parts)


def _headline(d: Diagnosis) -> str:
    serious = [f for f in d.findings if f.severity != "note"]
    if not serious:
        return "Nothing wrong found"
    return escape(f"First cause: {serious[0].kind.replace('_', ' ')}")


def _notes(d: Diagnosis) -> Iterator[str]:
    if d.notes:
        count = f"{len(d.notes)} note{'s' if len(d.notes) > 1 else ''}"
        inside = "".join(map(_finding, d.notes))
        yield f"<details><summary>{count}</summary>{inside}</details>"


def _finding(f: Finding) -> str:
    rows = [("Evidence", f.evidence), ("Causes", "; ".join(f.causes))]
    rows.append(("Advice", f.advice))
    words = "".join(f"<p>{k}: {escape(v)}</p>" for k, v in rows if v)
    return (
        f'<div class="finding {f.severity}"><span class="kind">'
        f'{escape(f.kind.replace("_", " "))}</span> <span class="where">'
        f"{f.severity}, {escape(f.where)}</span>{words}</div>"
    )


def _table(d: Diagnosis) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS.values())
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(shown(row[c]))}</td>" for c in COLUMNS) + "</tr>"
        for row in d.layers
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


# -- the chart -------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 250, 56, 34, 26
LINES = (
    ("gradient norm", "gradient_norm", "#b84f00"),
    ("activation rms", "activation_rms", "#3f8fc4"),
)


def chart(d: Diagnosis) -> str:
    """Return gradient norms and activations by layer, on a logarithmic scale."""
    rows = d.layers
    values = [float(row[c]) for row in rows for _, c, _ in LINES]
    live = [v for v in values if v > 0 and math.isfinite(v)]
    if len(rows) < 2 or not live:
        return ""
    low = math.floor(math.log10(min(live)))
    high = max(math.ceil(math.log10(max(live))), low + 1)

    def x(n: int) -> float:
        return LEFT + 12 + n * (WIDTH - LEFT - 36) / (len(rows) - 1)

    def y(v: float) -> float:
        part = (math.log10(v) - low) / (high - low)
        return TOP + (1 - part) * (HEIGHT - TOP - BOTTOM)

    parts = list(_grid(low, high, y))
    step = max(1, math.ceil(len(rows) / 10))
    for n, row in enumerate(rows):
        if n % step == 0:
            name = str(row["layer"])
            name = name if len(name) <= 12 else "…" + name[-11:]
            parts.append(
                f'<text x="{x(n):.1f}" y="{HEIGHT - 12}" text-anchor="middle">'
                f"{escape(name)}</text>"
            )
    for k, (label, column, colour) in enumerate(LINES):
        points = [
            (x(n), y(float(row[column])))
            for n, row in enumerate(rows)
            if float(row[column]) > 0 and math.isfinite(float(row[column]))
        ]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
        )
        if len(points) <= 60:
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>'
                for a, b in points
            ]
        parts.append(
            f'<text x="{LEFT + 12 + 150 * k}" y="14" style="fill:{colour};'
            f'font-weight:600">{label}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        'aria-label="gradient norm and activation by layer" '
        'style="font:12px system-ui,sans-serif;fill:#4b5563">'
        f"{''.join(parts)}</svg>"
    )


def _grid(low: int, high: int, y: object) -> Iterator[str]:
    assert callable(y)
    step = max(1, math.ceil((high - low) / 6))
    for power in range(low, high + 1, step):
        at = y(10.0**power)
        sign = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{at:.1f}" y2="{at:.1f}" '
            'stroke="#e5e7eb"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">10{sign}</text>'
        )


# -- what only the page has ------------------------------------------------------------


def _picture(d: Diagnosis) -> Iterator[str]:
    """Yield the picture of the gradient's flow."""
    from symgrad.drawing import draw

    e = d.evidence
    params = e.run.now if e.now.finite else e.run.start
    try:
        drawn = draw(e.run.model.loss, view="flow", data=e.run.data, params=params)
        svg = drawn.svg
    except SymgradError:
        return
    yield "<h2>Flow of the gradient</h2>"
    yield f'<div class="scroll">{svg[svg.index("<svg") :]}</div>'


def _formulas(d: Diagnosis) -> Iterator[str]:
    """Yield the gradients in closed form."""
    from symgrad.notation import parameter_gradients

    model = d.evidence.run.model
    wrt = [p for p in model.trainable if p.name in d.evidence.start.gradients]
    if len(wrt) > 40 or not wrt:
        return
    text = str(parameter_gradients(model.loss, wrt))
    yield "<h2>Key formulas</h2>"
    yield f'<div class="scroll"><pre>{escape(text)}</pre></div>'


def _matters(d: Diagnosis) -> Iterator[str]:
    """Yield when each idea matters, with the numbers of this model."""
    rows = "".join(
        f"<tr><td>{escape(a)}</td><td>{escape(b)}</td><td>{escape(c)}</td></tr>"
        for a, b, c in matters(d)
    )
    yield "<h2>When this matters</h2>"
    yield (
        '<table class="words"><tr><th>formula</th><th>matters when</th>'
        f"<th>in this model</th></tr>{rows}</table>"
    )


def matters(d: Diagnosis) -> list[tuple[str, str, str]]:
    """Return formula, when it matters, and what it is in this model."""
    from symgrad.diagnosis.structure import growth

    e = d.evidence
    m = e.now if e.now.finite else e.start
    _, backward, depth = growth(e, m)
    factor = backward ** (1 / max(depth - 1, 1)) if backward > 0 else 0.0
    rows = [
        (
            "∂L/∂h₁ = ∏ Wₗᵀ diag(s′) · ∂L/∂h_L",
            "the network is deep: factors under 1 vanish, over 1 explode",
            f"{depth} places, a factor of {number(factor)} each, {number(backward)} "
            "in all",
        )
    ]
    for kind, formula, said in (
        ("sigmoid", "σ′ = σ(1 − σ) ≤ 1/4", "saturated"),
        ("tanh", "tanh′ = 1 − tanh² ≤ 1", "saturated"),
        ("relu", "relu′ = 1 for x > 0, else 0", "without a slope"),
    ):
        found = [u for u in m.units if u.activation.kind == kind]
        if found:
            share = sum(float(u.idle.mean()) for u in found) / len(found)
            rows.append(
                (
                    formula,
                    f"many units are {said}",
                    f"{share:.0%} of the values in {len(found)} activations",
                )
            )
    shortcuts = len(e.run.model.shortcuts)
    rows.append(
        (
            "∂(x + f(x))/∂x = 1 + f′(x)",
            "depth would otherwise fade the gradient",
            f"{shortcuts} shortcuts" if shortcuts else "no shortcut",
        )
    )
    if e.product is not None and e.limit is not None:
        rows.append(
            (
                f"lr·λ < {number(e.limit)}",
                "the loss oscillates or diverges",
                f"{number(e.run.rate or 0)}·{number(e.sharpness or 0)} = "
                f"{number(e.product)}",
            )
        )
    if e.noise is not None:
        rows.append(
            (
                "B ≈ tr Σ/|G|²",
                "steps are mostly noise",
                f"{number(e.noise)} samples; batches have {e.run.batch}",
            )
        )
    return rows
