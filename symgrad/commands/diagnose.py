"""``symgrad diagnose``: what is wrong with a model or a training run, and why.

The object is a loss, a trainer, or a tuple of one and its data (and history); a
function is called for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.errors import FormatError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from symgrad.diagnosis.findings import Finding
    from symgrad.diagnosis.report import Diagnosis

HELP = "say what is wrong with a model or a training run, and why"
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "object", metavar="FILE.py:OBJECT", help="such as model.py:trainer"
    )
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

    from symgrad.commands.load import load_object
    from symgrad.diagnosis.public import diagnose

    loaded = load_object(args.object)
    parts = loaded if isinstance(loaded, tuple) else (loaded,)
    if not 1 <= len(parts) <= 3:
        raise FormatError(
            f"{args.object} is a tuple of {len(parts)}; it is a loss or trainer, its "
            "data, and its history"
        )
    subject, data, history = (*parts, None, None)[:3]
    if args.data is not None:
        data = arrays(args.data)
    found = diagnose(subject, data, history=history, batch_size=args.batch_size)
    console = Console(highlight=False)
    show(console, found)
    if args.out is not None:
        console.print(f"The report is in {found.save(args.out)}", markup=False)
    return 0 if found.healthy else 1


def arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {path}: {error}") from None


def show(console: Console, d: Diagnosis) -> None:
    """Print a diagnosis on a terminal."""
    from rich.table import Table

    from symgrad.diagnosis.report import also, grouped, shown

    if not d.findings:
        console.print(f"[bold]{d.nothing}[/bold]")
    for f, more in grouped([f for f in d.findings if f.severity != "note"]):
        console.print(_finding(f, also(more, "")))
    for f, more in grouped(d.notes, most=0):
        console.print(_title(f, also(more, "; also ")))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for n, heading in enumerate(d.columns.values()):
        table.add_column(heading, justify="right" if n else "left")
    for row in d.layers:
        table.add_row(*(shown(row[c]) for c in d.columns))
    console.print()
    console.print(table)
    console.print()
    console.print(d.summary(), markup=False)


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
