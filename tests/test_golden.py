"""What each stage makes of small models, word for word, and that it computes right.

``pytest tests/test_golden.py --update-golden`` writes the files anew; read the
difference before it is committed.
"""

import difflib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgrad as sg
from symgrad.notation import print_graph
from symgrad.schedule.plan import schedule
from symgrad.simplification import simplify_outputs
from tests.golden.models import MODELS

FOLDER = Path(__file__).parent / "golden"


def texts(name):
    """Return the model, its program, and the text of every stage."""
    model = MODELS[name]()
    results = [*model.outputs, *sg.grad(model.outputs[0], model.wrt)]
    simple = simplify_outputs(results)
    program = sg.compile(model.inputs, results)
    stages = {
        "declared": print_graph(model.outputs),
        "derived": print_graph(results),
        "simplified": print_graph(simple),
        "plan": str(schedule(simple)),
        "source": program.source,
    }
    parts = (f"===== {stage} =====\n\n{text}\n" for stage, text in stages.items())
    return model, program, "\n".join(parts)


@pytest.mark.parametrize("name", MODELS)
def test_stages(name, request):
    jax = pytest.importorskip("jax")
    model, program, text = texts(name)
    file = FOLDER / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        file.write_text(text, encoding="utf-8")
    known = file.read_text(encoding="utf-8").splitlines()
    changes = difflib.unified_diff(known, text.splitlines(), str(file), "now", n=2)
    assert known == text.splitlines(), "\n".join(
        ["run with --update-golden if this is as it should be:", *changes]
    )

    arrays = model.arrays()
    found = program(*arrays)
    places = [n for w in model.wrt for n, t in enumerate(model.inputs) if t is w]
    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(
            lambda *a: model.jax(jax.numpy, *a), argnums=places
        )(*map(jax.numpy.asarray, arrays))
    np.testing.assert_allclose(found[0], value, rtol=1e-12)
    for g, wanted in zip(found[len(model.outputs) :], slopes, strict=True):
        np.testing.assert_allclose(g, wanted, rtol=1e-10, atol=1e-12)


PRINT = """
import hashlib, sys
from tests.test_golden import MODELS, texts
names = list(MODELS)
for name in names[::int(sys.argv[1])]:
    print(name, hashlib.sha256(texts(name)[2].encode()).hexdigest())
"""


@pytest.mark.parametrize(("seed", "order"), [("0", 1), ("1", -1)])
def test_texts_depend_on_neither_hashes_nor_order(seed, order):
    done = subprocess.run(
        [sys.executable, "-c", PRINT, str(order)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == {
        name: hashlib.sha256((FOLDER / f"{name}.txt").read_bytes()).hexdigest()
        for name in MODELS
    }
