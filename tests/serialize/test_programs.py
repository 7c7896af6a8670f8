"""Programs to files and back; damaged and hostile files."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import symgrad as sg
from symgrad.serialize import graph
from symgrad.serialize.operations import Contents
from tests.golden.models import MODELS
from tests.programs.compare import declare
from tests.programs.strategy import programs
from tests.simplification.models import MODELS as LARGER


def compiled(name):
    model = MODELS[name]()
    results = [*model.outputs, *sg.grad(model.outputs[0], model.wrt)]
    return model, sg.compile(model.inputs, results)


def again(program, tmp_path):
    program.save(tmp_path / "program.safetensors")
    return sg.load(tmp_path / "program.safetensors")


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_program_is_the_same(name, tmp_path):
    model, program = compiled(name)
    loaded = again(program, tmp_path)
    assert loaded.source == program.source
    for a, b in zip(program(*model.arrays()), loaded(*model.arrays()), strict=True):
        assert a.tobytes() == b.tobytes()
        assert a.dtype == b.dtype


@settings(max_examples=20, derandomize=True, deadline=None, database=None)
@given(programs())
def test_random_graphs_survive(program):
    declared = declare(program)
    contents = Contents()
    data = graph.write(graph.Declaration(declared.inputs, declared.results), contents)
    text = json.dumps(data, allow_nan=False)
    read = graph.read(json.loads(text), Contents(contents.arrays))
    other = Contents()
    assert graph.write(read, other) == data
    for name, array in contents.arrays.items():
        assert other.arrays[name].tobytes() == array.tobytes()


def test_a_training_step_is_saved_whole(tmp_path):
    x, y = sg.input("x", ("n", 3)), sg.input("y", ("n",))
    with sg.scope("layer"):
        w = sg.param("w", (3,), init="he_normal")
        b = sg.param("b", (), init=0.25)
    base = sg.param("base", (3,), init=np.ones(3), trainable=False)
    loss = sg.mean((x @ (w + base) + b - y) ** 2)
    updates = sg.optim.Adam(0.01).updates([w, b], sg.grad(loss, [w, b])).values
    program = sg.compile([x, y], {"loss": loss, "more": (loss, [w])}, updates=updates)
    loaded = again(program, tmp_path)
    assert [t.name for t in loaded.inputs] == ["x", "y"]
    assert set(loaded.outputs) == {"loss", "more"}
    assert loaded.outputs["loss"].shape == ()
    assert isinstance(loaded.outputs["more"], tuple)
    assert isinstance(loaded.outputs["more"][1], list)
    arrays = sg.init([loaded.outputs["loss"], *loaded.updates.values()], seed=3)
    same = sg.init([loss, *updates.values()], seed=3)
    found = {p.name: p for p in loaded.updates}
    assert found["layer/w"].scope == "layer"
    assert not next(t for t in _leaves(loaded) if t.name == "base").op.trainable
    rng = np.random.default_rng(0)
    data = rng.normal(size=(5, 3)).astype("f"), rng.normal(size=5).astype("f")
    program.bind(same)
    loaded.bind(arrays)
    for _ in range(3):
        program(*data)
        loaded(*data)
    for name, array in same.items():
        assert array.tobytes() == arrays[name].tobytes()


def _leaves(program):
    from symgrad.declare.tensor import topological

    return topological([program.outputs["loss"]])


def test_numbers_that_json_cannot_say(tmp_path):
    x = sg.input("x", (3,), "float64")
    y = sg.where(x > 0, np.inf, sg.where(x < 0, -np.inf, np.nan)) + sg.constant(-0.0)
    value = np.array([1.0, -1.0, 0.0])
    np.testing.assert_array_equal(
        again(sg.compile([x], y), tmp_path)(value), [np.inf, -np.inf, np.nan]
    )


def test_options_and_sizes_of_no_array(tmp_path):
    x = sg.input("x", ("n", 0), "int32")
    total = sg.sum(x, axis=1) + x.shape[0]
    loaded = again(sg.compile([x], total, nan_check=True), tmp_path)
    assert loaded(np.zeros((2, 0), "int32")).tolist() == [2, 2]
    y = sg.input("y", (2,))
    wide = again(sg.compile([y], sg.exp(y), dtype="float64"), tmp_path)
    assert wide(np.zeros(2)).dtype == np.float64


def test_a_function_as_initial_value_is_not_kept(tmp_path):
    w = sg.param("w", (2,), init=lambda rng, shape: np.ones(shape))
    loaded = again(sg.compile([], sg.sum(w)), tmp_path)
    assert loaded(params={"w": np.ones(2, "f")}) == 2
    with pytest.raises(sg.GraphError, match=r"'w' was the function .*lambda"):
        sg.init(loaded.outputs)


def test_keys_that_a_file_cannot_say(tmp_path):
    x = sg.input("x", (2,))
    with pytest.raises(sg.GraphError, match="not under"):
        sg.compile([x], {1.5: x + 1}).save(tmp_path / "p")


def test_a_warm_load_compiles_nothing(tmp_path):
    from symgrad.run import kernels

    _, program = compiled("mlp")
    before = kernels.counts().compiled
    again(program, tmp_path)
    assert kernels.counts().compiled == before


# -- files that are not as they should be ----------------------------------------------


def saved(tmp_path, name="embedding"):
    path = tmp_path / "program.safetensors"
    compiled(name)[1].save(path)
    return path


def rewritten(path, change):
    """Write the file anew with its graph changed by a function."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    found = json.loads(header["__metadata__"]["graph"])
    found = change(found) or found
    header["__metadata__"]["graph"] = json.dumps(found)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_no_file_and_no_place(tmp_path):
    with pytest.raises(sg.FormatError, match="no such file"):
        sg.load(tmp_path / "absent")
    x = sg.input("x", (2,))
    with pytest.raises(sg.FormatError, match="cannot write"):
        sg.compile([x], x + 1).save(tmp_path / "absent" / "p")


