"""The page: scenes as JSON, one player, one style sheet, in one file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files

from symgrad.explainer.story import Scene

#: Nothing is loaded from anywhere: the browser itself would refuse it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:"
)
SCRIPTS = ("figures.js", "diagrams.js", "player.js")


def page(title: str, subtitle: str, scenes: Sequence[Scene]) -> str:
    """Return the page as HTML text that needs nothing else."""
    body = _asset("body.html")
    seconds = sum(s.seconds for s in scenes)
    fields = {
        "title": html.escape(title),
        "subtitle": html.escape(subtitle),
        "length": html.escape(f"{len(scenes)} scenes, {_clock(seconds)}"),
        "plain": _plain(scenes),
        "story": _json({"title": title, "scenes": [s.data() for s in scenes]}),
        "style": _asset("player.css"),
        "script": "\n".join(_asset(name) for name in SCRIPTS),
        "policy": html.escape(POLICY),
    }
    # one pass: what is put in is not looked at again
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], body)


def _asset(name: str) -> str:
    place = files("symgrad.explainer") / "player" / name
    return place.read_text(encoding="utf-8")


def _json(value: object) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} minutes"


def _plain(scenes: Sequence[Scene]) -> str:
    """Return every caption, for browsers that run no scripts."""
    parts = []
    for n, s in enumerate(scenes, start=1):
        said = " ".join(text for _, text in s.beats)
        parts.append(f"<h2>{n}  {html.escape(s.title)}</h2><p>{html.escape(said)}</p>")
    return "".join(parts)
