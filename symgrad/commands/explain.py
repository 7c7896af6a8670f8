"""``symgrad explain``: an animated page that walks a model through its gradients.

The object is a loss, a trainer, or a tuple of one and its data; a function is called
for it.  A program that ``Program.save`` wrote and an ONNX model with a scalar output
are explained on the data of ``--data``.  Without any, a built-in network on
handwritten digits is shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from symgrad.commands.load import OBJECT, arrays, check_measurable, load_model
from symgrad.errors import FormatError

HELP = "write an animated page that walks a model through its gradients"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "object",
        metavar="MODEL",
        nargs="?",
        help=f"{OBJECT} (default: a network on digits)",
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

    from symgrad.declare.tensor import Tensor
    from symgrad.explainer.public import explain

    console = Console(highlight=False)
    subject, data, name = None, None, "this model"
    if args.object is not None:
        subject, data = load_model(args.object, scalar=True)
        name = Path(args.object.partition(".py:")[0]).stem
    elif args.data is not None:
        raise FormatError("--data belongs to a model; give it as well")
    if args.data is not None:
        data = arrays(args.data)
    loss = getattr(subject, "loss", subject)
    if isinstance(loss, Tensor):
        check_measurable("the page", loss, data)
    made = explain(subject, data, name=name)
    path = made.save(args.out)
    console.print(
        f"{len(made.scenes)} scenes of {made.seconds:.0f} seconds are in {path}",
        markup=False,
    )
    return 0
