"""``symgrad explain``: an animated page that walks a model through its gradients.

The object is a loss, a trainer, or a tuple of one and its data; a function is called
for it.  Without one, a built-in network on handwritten digits is shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from symgrad.errors import FormatError

HELP = "write an animated page that walks a model through its gradients"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "object",
        metavar="FILE.py:OBJECT",
        nargs="?",
        help="such as model.py:loss (default: a network on digits)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE.npz", help="an array for each input by name"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("explain.html"),
        metavar="PAGE.html",
        help="the file to write (default: explain.html)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from rich.console import Console

    from symgrad.commands.diagnose import arrays
    from symgrad.commands.load import load_object
    from symgrad.explainer.public import explain

    console = Console(highlight=False)
    subject, data, name = None, None, "this model"
    if args.object is not None:
        loaded = load_object(args.object)
        parts = loaded if isinstance(loaded, tuple) else (loaded,)
        if not 1 <= len(parts) <= 2:
            raise FormatError(
                f"{args.object} is a tuple of {len(parts)}; it is a loss or trainer, "
                "and its data"
            )
        subject, data = (*parts, None)[:2]
        name = Path(args.object.rpartition(":")[0]).stem
    elif args.data is not None:
        raise FormatError("--data belongs to a FILE.py:OBJECT; give it as well")
    if args.data is not None:
        data = arrays(args.data)
    with console.status("deriving and measuring"):
        made = explain(subject, data, name=name)
        path = made.save(args.out)
    console.print(
        f"{len(made.scenes)} scenes of {made.seconds:.0f} seconds are in {path}",
        markup=False,
    )
    return 0
