"""``symgrad compile``: compile a model, and write it for later or for elsewhere.

The model is an object of a Python file (tensors, a program or a trainer; a function is
called for it), an ONNX file, or a program that ``Program.save`` wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from symgrad.errors import FormatError
from symgrad.files import replace_file

HELP = "compile a model, show its report or kernels, write it to a file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="FILE.py:OBJECT, FILE.onnx, or a saved program",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="write it: as a Python module (.py), as ONNX (.onnx), else as a program "
        "that sg.load reads",
    )
    parser.add_argument(
        "--source", action="store_true", help="print the kernels instead of the report"
    )


def run(args: argparse.Namespace) -> int:
    """Compile, print, write."""
    program = loaded(args.model)
    if args.out is not None:
        write(program, args.out)
    if args.source:
        print(program.source)
    else:
        for line in report(program):
            print(line)
        if args.out is not None:
            print(f"wrote {args.out}")
    return 0


def loaded(text: str) -> Any:
    """Return the program that an argument names.

    Raises:
        FormatError: the argument, the file or the object is not as expected.
    """
    import symgrad as sg
    from symgrad.commands.load import load_object

    if text.endswith(".onnx"):
        model = sg.interop.from_onnx(text)
        return sg.compile(list(model.inputs.values()), model.outputs)
    if ".py:" not in text:
        return sg.load(text)
    found = load_object(text)
    if isinstance(found, sg.Trainer):
        return found.program
    return found if isinstance(found, sg.Program) else compiled(text, found)


def compiled(text: str, outputs: Any) -> Any:
    """Return the program of tensors in any structure."""
    import symgrad as sg
    from symgrad.declare.tensor import Input, topological
    from symgrad.derivation.reverse import flatten

    leaves = flatten(outputs)
    if not leaves or not all(isinstance(t, sg.Tensor) for t in leaves):
        raise FormatError(
            f"{text} is of type {type(outputs).__name__}; it is a tensor, a structure "
            "of them, a program or a trainer"
        )
    inputs = [t for t in topological(leaves) if isinstance(t.op, Input)]
    return sg.compile(inputs, outputs)


def report(program: Any) -> list[str]:
    """Return what a program takes, gives and consists of, a line each."""
    from symgrad.declare.tensor import print_shape
    from symgrad.derivation.reverse import flatten

    def listed(tensors: Any) -> str:
        parts = [f"{t.name or ''} {t.dtype}{print_shape(t.shape)}" for t in tensors]
        return ", ".join(p.strip() for p in parts) or "none"

    found = program.report()
    lines = [
        f"inputs   {listed(program.inputs)}",
        f"outputs  {listed(flatten(program.outputs))}",
        f"updates  {listed(program.updates)}",
        f"kernels  {found['kernels']}, {found['unique_kernels']} different",
    ]
    if found["flops"] is not None:
        lines.append(f"flops    {found['flops']:,}")
        lines.append(f"bytes    {found['bytes']:,}, arena {found['arena_bytes']:,}")
    lines.append(f"compiled in {found['compile_seconds']:.2f} s")
    return lines


def write(program: Any, out: Path) -> None:
    """Write a program in the form that the file's name asks for."""
    import symgrad as sg

    if out.suffix == ".onnx":
        sg.interop.to_onnx(program.outputs, out)
    elif out.suffix == ".py":
        text = sg.interop.to_python(program)
        try:
            replace_file(out, text.encode())
        except OSError as error:
            raise FormatError(f"cannot write {out}: {error.strerror}") from error
    else:
        program.save(out)
