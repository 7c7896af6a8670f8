"""Layout engines: pictures come out, text stays text, and failures say what to do."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from symgrad.drawing import layout
from symgrad.drawing.layout import ENGINES, escape, render
from symgrad.errors import FormatError

INSTALLED = [engine for engine in ENGINES if engine.find()]
MAGIC = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}

NASTY = [
    'a"b',
    'a\\"; evil [label="x"]; //',
    "\\",
    "\\\\",
    "\\N \\G \\L \\l \\r \\E \\T",
    "ends in a backslash\\",
    "<b>bold</b>",
    "<<table>>",
    "</td></tr></table>>]; b -> c",
    "&amp; &lt; &#65; &zzz; &",
    "a -> b; }",
    "{field|field}",
    "// no comment /* none */ # none",
    "$(touch /tmp/x) `id` ; | & > x",
    "-Tpng -o /tmp/x",
    "∂L/∂Wᵀ = Σᵢ ‖∇f‖₂ ∈ ℝ",
    "線 🙂 e\u0301",
    "]]> <!-- --> <?x?>",
    "%s %d {0} ${x}",
]


@pytest.fixture(params=INSTALLED, ids=lambda engine: engine.name)
def engine(request, monkeypatch):
    """Each installed engine by itself."""
    monkeypatch.setattr(layout, "ENGINES", (request.param,))
    return request.param


def texts(svg):
    root = ElementTree.fromstring(svg)
    found = [
        "".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")
    ]
    return [text.replace("\xa0", " ") for text in found]


def png_size(png):
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def network(count):
    """A forward and a backward chain side by side, in clusters of ten layers."""
    lines = ["digraph G {"]
    for i in range(count // 3):
        lines.append(
            f'subgraph cluster_{i // 10} {{ label="block"; f{i} [label="h{i}"];'
            f' w{i}; b{i} [label="∂L/∂h{i}" color="#d62728"]; }} w{i} -> f{i};'
        )
        if i:
            lines.append(
                f'f{i - 1} -> f{i} [label="(n, 64)"]; b{i} -> b{i - 1} [penwidth=2];'
                f"f{i - 1} -> b{i} [style=dotted constraint=false];"
            )
    return "\n".join([*lines, "}"])


def test_an_engine_is_installed():
    assert INSTALLED


@pytest.mark.parametrize("format", MAGIC)
def test_every_format(engine, format):
    if format not in engine.formats:
        pytest.skip(f"{engine.name} has no {format}")
    assert render('digraph { a -> b [label="∂"] }', format).startswith(MAGIC[format])


def test_bitmap_is_drawn_at_twice_the_screen(engine):
    width, height = png_size(render("digraph { a -> b }", "png"))
    svg = render("digraph { a -> b }", "svg").decode()
    points = [float(x) for x in re.findall(r'(?:width|height)="(\d+)pt"', svg)[:2]]
    assert width == pytest.approx(points[0] * 192 / 72, abs=4)
    assert height == pytest.approx(points[1] * 192 / 72, abs=4)


def test_a_page_ends_where_the_picture_does(engine):
    if "pdf" not in engine.formats:
        pytest.skip(f"{engine.name} has no pdf")
    pdf = render("digraph { a -> b }", "pdf")
    box = re.search(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+)", pdf)
    svg = render("digraph { a -> b }", "svg").decode()
    points = [float(x) for x in re.findall(r'(?:width|height)="(\d+)pt"', svg)[:2]]
    assert [float(x) for x in box.groups()] == pytest.approx(points, abs=2)


def test_huge_bitmap_is_scaled_down(engine):
    chain = "->".join(f"n{i}" for i in range(400))
    assert max(png_size(render(f"digraph {{ {chain} }}", "png"))) <= 60 * 192 + 2


@pytest.mark.parametrize("text", NASTY)
def test_text_is_shown_as_written(engine, text):
    svg = render(f'digraph {{ a [label="{escape(text)}"] }}', "svg")
    assert texts(svg) == [text]


@pytest.mark.parametrize("text", NASTY)
def test_text_in_markup_is_shown_as_written(engine, text):
    cell = escape(text, markup=True)
    table = f"<<table><tr><td>{cell}</td></tr></table>>"
    svg = render(f"digraph {{ a [label={table}] }}", "svg")
    assert texts(svg) == [text]


def test_all_nasty_texts_make_one_graph(engine):
    nodes = "".join(f'n{i} [label="{escape(t)}"];' for i, t in enumerate(NASTY))
    svg = render(f"digraph {{ {nodes} }}", "svg")
    assert sorted(texts(svg)) == sorted(NASTY)
    assert svg.count(b'class="node"') == len(NASTY)


@pytest.mark.parametrize("markup", [False, True])
def test_lines_and_characters_that_xml_forbids(engine, markup):
    label = escape("one\r\ntwo\x00\x1b\ud800", markup=markup)
    label = f"<{label}>" if markup else f'"{label}"'
    assert texts(render(f"digraph {{ a [label={label}] }}", "svg")) == ["one", "two���"]


def test_clusters_edges_and_tables_survive(engine):
    svg = render(
        'digraph { subgraph cluster_a { label="layer1"; a } a -> b [color="#d62728"'
        " penwidth=4] b [label=<<table><tr><td><b>W</b></td></tr></table>>]}",
        "svg",
    ).decode()
    assert 'class="cluster"' in svg
    assert re.search(r'stroke="#d62728" stroke-width="4', svg)
    assert 'font-weight="bold"' in svg


def test_a_thousand_nodes(engine):
    svg = render(network(1000), "svg")
    assert svg.count(b'class="node"') == 999


@pytest.mark.parametrize("dot", ["", "digraph {", "digraph { a -> }", "no graph"])
def test_broken_dot_is_reported(engine, dot):
    with pytest.raises(FormatError, match="could not draw the graph as svg"):
        render(dot, "svg")


def test_broken_markup_is_reported(engine):
    with pytest.raises(FormatError, match="in label of node a"):
        render("digraph { a [label=<<b>x</i>>] }", "svg")


@pytest.mark.parametrize("format", ["jpg", "svg; rm", "", "SVG"])
def test_unknown_format(format):
    with pytest.raises(FormatError, match="formats are svg, png, pdf"):
        render("digraph { a }", format)


def test_no_engine_says_what_to_install(monkeypatch):
    monkeypatch.setattr(layout, "ENGINES", ())
    with pytest.raises(FormatError, match="pip install pygraphviz"):
        render("digraph { a }", "pdf")


def test_next_engine_takes_over(monkeypatch):
    broken = layout.Engine("broken", layout.FORMATS, lambda: ["/nonexistent/dot"])
    monkeypatch.setattr(layout, "ENGINES", (broken, *ENGINES))
    assert render("digraph { a }", "svg").startswith(b"<?xml")


def test_all_failures_are_told(monkeypatch):
    broken = layout.Engine("broken", layout.FORMATS, lambda: ["/nonexistent/dot"])
    monkeypatch.setattr(layout, "ENGINES", (broken,))
    with pytest.raises(FormatError, match="broken: could not start"):
        render("digraph { a }", "svg")


def test_slow_layout_is_stopped(monkeypatch):
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    engine = layout.Engine("sleeper", layout.FORMATS, lambda: sleeper)
    monkeypatch.setattr(layout, "ENGINES", (engine,))
    monkeypatch.setattr(layout, "SECONDS", 0.2)
    with pytest.raises(FormatError, match="collapse scopes"):
        render("digraph { a }", "svg")


@pytest.mark.skipif(sys.platform != "linux", reason="fontconfig is Linux's")
def test_text_is_drawn_on_a_machine_without_fonts(engine, monkeypatch, tmp_path):
    """The bundled font has a glyph of its own for each letter of mathematics."""
    if engine.name == "graphviz-pure":
        pytest.skip("reads no fontconfig")
    source = (layout.HERE / "fonts" / "fonts.conf").read_text()
    alone = re.sub("<include.*</include>", "", source)
    assert alone != source
    shutil.copytree(layout.HERE / "fonts", tmp_path / "fonts")
    (tmp_path / "fonts" / "fonts.conf").write_text(alone)
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts" / "fonts.conf"))
    letters = "∂∇Σ‖∈ᵀᵢⱼ⊙ℝαδ≤⇒−×·aW"
    pictures = {
        render(f'digraph {{ a [label="{c}" width=1] }}', "png") for c in letters
    }
    # a missing glyph is a box with the number of the character in it, or the
    # same box each time: what must differ is the picture from that of a missing one
    missing = render('digraph { a [label="\U00013000" width=1] }', "png")
    assert len(pictures) == len(letters)
    assert missing not in pictures


def test_worker_is_dot_compatible():
    if layout._pygraphviz() is None:
        pytest.skip("pygraphviz is not installed")
    worker = [sys.executable, "-P", str(layout.HERE / "layout_worker.py")]
    done = subprocess.run([*worker, "-Tsvg"], input=b"digraph { a -> }", check=False,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 1
    assert b"DotError" in done.stderr
