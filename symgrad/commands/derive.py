"""``symgrad derive``: a derivative in closed form, with the steps that lead to it."""

from __future__ import annotations

import argparse

from symgrad.errors import ParseError

HELP = "derive an expression: worked steps and the closed form"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("expression", help="in Python's syntax, such as (2*x + 1)**2")
    parser.add_argument("wrt", nargs="+", help="the variables to derive by")
    parser.add_argument("--order", type=int, default=1, metavar="N", help="1, 2, …")
    parser.add_argument(
        "--dims",
        action="append",
        default=[],
        metavar="X=n,d",
        help="the dimensions of a tensor; with it, the expression is of tensors",
    )
    parser.add_argument("--latex", action="store_true", help="print LaTeX")
    parser.add_argument("--mathml", action="store_true", help="print MathML")
    parser.add_argument("--code", action="store_true", help="print the compiled source")
    parser.add_argument(
        "--check", action="store_true", help="compare with finite differences"
    )


def dimensions(texts: list[str]) -> dict[str, tuple[int | str, ...]] | None:
    """Return the dimensions that ``--dims`` gives.

    >>> dimensions(["X=n,3", "c="])
    {'X': ('n', 3), 'c': ()}
    """
    found: dict[str, tuple[int | str, ...]] = {}
    for text in texts:
        name, equals, sizes = text.partition("=")
        parts = [s.strip() for s in sizes.split(",") if s.strip()]
        named = [s.isidentifier() or s.isdecimal() for s in parts]
        if not equals or not name.strip().isidentifier() or not all(named):
            raise ParseError(f"--dims {text!r} is not like X=n,d or w=3")
        found[name.strip()] = tuple(int(s) if s.isdecimal() else s for s in parts)
    return found or None


def run(args: argparse.Namespace) -> int:
    """Derive and print."""
    from symgrad.closedform import derive

    wrt = args.wrt[0] if len(args.wrt) == 1 else args.wrt
    found = derive(args.expression, wrt, args.order, dimensions(args.dims))
    if args.latex:
        print(found.latex())
    if args.mathml:
        print(found.mathml())
    if not (args.latex or args.mathml):
        print(found)
    if args.code:
        print(f"\n{found.code()}")
    if args.check:
        report = found.check()
        print(f"\n{report}")
        return 0 if report.ok else 1
    return 0
