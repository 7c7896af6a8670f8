"""The ONNX package's own tests of operators, one by one.

``python -m tests.interop.onnx_backend`` imports every node test, computes it by the
slow evaluator of ``tests.reference`` (loops by kernels) and compares with the results
that the test holds; it prints how many pass and why the others do not.  ``--compiled``
computes by kernels, ``--write`` notes the names of those that pass, which a test holds
on to.

An operand that has to be known at import (a shape, axes) is given as such; a test all
of whose operands would be is not counted.
"""

from __future__ import annotations

import argparse
import collections
import sys
import warnings
from pathlib import Path

import numpy as np

import symgrad as sg
from symgrad.declare.loop import Scan
from symgrad.declare.tensor import topological
from symgrad.interop.onnx_import.public import from_onnx
from symgrad.interop.onnx_import.values import NeedsConstantError
from tests.reference import evaluate_graph

PASSING = Path(__file__).with_name("onnx_passing.txt")


def load():
    """Return the node tests by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {t.name: t for t in load_model_tests(kind="node")}


def as_array(data):
    """Return what a test holds as an array where it is one."""
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(data) if isinstance(data, TensorProto) else data


def imported(test):
    """Return the graph of a test, and its arrays; what has to be known is."""
    inputs, outputs = test.data_sets[0]
    names = [i.name for i in test.model.graph.input]
    arrays = dict(zip(names, map(as_array, inputs), strict=False))
    values = {}
    while True:
        try:
            return from_onnx(test.model, values), arrays, outputs
        except NeedsConstantError as error:
            if not error.names:
                raise
            values |= {name: arrays[name] for name in error.names}


def check(test, compiled=False):
    """Import and compute one test; raise unless the results are right."""
    model, arrays, wanted = imported(test)
    if arrays and not model.inputs:
        raise sg.GraphError("all operands would have to be known at import")
    given = model.prepare(arrays)
    outputs = list(model.outputs.values())
    loops = any(isinstance(t.op, Scan) for t in topological(outputs))
    if compiled or loops:  # the slow evaluator knows statements only
        inputs = list(model.inputs.values())
        params = sg.init(outputs)
        found = sg.compile(inputs, outputs)(*given.values(), params=params)
    else:
        leaves = {model.inputs[name]: a for name, a in given.items()}
        leaves |= {p: np.asarray(p.op.init) for p in model.params.values()}
        found = evaluate_graph(outputs, leaves)
    done = model.finish(dict(zip(model.outputs, found, strict=True)))
    for (name, got), right in zip(done.items(), wanted, strict=True):
        right = np.asarray(as_array(right))
        assert got.shape == right.shape, f"{name}: {got.shape}, not {right.shape}"
        assert got.dtype == right.dtype, f"{name}: {got.dtype}, not {right.dtype}"
        if right.dtype.kind in "fV":
            got, right = got.astype("float64"), right.astype("float64")
        np.testing.assert_allclose(got, right, rtol=test.rtol, atol=test.atol)


def main(arguments=None):
    """Run the tests and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only tests whose names contain these")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args(arguments)
    passing, reasons = [], collections.Counter()
    for name, test in load().items():
        if chosen.names and not any(part in name for part in chosen.names):
            continue
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                check(test, chosen.compiled)
            passing.append(name)
        except Exception as error:
            text = " ".join(str(error).split())[:150]
            reasons[f"{type(error).__name__}: {text}"] += 1
            if chosen.verbose:
                print(f"{name}: {type(error).__name__}: {text}")
    for reason, count in reasons.most_common():
        print(f"{count:5} {reason}")
    print(f"{len(passing)} of {len(passing) + sum(reasons.values())} pass")
    if chosen.write:
        PASSING.write_text("\n".join(sorted(passing)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
