"""The ``symgrad`` command: what it prints, writes and returns."""

import os
import re
import signal
import subprocess
import sys

import pytest

import symgrad
from symgrad import cli
from symgrad.commands import cache, demo
from symgrad.data import digits


def run(*argv):
    """Return the exit code of a command that is run here."""
    try:
        return cli.main(argv)
    except SystemExit as stop:
        return stop.code


def command(*argv, **options):
    """Return a finished command that was run in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "symgrad.cli", *argv],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"symgrad {symgrad.__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["cache"],
        ["cache", "--info", "--clear"],
        ["demo", "--epochs", "0"],
        ["demo", "--threads", "two"],
    ],
)
def test_wrong_usage(argv, capsys):
    assert run(*argv) == 2
    assert "usage: symgrad" in capsys.readouterr().err


def test_a_process_returns_the_code():
    done = command("cache")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_cache(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path / "kept"))
    assert run("cache", "--info") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'kept'}: 0 entries, 0 B\n"
    from symgrad.cache import put

    put("blob", bytes(2000))
    assert run("cache", "--clear") == 0
    assert re.match(r"removed 1 entries \(2\.\d kB\) from ", capsys.readouterr().out)
    assert not list((tmp_path / "kept").iterdir())


def test_an_error_is_a_message(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert run("demo", "--out", str(tmp_path / "file" / "demo")) == 1
    said = capsys.readouterr()
    assert said.err.startswith("symgrad: cannot write to ")
    assert "--out" in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_interruption(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "run", interrupted)
    assert run("cache", "--info") == 130
    assert capsys.readouterr().err == "\nsymgrad: interrupted\n"


def test_interruption_of_a_long_run(tmp_path):
    """Ctrl-C in the middle of training."""
    argv = [sys.executable, "-m", "symgrad.cli", "demo", "--epochs", "1000000"]
    with subprocess.Popen(
        [*argv, "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr.readline().startswith("epoch ")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == "\nsymgrad: interrupted\n"
        assert process.returncode == 130


def test_a_reader_that_goes_away():
    code = (
        "import sys; from symgrad import cli; from symgrad.commands import cache\n"
        "def much(args):\n    print('x' * 10**6)\n    return 0\n"
        "cache.run = much; sys.exit(cli.main(['cache', '--info']))"
    )
    done = subprocess.run(
        f'{sys.executable} -c "$CODE" | head -c 1',
        shell=True,
        env={**os.environ, "CODE": code},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "x"
    assert done.stderr == ""


def test_digits():
    images, labels = digits()
    assert images.shape == (1797, 64)
    assert sorted(set(labels.tolist())) == list(range(10))
    train, test = demo.load_samples()
    assert len(train["y"]) == 1437
    assert len(test["y"]) == 360
    assert train["X"].max() == 1.0


def test_the_demonstration(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("demo", "--epochs", "25", "--threads", "1") == 0
    said = capsys.readouterr()
    accuracy = float(re.search(r"Test accuracy (\d+\.\d)%", said.out)[1])
    assert accuracy > 96
    assert all(len(line) <= 80 for line in said.out.splitlines())
    out = tmp_path / "symgrad-demo"
    assert sorted(p.name for p in out.iterdir()) == [
        "digits.safetensors", "gradient_flow.png", "gradient_flow.svg",
        "gradients.txt", "training_step.py",
    ]  # fmt: skip
    assert "∂L/∂W3 = H2ᵀ G3" in (out / "gradients.txt").read_text()
    assert (out / "gradient_flow.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "gradient_flow.svg").read_text()
    assert "def kernel(" in (out / "training_step.py").read_text()
