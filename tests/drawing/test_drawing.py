"""Files of pictures: formats by suffix, written whole or not at all."""

import struct
import xml.etree.ElementTree as ElementTree

import pytest

import symgrad as sg
from symgrad.drawing import Drawing, draw
from symgrad.errors import FormatError


@pytest.fixture
def picture():
    return draw(sg.sum(sg.exp(sg.input("x", (3,)))))


def test_formats(picture, tmp_path):
    for suffix, magic in ((".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        path = picture.save(tmp_path / f"graph{suffix}")
        assert path.read_bytes().startswith(magic)
    dot = picture.save(str(tmp_path / "graph.dot")).read_text(encoding="utf-8")
    assert dot == picture.dot
    ElementTree.parse(tmp_path / "graph.svg")
    width, height = struct.unpack(">II", (tmp_path / "graph.png").read_bytes()[16:24])
    assert width > 50
    assert height > 100
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"graph{s}" for s in (".dot", ".pdf", ".png", ".svg")
    ]


def test_notebooks(picture):
    assert picture._repr_svg_().startswith("<svg")
    assert "<svg" in picture._repr_html_()


def test_unknown_suffix(picture, tmp_path):
    with pytest.raises(FormatError, match=r"'graph\.bmp': its suffix is \.bmp; use"):
        picture.save(tmp_path / "graph.bmp")
    with pytest.raises(FormatError, match="suffix is missing"):
        picture.save(tmp_path / "graph")


def test_unwritable_path(picture, tmp_path):
    with pytest.raises(
        FormatError, match=r"cannot write the picture to .*No such file"
    ):
        picture.save(tmp_path / "no" / "graph.dot")
    (tmp_path / "folder.dot").mkdir()
    with pytest.raises(FormatError, match="cannot write the picture"):
        picture.save(tmp_path / "folder.dot")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.dot"]


def test_a_failed_layout_leaves_the_old_file(tmp_path):
    path = tmp_path / "graph.svg"
    path.write_text("old")
    with pytest.raises(FormatError):
        Drawing("digraph {").save(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
