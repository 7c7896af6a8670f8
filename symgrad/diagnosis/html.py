"""The report as HTML: one file, without scripts, that asks for nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from symgrad.diagnosis.chart import chart
from symgrad.diagnosis.findings import Finding
from symgrad.diagnosis.formulas import key_formulas, matters
from symgrad.diagnosis.report import COLUMNS, Diagnosis, also, grouped, shown
from symgrad.drawing.colours import number
from symgrad.errors import SymgradError

STYLE = """
.sg-report{--ink:#1f2937;--soft:#4b5563;--rule:#e5e7eb;--paper:#fff;
--gradient:#b84f00;--values:#2f7fb5;--bound:#8a94a6;--error:#b84f00;--warning:#d69a00;
font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:62rem}
@media(prefers-color-scheme:dark){.sg-report{--ink:#e5e7eb;--soft:#a8b0bd;
--rule:#374151;--paper:#15181e;--gradient:#f08c45;--values:#6db3e2;--bound:#7c8698;
--error:#f08c45;--warning:#e0b040}}
.sg-report h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
.sg-report h2{font-size:1.1rem;margin:2.25rem 0 .5rem}
.sg-report .lead{color:var(--soft);margin:0 0 1rem}
.sg-report table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.sg-report th,.sg-report td{padding:.3rem .9rem .3rem 0;text-align:right;
border-bottom:1px solid var(--rule);vertical-align:top;color:var(--ink);
background:none}
.sg-report th{font-weight:600;color:var(--soft);white-space:nowrap}
.sg-report td:first-child{white-space:nowrap}
.sg-report th:first-child,.sg-report td:first-child,
.sg-report table.words td,.sg-report table.words th{text-align:left}
.sg-report table.words td:first-child{white-space:normal}
.sg-report td.verdict{text-align:left;white-space:nowrap}
.sg-report th.verdict{text-align:left}
.sg-report .finding{border-left:4px solid var(--bound);padding:.3rem 0 .3rem 1rem;
margin:1.1rem 0}
.sg-report .finding.error{border-color:var(--error)}
.sg-report .finding.warning{border-color:var(--warning)}
.sg-report .kind{font-weight:600}.sg-report .where{color:var(--soft)}
.sg-report dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;
margin:.3rem 0 0}
.sg-report dt{color:var(--soft)}.sg-report dd{margin:0}
.sg-report .scroll{overflow-x:auto}
.sg-report .picture{background:#fff;padding:.5rem;border-radius:6px;
overflow-x:auto;border:1px solid var(--rule)}
.sg-report pre{font:13px/1.6 ui-monospace,monospace;margin:0;color:var(--ink);
background:none}
.sg-report summary{cursor:pointer;color:var(--soft)}
.sg-report svg{max-width:100%;height:auto}
.sg-report svg.chart{min-width:34rem}
.sg-report .chart{font:12px system-ui,sans-serif;fill:var(--soft)}
.sg-report .grid{stroke:var(--rule)}
.sg-report .line{fill:none;stroke-width:2}
.sg-report .line.gradient,.sg-report .line.predicted{stroke:var(--gradient)}
.sg-report .line.predicted{stroke-dasharray:5 4}
.sg-report .line.values{stroke:var(--values)}
.sg-report .line.bound{stroke:var(--bound);stroke-width:1}
.sg-report .dot.gradient{fill:var(--gradient)}.sg-report .dot.values{fill:var(--values)}
@media(max-width:40rem){.sg-report dl{display:block}.sg-report dd{margin:0 0 .3rem}
.sg-report table.words th{display:none}
.sg-report table.words tr{display:block;border-bottom:1px solid var(--rule);
padding:.3rem 0}
.sg-report table.words td{display:block;border:0;padding:.1rem 0}
.sg-report table.words td+td{color:var(--soft)}}
"""
BODY = (
    "body{margin:0;padding:2rem;background:#fff}"
    "@media(prefers-color-scheme:dark){body{background:#15181e}}"
    "@media(max-width:40rem){body{padding:1rem}}"
)


def page(d: Diagnosis) -> str:
    """Return the whole report."""
    parts = [fragment(d), *_roads(d), *_matters(d), *_formulas(d), *_picture(d)]
    body = "\n".join(parts).replace("</section>", "", 1) + "</section>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Diagnosis</title><style>{BODY}</style>"
        f"</head><body>{body}</body></html>\n"
    )


def fragment(d: Diagnosis) -> str:
    """Return findings, chart and table, for a notebook."""
    serious = [f for f in d.findings if f.severity != "note"]
    parts = [
        f'<section class="sg-report"><style>{STYLE}</style>',
        f"<h1>{_headline(d)}</h1>",
        f'<p class="lead">{escape(d.summary())}</p>',
        *(_finding(f, more) for f, more in grouped(serious)),
        *_notes(d),
    ]
    if d.layers:
        parts += ["<h2>Layers</h2>", f'<div class="scroll">{chart(d)}</div>', _table(d)]
    return "\n".join([*parts, "</section>"])


def _headline(d: Diagnosis) -> str:
    serious = [f for f in d.findings if f.severity != "note"]
    if not serious:
        return "Nothing wrong found" if d.evidence.measured else escape(d.nothing)
    if not d.evidence.measured:
        return escape(f"Predicted: {serious[0].kind.replace('_', ' ')}")
    return escape(f"First cause: {serious[0].kind.replace('_', ' ')}")


def _notes(d: Diagnosis) -> Iterator[str]:
    if d.notes:
        count = f"{len(d.notes)} note{'s' if len(d.notes) > 1 else ''}"
        inside = "".join(_finding(f, more) for f, more in grouped(d.notes))
        yield f"<details><summary>{count}</summary>{inside}</details>"


def _finding(f: Finding, more: list[Finding]) -> str:
    rows = [("Evidence", f.evidence), ("Causes", "; ".join(f.causes))]
    rows += [("Advice", f.advice), ("Also in", also(more, ""))]
    words = "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in rows if v)
    return (
        f'<div class="finding {f.severity}"><span class="kind">'
        f'{escape(f.kind.replace("_", " "))}</span> <span class="where">'
        f"{f.severity}, {escape(f.where)}</span><dl>{words}</dl></div>"
    )


def _table(d: Diagnosis) -> str:
    names = d.columns | ({"verdict": COLUMNS["verdict"]} if d.prediction else {})
    head = "".join(f'<th class="{c}">{escape(name)}</th>' for c, name in names.items())
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{c}">{escape(shown(row[c]))}</td>' for c in names)
        + "</tr>"
        for row in d.layers
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


# -- what only the page has ------------------------------------------------------------


def _picture(d: Diagnosis) -> Iterator[str]:
    """Yield the picture of the gradient's flow."""
    from symgrad.drawing import draw

    e = d.evidence
    if not e.measured:
        return
    params = e.run.now if e.now.finite else e.run.start
    try:
        drawn = draw(e.run.model.loss, view="flow", data=e.run.data, params=params)
        svg = drawn.svg
    except SymgradError:
        return
    yield "<h2>Flow of the gradient</h2>"
    yield f'<div class="scroll picture">{svg[svg.index("<svg") :]}</div>'


def _roads(d: Diagnosis) -> Iterator[str]:
    """Yield what passes by each shortcut and by its block."""
    rows = [r for r in d.evidence.roads if not math.isnan(r.by_road)]
    if not rows:
        return
    yield "<h2>Shortcuts</h2>"
    yield '<div class="scroll"><table><tr><th>block</th><th>‖∂L/∂y‖ arrives</th>'
    yield "<th>by the road</th><th>through the block</th><th>road’s share</th></tr>"
    for r in rows:
        block = math.hypot(*r.blocks)
        cells = (*map(number, (r.arriving, r.road, block)), f"{r.by_road:.0%}")
        values = "".join(f"<td>{c}</td>" for c in cells)
        yield f"<tr><td>{escape(r.residual.name)}</td>{values}</tr>"
    yield "</table></div>"


def _formulas(d: Diagnosis) -> Iterator[str]:
    """Yield the gradients in closed form."""
    text = key_formulas(d)
    if text:
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
        '<div class="scroll"><table class="words"><tr><th>formula</th>'
        f"<th>matters when</th><th>in this model</th></tr>{rows}</table></div>"
    )
