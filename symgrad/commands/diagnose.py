"""``symgrad diagnose``: what is wrong with a model or a training run, and why.

The object is a loss, a trainer, or a tuple of one and its data (and history); a
function is called for it.  A program that ``Program.save`` wrote and an ONNX model with
a scalar output are diagnosed as well.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from symgrad.commands.load import OBJECT
from symgrad.errors import FormatError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from symgrad.diagnosis.findings import Finding
    from symgrad.diagnosis.report import Diagnosis

HELP = "say what is wrong with a model or a training run, and why"
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
#: Columns that give way on a narrow terminal, the first ones first.
DROPPED = (
    "first_ratio",
    "saturated",
    "activation_rms",
    "predicted_ratio",
    "bound",
    "bound_at_data",
    "dead",
    "update_to_weight",
)
GAP = 2  # between columns


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("object", metavar="MODEL", help=OBJECT)
    parser.add_argument(
        "--data", type=Path, metavar="FILE.npz", help="an array for each input by name"
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="samples in a training step"
    )
    parser.add_argument(
        "--out", type=Path, metavar="REPORT.html", help="write the report as a page"
    )


def run(args: argparse.Namespace) -> int:
    """Diagnose; the exit code is 1 if there is more than notes."""
    from rich.console import Console

    from symgrad.commands.load import arrays, load_model
    from symgrad.diagnosis.public import diagnose

    if args.out is not None and args.out.suffix != ".html":
        raise FormatError(f"cannot write a report to {args.out}: it is not .html")
    subject, data, history = load_model(args.object, scalar=True, history=True)
    if args.data is not None:
        data = arrays(args.data)
    found = diagnose(subject, data, history=history, batch_size=args.batch_size)
    console = Console(highlight=False)
    show(console, found)
    if args.out is not None:
        console.print(f"The report is in {found.save(args.out)}", markup=False)
    return 0 if found.healthy else 1


def show(console: Console, d: Diagnosis) -> None:
    """Print a diagnosis on a terminal."""
    from symgrad.diagnosis.report import also, grouped

    if not d.findings:
        console.print(f"[bold]{d.nothing}[/bold]")
    for f, more in grouped([f for f in d.findings if f.severity != "note"]):
        console.print(_finding(f, also(more, "")))
    for f, more in grouped(d.notes, most=0):
        console.print(_title(f, also(more, "; also ")))
    if d.layers:
        console.print()
        _layers(console, d)
    console.print()
    console.print(d.summary(), markup=False)


def _layers(console: Console, d: Diagnosis) -> None:
    """Print the table of layers: the columns for which there is room."""
    from rich.table import Table
    from rich.text import Text

    from symgrad.diagnosis.report import shown

    columns = {
        c: [name, *(shown(row[c]) for row in d.layers)] for c, name in d.columns.items()
    }
    left = []
    while _width(columns) > console.width:
        least = next((c for c in DROPPED if c in columns), None)
        if least is None:
            break
        left.append(columns.pop(least)[0])
    room = console.width - _width(columns) - GAP
    drawn = _bars([float(row["gradient_norm"]) for row in d.layers], min(room, 24))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for n, (heading, *_) in enumerate(columns.values()):
        table.add_column(heading, justify="right" if n else "left", overflow="fold")
    if drawn:
        table.add_column(Text("gradient, log scale", style="dim"), no_wrap=True)
    for n, cells in enumerate(zip(*columns.values(), strict=True)):
        if n:
            table.add_row(*cells, *drawn[n - 1 : n])
    console.print(table)
    if left:
        console.print(f"(wider terminals show: {', '.join(left)})", style="dim")


def _width(columns: Mapping[str, list[str]]) -> int:
    widths = [max(map(len, cells)) for cells in columns.values()]
    return sum(widths) + GAP * (len(widths) - 1)


def _bars(values: Sequence[float], width: int) -> list[Text]:
    """Return a bar for each value on a logarithmic scale; none if they do not fit."""
    from rich.text import Text

    live = [math.log10(v) for v in values if v > 0 and math.isfinite(v)]
    if width < 10 or len(live) < 2:
        return []
    low, high = min(live), max(live)
    low = min(low, high - 1)  # one power of ten at least
    found = []
    for v in values:
        part = (math.log10(v) - low) / (high - low) if v > 0 and v < math.inf else 0.0
        eighths = round((0.04 + 0.96 * part) * 8 * width) if v > 0 else 0
        whole, rest = divmod(eighths, 8)
        bar = "█" * whole + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
        found.append(Text(bar, style="cyan"))
    return found


def _title(f: Finding, more: str = "") -> Text:
    from rich.text import Text

    title = Text(f.kind.replace("_", " "), style=f"bold {COLOURS[f.severity]}")
    title.append(f"  {f.severity}, {f.where}{more}", style="not bold default")
    return title


def _finding(f: Finding, more: str) -> RenderableType:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_row(_title(f))
    words = Table.grid(padding=(0, 2))
    rows = (("evidence", f.evidence), ("causes", "; ".join(f.causes)))
    for name, text in (*rows, ("advice", f.advice), ("also in", more)):
        if text:
            words.add_row(Text(name, style="dim"), Text(text))
    grid.add_row(words)
    return Padding(grid, (1, 0, 0, 0))
