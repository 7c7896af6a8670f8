"""``symgrad draw``: a picture of a graph, of its gradient, or of what flows in it.

The object is a tensor, a trainer, or a tuple of one and its data; a function is called
for it.  A program that ``Program.save`` wrote and an ONNX model are drawn as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symgrad.commands.load import OBJECT, arrays, check_measurable, load_model
from symgrad.errors import FormatError

if TYPE_CHECKING:
    from symgrad.declare.tensor import Tensor

HELP = "draw a graph: forward, gradient, flow of the gradient, residual highways"
VIEWS = ("forward", "gradient", "flow", "highways")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "object",
        metavar="MODEL",
        help=OBJECT,
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="PICTURE",
        help="the file to write: .svg, .png, .pdf, .dot or .html (interactive)",
    )
    parser.add_argument("--view", choices=VIEWS, default="forward", help="(forward)")
    parser.add_argument(
        "--compare", choices=("without_residuals",), help="beside the highways"
    )
    parser.add_argument(
        "--collapse",
        choices=("auto", "scope", "none"),
        default="auto",
        help="fold large graphs, every scope, or nothing (auto)",
    )
    parser.add_argument(
        "--direction",
        choices=("auto", "down", "right"),
        default="auto",
        help="in which data go; auto sets long chains in columns (auto)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE.npz", help="an array for each input by name"
    )


def run(args: argparse.Namespace) -> int:
    """Draw; print where the picture is."""
    from symgrad.drawing import draw

    t, data, params = subject(args.object, args.view)
    if args.data is not None:
        data = arrays(args.data)
    if args.view in ("flow", "highways"):
        check_measurable(f"the view {args.view}", t, data)
    collapse = None if args.collapse == "none" else args.collapse
    picture = draw(
        t,
        args.view,
        data=data,
        params=params,
        collapse=collapse,
        compare=args.compare,
        direction=args.direction,
    )
    print(picture.save(args.out))
    return 0


def subject(text: str, view: str) -> tuple[Tensor, Any, Any]:
    """Return the tensor to draw, its data and its parameters, None where not given.

    Raises:
        FormatError: there is nothing of the kind.
    """
    from symgrad.declare.tensor import Tensor
    from symgrad.derivation.reverse import flatten

    found, data = load_model(text, scalar=view != "forward")
    loss = getattr(found, "loss", found)
    tensors = [t for t in flatten(loss) if isinstance(t, Tensor)]
    if not tensors:
        raise FormatError(
            f"{text} is of type {type(found).__name__}; it should be a tensor, a "
            "trainer, or a tuple of one and its data"
        )
    return tensors[0], data, getattr(found, "params", None)
