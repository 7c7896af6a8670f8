"""The interactive page: one file that asks for nothing else."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"
#: The page may run what is in it and load nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(facts: dict[str, Any]) -> str:
    """Return a page that shows a graph: pan, zoom, search, fold, and facts of nodes.

    Args:
        facts: what ``facts.collect`` returns.
    """
    # "<" cannot end the script early when it is written as an escape of JSON
    graph = json.dumps(_finite(facts), ensure_ascii=False).replace("<", "\\u003c")
    data = f'<script type="application/json" id="graph">{graph}</script>\n'
    title = f"symgrad · {facts['title']}"
    return _page(title, "", data, ("dagre.min.js", "scene.js", "glass.js", "viewer.js"))


def picture_page(svg: str, title: str) -> str:
    """Return a page with a picture that is laid out: pan, zoom, search, and facts.

    Args:
        svg: the picture, as Graphviz wrote it.
        title: of the page.
    """
    return _page(title, svg[svg.index("<svg") :], "", ("glass.js", "picture.js"))


def _page(title: str, world: str, data: str, scripts: tuple[str, ...]) -> str:
    head = (
        '<!doctype html>\n<html lang="en" data-theme="light"><head>'
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>\n{_asset('viewer.css')}</style></head>\n"
    )
    body = _BODY.replace("{title}", escape(title)).replace("{world}", world)
    code = (f"<script>\n{_asset(name)}</script>\n" for name in scripts)
    return f"{head}<body>{body}\n{data}{''.join(code)}</body></html>\n"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _finite(value: Any) -> Any:
    """Return the data with what JSON has no number for as the nearest it has."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    return value


_BODY = """
<header>
<h1>{title}</h1>
<div class="group" id="modes" role="group" aria-label="What is shown"></div>
<div class="search"><input id="search" type="search" placeholder="Search   ( / )"
 aria-label="Search nodes" role="combobox" aria-expanded="false" aria-controls="found"
 autocomplete="off" spellcheck="false"><ul id="found" role="listbox" hidden></ul></div>
<div class="group" role="group" aria-label="Scopes">
<button id="fold">Fold all</button><button id="open">Unfold</button></div>
<div class="group" role="group" aria-label="Zoom">
<button id="farther" aria-label="Zoom out">−</button>
<button id="fit">Fit</button>
<button id="nearer" aria-label="Zoom in">+</button></div>
<button id="theme" aria-pressed="false">Dark</button>
</header>
<main>
<svg id="canvas" role="group"
 aria-label="Graph. Arrow keys move, Enter opens, F folds.">
<defs>
<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
 markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.8 8 4 0 7.2z"/></marker>
<marker id="tail" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
 markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0.8 8 4 0 7.2z"/>
</marker>
<marker id="tail-flow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9"
 markerHeight="9" markerUnits="userSpaceOnUse" orient="auto-start-reverse">
<path d="M0 0 8 4 0 8z" fill="context-stroke"/></marker>
</defs>
<g id="world">{world}</g></svg>
<div id="legend" hidden></div>
<div id="note" aria-hidden="true" hidden></div>
<div id="status" role="status" style="position:absolute;clip-path:inset(50%)"></div>
</main>
<aside id="facts" aria-label="Facts of the chosen node" hidden></aside>
"""
