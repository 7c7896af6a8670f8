import os
import signal
import subprocess
import sys
import warnings

import pytest

from symgrad import cache
from symgrad.cache import Cache, seal, unseal


def test_what_is_put_is_got_by_any_process(tmp_path):
    Cache(tmp_path / "c").put("rule.v1", b"abc" * 1000)
    again = Cache(tmp_path / "c")
    assert again.get("rule.v1") == b"abc" * 1000
    assert again.get("other") is None


def test_the_directory_is_private(tmp_path):
    Cache(tmp_path / "a" / "c").put("entry", b"")
    assert (tmp_path / "a" / "c").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "c" / "entry").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a b", "x" * 200])
def test_names_stay_in_the_directory(tmp_path, name):
    store = Cache(tmp_path)
    with pytest.raises(ValueError, match="cannot name an entry"):
        store.put(name, b"")
    with pytest.raises(ValueError, match="cannot name an entry"):
        store.get(name)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: b"", lambda d: b"?" + d[1:]]
)
def test_damaged_entries_are_no_entries_and_said_once(tmp_path, damage):
    for name in ("a", "b", "c"):
        Cache(tmp_path).put(name, b"data of " + name.encode())
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    store = Cache(tmp_path)
    with pytest.warns(RuntimeWarning, match="damaged entry") as caught:
        found = [store.get(name) for name in ("a", "b", "c")]
    assert found == [None, None, b"data of c"]
    assert len(caught) == 1
    store.put("a", b"made again")
    assert Cache(tmp_path).get("a") == b"made again"


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_every_truncation_is_noticed(length):
    entry = seal(b"x" * 40)
    assert unseal(entry) == b"x" * 40
    assert unseal(entry[:length]) is None


def check_works_in_memory(path, message):
    with pytest.warns(RuntimeWarning, match=message) as caught:
        store = use(path)
    assert len(caught) == 1
    return store


def use(path):
    store = Cache(path)
    store.put("a", b"1")
    store.put("b", b"2")
    assert store.get("a") == b"1"
    assert store.write_text("k.py", "pass\n").read_text() == "pass\n"
    return store


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    store = check_works_in_memory(tmp_path / "file" / "c", "in memory")
    assert store.info() == (None, 2, 2)


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    check_works_in_memory(tmp_path, "No space left")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_to_is_not_trusted(tmp_path, mode):
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(mode)
    check_works_in_memory(tmp_path / "c", "others may write")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_directory_of_somebody_else_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    check_works_in_memory(tmp_path, "others may write")


def test_an_entry_that_others_may_write_to_is_not_trusted(tmp_path):
    store = Cache(tmp_path)
    store.put("a", b"data")
    (tmp_path / "a").chmod(0o666)
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert store.get("a") is None


def test_a_text_is_compared_with_what_its_file_holds(tmp_path):
    store = Cache(tmp_path)
    path = store.write_text("k.py", "x = 1\n")
    path.write_text("x = 2\n")
    assert store.write_text("k.py", "x = 1\n").read_text() == "x = 1\n"


def test_info_and_clear(tmp_path):
    store = Cache(tmp_path)
    store.put("a", b"data")
    store.write_text("k.py", "x = 1\n")
    (tmp_path / ".new-dead").write_bytes(b"unfinished")
    os.utime(tmp_path / ".new-dead", (0, 0))
    (tmp_path / ".new-alive").write_bytes(b"unfinished")
    assert store.info() == (tmp_path, 2, len(seal(b"data")) + 6)
    assert store.clear().entries == 2
    assert [p.name for p in tmp_path.iterdir()] == [".new-alive"]
    assert store.get("a") is None


def test_the_environment_names_the_default_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path))
    cache.put("blob", b"1")
    assert cache.get("blob") == b"1"
    assert cache.cache_info() == (tmp_path, 1, len(seal(b"1")))
    assert cache.clear_cache().entries == 1
    assert cache.get("blob") is None
    monkeypatch.delenv("SYMGRAD_CACHE_DIR")
    assert cache._user_directory().name == "symgrad"


# Several processes at once, compiling in earnest.

WORKER = """
import os, signal, sys
import numpy as np
from symgrad import cache
from symgrad.run import kernels
from tests.run.support import CALL, kernel_text, table

if sys.argv[1] == "die":  # in the middle of writing the second machine code
    replace, codes = os.replace, []
    def die(source, target):
        if str(target).endswith(".o"):
            codes.append(target)
            if len(codes) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
    os.replace = die
BODY = '''
y = write_f64(operands, 0)
for i in range(lo, hi):
    y[i] = NUMBER
'''
numbers = [int(n) for n in sys.argv[2:]]
for number in numbers:
    y = np.zeros(10)
    operands = table(y)
    address = kernels.address(kernel_text(BODY.replace("NUMBER", f"{number}.0")))
    CALL(address)(operands.ctypes.data, 0, 10)
    assert (y == number).all()
print("done")
"""


def start_worker(directory, *arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WORKER, *map(str, arguments)],
        env={**os.environ, "SYMGRAD_CACHE_DIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_four_processes_compile_the_same_and_different_kernels(tmp_path):
    workers = [
        start_worker(tmp_path, "live", 1, 2, 3, 10),
        start_worker(tmp_path, "live", 3, 1, 2, 20),
        start_worker(tmp_path, "live", 1, 2, 3, 30),
        start_worker(tmp_path, "die", 1, 2, 40),
    ]
    outputs = [worker.communicate() for worker in workers]
    assert [o for o, _ in outputs] == ["done\n"] * 3 + [""], outputs
    assert workers[3].returncode == -signal.SIGKILL
    machine_code = list(tmp_path.glob("*.o"))
    assert len(machine_code) == 6
    assert all(unseal(path.read_bytes()) for path in machine_code)
    assert len(list(tmp_path.glob(".new-*"))) == 1
    # What they left is whole: a process that trusts it compiles nothing.
    after = start_worker(tmp_path, "live", 1, 2, 3, 10, 20, 30)
    assert after.communicate()[0] == "done\n"
    assert len(list(tmp_path.glob("*.o"))) == 6


def test_damaged_machine_code_is_compiled_again(tmp_path):
    assert start_worker(tmp_path, "live", 1).communicate()[0] == "done\n"
    (path,) = tmp_path.glob("*.o")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    _, problem = start_worker(tmp_path, "live", 1).communicate()
    assert "damaged entry" in problem  # an error, as warnings are in that process
    worker = subprocess.run(
        [sys.executable, "-c", WORKER, "live", "1"],
        env={**os.environ, "SYMGRAD_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert worker.stdout == "done\n"
    assert worker.stderr.count("RuntimeWarning") == 1
    assert unseal(path.read_bytes()) is not None


def test_no_warning_when_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = Cache(tmp_path / "new")
        store.put("a", b"1")
        assert store.get("a") == b"1"
