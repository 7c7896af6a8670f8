"""The ``symgrad`` command.

Exit codes: 0 all well; 1 something the user can put right, said on standard error; 2
wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import symgrad
from symgrad.errors import SymgradError

#: Subcommands, in the order of the help; each is a module of ``symgrad.commands``.
COMMANDS = ("demo", "derive", "compile", "draw", "diagnose", "explain", "cache")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="symgrad",
        description="A symbolic computation-graph compiler: closed-form gradients, "
        "compiled kernels, pictures of gradient flow.",
    )
    top.add_argument(
        "--version", action="version", version=f"symgrad {symgrad.__version__}"
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"symgrad.commands.{name}")
        sub = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.configure(sub)
        sub.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except SymgradError as error:
        print(f"symgrad: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsymgrad: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; what is still buffered has no place to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