def test_a_checkpoint_is_no_program(tmp_path):
    from symgrad.train import checkpoint

    checkpoint.write(tmp_path / "run", {"w": np.ones(2)}, {})
    with pytest.raises(sg.FormatError, match=r"not a program that program\.save"):
        sg.load(tmp_path / "run")
    path = saved(tmp_path)
    with pytest.raises(sg.FormatError, match="not a training run"):
        checkpoint.read(path)


def test_a_later_version(tmp_path):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"version":"1"', b'"version":"9"'))
    with pytest.raises(sg.FormatError, match="version 9 of the format"):
        sg.load(path)


CHANGES = {
    "there is no operation 'evil'": lambda g: g["nodes"][-1].update(op="evil"),
    "there is no node 99": lambda g: g["nodes"][-1].update(args=[99]),
    "is no scalar expression": lambda g: g["nodes"][-1].update(body=["system", "ls"]),
    "'nodes' is a list": lambda g: g.pop("nodes") and None,
    "the field 'extents'": lambda g: g["nodes"][-1].pop("extents") and None,
    "dtype complex64": lambda g: g["nodes"][-1].update(dtype="complex64"),
    "node 0: a size is an integer": lambda g: g["nodes"][0].update(shape=[-3]),
    "is no name of a dimension": lambda g: g["nodes"][0].update(shape=[[[1, "a b"]]]),
    "is stated to be": lambda g: next(
        n for n in g["nodes"] if "extents" in n and "target" not in n
    ).update(shape=[7]),
    "no JSON object": lambda g: [1, 2],
    "is no term of an index": lambda g: g["nodes"][-1].update(
        reads=[[0, [0, [0]], [0, [1, 1]]]]
    ),
    "the structure of the outputs": lambda g: g.update(outputs={"set": [0]}),
    "is updated": lambda g: g.update(updates=[[0, 0]]),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_is_wrong_is_said(tmp_path, message):
    path = saved(tmp_path)
    rewritten(path, CHANGES[message])
    with pytest.raises(sg.FormatError) as caught:
        sg.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_index_out_of_range_is_refused(tmp_path):
    x = sg.input("x", (4,))
    path = tmp_path / "p"
    sg.compile([x], x[1:3]).save(path)

    def far(g):
        g["nodes"][-1]["reads"][0][1][0] = 10**9

    rewritten(path, far)
    with pytest.raises(sg.FormatError, match="out of the range of 'x'"):
        sg.load(path)


def test_an_index_out_of_range_behind_a_guard_reads_nothing(tmp_path):
    x = sg.input("x", (4,))
    path = tmp_path / "p"
    sg.compile([x], sg.pad(x, 1)).save(path)

    def far(g):
        read = g["nodes"][-1]["reads"][0][1]
        read[0] = 10**9

    rewritten(path, far)
    assert not sg.load(path)(np.ones(4, "f")).any()


def test_a_scatter_out_of_range_is_refused(tmp_path):
    x, ids = sg.input("x", ("n", 5)), sg.input("ids", (3,), "int64")
    path = tmp_path / "p"
    loss = sg.sum(sg.sin(x[ids, 2]))
    sg.compile([x, ids], sg.grad(loss, x)).save(path)
    assert sg.load(path)(np.ones((4, 5), "f"), [0, 1, 3]).any()

    def far(place, constant):
        def change(g):
            node = next(n for n in g["nodes"] if "target" in n)
            node["target"][place][0] = constant

        return change

    rewritten(path, far(0, 10**9))  # of a dimension whose size is not known yet
    with pytest.raises(sg.ShapeError, match="of dimension 0 of"):
        sg.load(path)(np.ones((4, 5), "f"), [0, 1, 3])
    rewritten(path, far(0, 0))
    rewritten(path, far(1, 5))
    with pytest.raises(sg.FormatError, match="out of the range of the result"):
        sg.load(path)


@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory, data):
    """No byte of a file makes anything but a FormatError or a declaration."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = FUZZED.setdefault("path", saved(folder))
    original = FUZZED.setdefault("data", path.read_bytes())
    damaged = bytearray(original)
    kind = data.draw(st.sampled_from(["bytes", "cut", "swap"]))
    if kind == "cut":
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    elif kind == "bytes":
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
    else:
        tokens = [b"0", b"1", b"-1", b"[]", b"{}", b"null", b'\\"a\\"', b"1e999"]
        numbers = [i for i, c in enumerate(original) if c in b"0123456789"]
        place = data.draw(st.sampled_from(numbers))
        token = data.draw(st.sampled_from(tokens))
        length = struct.unpack("<Q", original[:8])[0] + len(token) - 1
        damaged[place : place + 1] = token
        damaged[:8] = struct.pack("<Q", length)
    target = folder / "damaged"
    target.write_bytes(bytes(damaged))
    message = None
    try:
        graph.load(target)
    except sg.FormatError as error:
        message = str(error)
    assert message is None or str(target) in message


FUZZED: dict = {}


@pytest.mark.parametrize("model", LARGER)
def test_no_guard_is_added_to_what_the_library_declares(model):
    """The check of indices leaves what needs none as it is."""
    outputs = model()
    contents = Contents()
    data = graph.write(graph.Declaration([], outputs), contents)
    assert graph.write(graph.read(data, Contents(contents.arrays)), Contents()) == data
