"""DOT text to a picture: the system's Graphviz, or the one inside a wheel.

Engines run in a process of their own: a crash in C, Graphviz's global state and
its messages never reach the user's process. The DOT text travels on standard
input, so that no part of it can become an argument of a command.
"""

import html
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from symgrad.errors import FormatError

FORMATS = ("svg", "png", "pdf")
SECONDS = 120
HERE = Path(__file__).parent

# 192 dots an inch is twice a screen's 96, which keeps text crisp. A drawing of
# more than 60 inches is scaled down, or its bitmap would take gigabytes.
BITMAP = ("-Gdpi=192", "-Gsize=60,60")

# A figure of a paper is cut where the picture ends: no half inch of margin.
PAGE = ("-Gmargin=0",)

# Network simplex is quadratic in practice. Two passes over the nodes are enough
# for a large graph; a small one may iterate until it is done.
LARGE = 40_000
FAST = ("-Gnslimit=2",)

# What XML 1.0 cannot hold, not even as a character reference.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Engine:
    """A way of running Graphviz: where it is, if at all, and what it can write."""

    name: str
    formats: tuple[str, ...]
    find: Callable[[], list[str] | None]


def _system() -> list[str] | None:
    path = shutil.which("dot")
    return [path] if path else None


def _pygraphviz() -> list[str] | None:
    if importlib.util.find_spec("pygraphviz") is None:
        return None
    # -P: modules beside the worker must not stand before installed packages
    return [sys.executable, "-P", str(HERE / "layout_worker.py")]


def _graphviz_pure() -> list[str] | None:
    scripts = sysconfig.get_path("scripts")
    path = shutil.which("graphviz-pure") or shutil.which("graphviz-pure", path=scripts)
    return [path] if path else None


# graphviz-pure comes last: its bitmaps lack the glyphs of ∇, ∈ and ⇒.
ENGINES = (
    Engine("dot", FORMATS, _system),
    Engine("pygraphviz", FORMATS, _pygraphviz),
    Engine("graphviz-pure", ("svg", "png"), _graphviz_pure),
)


def render(dot: str, format: str) -> bytes:
    """Draw a graph in DOT as `"svg"`, `"png"` (crisp at 2x) or `"pdf"`."""
    if format not in FORMATS:
        raise FormatError(
            f"cannot draw as {format!r}; the formats are {', '.join(FORMATS)}"
        )
    failures = []
    for engine in ENGINES:
        command = engine.find() if format in engine.formats else None
        if command is None:
            continue
        try:
            return _run(command, dot, format)
        except FormatError as failure:
            failures.append(f"{engine.name}: {failure}")
            if "syntax error" in str(failure):
                break
    if failures:
        raise FormatError(
            f"could not draw the graph as {format}. " + "; ".join(failures)
        )
    raise FormatError(
        f"no layout engine that writes {format} is installed: "
        "`pip install pygraphviz`, or install Graphviz so that `dot` is on PATH"
    )


def _run(command: list[str], dot: str, format: str) -> bytes:
    options = [
        *(BITMAP if format == "png" else ()),
        *(PAGE if format == "pdf" else ()),
        *(FAST if len(dot) > LARGE else ()),
    ]
    try:
        done = subprocess.run(
            [*command, f"-T{format}", *options],
            input=dot.encode("utf-8", errors="replace"),
            capture_output=True,
            timeout=SECONDS,
            env=_environment(),
            cwd=HERE / "fonts",  # what fontconfig takes its relative folders from
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FormatError(
            f"no layout after {SECONDS} s; draw a part of the graph, or collapse scopes"
        ) from error
    except OSError as error:
        raise FormatError(f"could not start {command[0]}: {error.strerror}") from error
    said = done.stderr.decode("utf-8", errors="replace").strip()
    # a label that is no HTML leaves status 0 in a library and a wrong picture
    if done.returncode or not done.stdout or "in label of" in said:
        raise FormatError(said or f"stopped with status {done.returncode}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Add a font for mathematics to the user's environment: a machine may have none."""
    environment = dict(os.environ)
    if sys.platform == "linux":
        environment.setdefault("FONTCONFIG_FILE", str(HERE / "fonts" / "fonts.conf"))
    return environment


def escape(text: str, *, markup: bool = False) -> str:
    r"""Write text so that a label shows it letter by letter.

    The result stands between the quotes of a plain label or, with `markup`, between
    the tags of an HTML-like one. It is not for `shape=record`, whose labels have a
    syntax of their own.

    >>> escape('say "a<b"\n\\N')
    'say &quot;a&lt;b&quot;\\n\\\\N'
    >>> escape("a<b\n\\N", markup=True)
    'a&lt;b<br/>\\\\N'
    """
    text = NOT_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    # Graphviz reads \N and its like in both kinds of label, after the entities
    text = html.escape(text, quote=True).replace("\\", "\\\\")
    return text.replace("\n", "<br/>" if markup else "\\n")
