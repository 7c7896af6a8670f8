"""The order of the stages, who may import what, and the size of modules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import symgrad

ROOT = Path(symgrad.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

#: A stage imports only itself and stages above it in this list.
STAGES = (
    ("errors",),
    ("extras", "files"),
    ("cache",),
    ("declare", "data"),
    ("derivation", "serialize"),
    ("simplification",),
    ("notation",),
    ("schedule",),
    ("emit",),
    ("run",),
    ("lowering",),
    ("pipeline",),
    ("transforms",),
    ("closedform",),
    ("nn",),
    ("train",),
    ("prediction",),
    ("interop",),
    ("drawing",),
    ("diagnosis",),
    ("explainer",),
    ("cli", "commands"),
)
RANK = {name: rank for rank, names in enumerate(STAGES) for name in names}

#: Package -> the modules that may import it, and whether only inside functions.
KEEPERS = {
    "sympy": (("derivation/symbolic.py", "closedform/"), True),
    "safetensors": (("serialize/container.py",), True),
    "onnx": (("interop/",), True),
    "numba": (("emit/", "run/compiler.py", "run/frontend.py"), False),
    "llvmlite": (("emit/", "run/"), False),
    "graphviz": (("drawing/",), False),
    "matplotlib": (("train/history.py", "drawing/"), True),
    "rich": (
        ("train/progress.py", "explainer/progress.py", "commands/", "cli.py"),
        True,
    ),
    "torch": (("interop/",), True),
    "jax": (("lowering/", "interop/jax_functions.py"), True),
}

LONGEST = 450  # lines
#: Modules over the limit: they may shrink, not grow.
LONGER = {
    "declare/scalar.py": 510,
    "declare/tensor.py": 504,
    "emit/rows.py": 490,
    "notation/matrix.py": 480,
}


def where(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Yield (module, is it inside a function) for every import of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typing = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inner | typing
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where(path)}: imports are absolute"
            for alias in node.names:
                whole = node.module == "symgrad"  # a stage, by its name
                name = f"symgrad.{alias.name}" if whole else node.module
                yield name, id(node) in inner | typing


def stage_of(module):
    """Return the stage of ``symgrad.<stage>…``; it has to be known."""
    return module.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_a_stage_imports_only_earlier_ones(path):
    if path == ROOT / "__init__.py":
        return  # gives every stage's functions, each at first use
    own = where(path).split("/")[0].removesuffix(".py")
    assert own in RANK, f"{own} is no stage; give it a place in STAGES"
    for module, _ in imports(path):
        if module == "symgrad":
            assert own in ("cli", "commands"), "import from the module that defines it"
        elif module.startswith("symgrad."):
            stage = stage_of(module)
            earlier = stage == own or RANK[stage] < RANK[own]
            beside = RANK[stage] == RANK[own] == RANK["cli"]
            assert earlier or beside, f"{own} imports {module}, a later stage"


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_packages_stay_with_their_keepers(path):
    for module, inside in imports(path):
        package = module.split(".")[0]
        if package in KEEPERS:
            keepers, lazily = KEEPERS[package]
            assert where(path).startswith(keepers), f"{where(path)} imports {module}"
            assert inside or not lazily, f"{where(path)} imports {module} at its top"


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_modules_are_small(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGER.get(where(path), LONGEST)


def test_importing_is_light():
    heavy = ("sympy", "numba", "llvmlite", "scipy", "matplotlib", "rich", "graphviz")
    code = (
        "import sys, symgrad\n"
        f"print([m for m in {heavy} if m in sys.modules])\n"
        "print([m for m in sys.modules if m.startswith('symgrad.train')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_every_public_name_resolves():
    for name in symgrad.__all__:
        assert getattr(symgrad, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        symgrad.nonsense  # noqa: B018
