"""Gradient descent along a curve: its numbers, its pictures, and what goes wrong."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing.descent_picture import ticks
from symgrad.drawing.descent_plane import Map, contours

SVG = "{http://www.w3.org/2000/svg}"


def test_steps_are_those_of_gradient_descent():
    w = sg.plot_descent("(x-3)**2", start=0, lr=0.1, steps=20).walk
    np.testing.assert_allclose(w.x, 3 - 3 * 0.8 ** np.arange(21))
    np.testing.assert_allclose(w.value, (w.x - 3) ** 2)
    np.testing.assert_allclose(w.slope, 2 * (w.x - 3))
    assert w.minima == [(pytest.approx(3, abs=1e-6), pytest.approx(0, abs=1e-9))]
    assert w.grid[0] < 0
    assert w.grid[-1] > 6
    assert w.curve.slope_formula == "2(x − 3)"


@pytest.mark.parametrize(
    ("text", "start", "lr", "kind", "said"),
    [
        ("(x-3)**2", 0, 0.3, "converged", "x = 3,"),
        ("(x-3)**2", 0, 0.1, "descending", "x = 2.965"),
        ("(x-3)**2", 0, 1.1, "diverges", "32 times the first (from step 15"),
        ("(x-3)**2", 0, 1.0, "oscillates", "x = 0, slope −6"),
        ("abs(x-1)", 0, 0.3, "oscillates", "slope 1"),
        ("(x-3)**2", 3, 0.1, "flat", "start is a minimum: its slope is 0"),
        ("0*x + 2", 1, 0.1, "flat", "The function is constant here"),
        ("x**3", 0, 0.1, "flat", "The start is no minimum"),
        ("exp(x**2)", 2, 0.1, "leaves", "Step 2 leaves the domain"),
        ("exp(exp(x))", 2, 1.0, "converged", "slope 0"),
        ("1e12*(x-1e6)**2", 0, 1e-13, "descending", "x = 988471"),
        ("1e-12*(x-1e-6)**2", 0, 1e11, "descending", "9.9·10⁻⁷"),
        ("1/(1+exp(-x))", 12, 0.1, "flat", "20 steps move x by"),
        ("log(x)", 2, 0.5, "leaves", "Step 5 leaves the domain"),
        ("x**4 - 3*x**2 + x", 2, 0.03, "converged", "A lower minimum"),
        ("-x**4", 1, 1.0, "leaves", "leaves the domain"),
        ("exp(-x)", 0, 0.5, "descending", "x = 2.456"),
        ("(t-1e-9)**2*1e6", 1e-3, 1e-7, "descending", "t ="),
    ],
)
def test_what_becomes_of_a_descent(text, start, lr, kind, said):
    found = sg.plot_descent(text, start=start, lr=lr)
    if text != "-x**4":  # it runs away before its value is infinite
        assert found.walk.kind == kind
        assert said in found.walk.summary
    else:
        assert found.walk.kind in ("diverges", "leaves")
    picture = ET.fromstring(found.svg)
    assert kind == "leaves" or len(picture.findall(f"{SVG}circle")) > 1
    for circle in picture.iter(f"{SVG}circle"):
        assert 0 <= float(circle.get("cx")) <= 720
        assert 0 <= float(circle.get("cy")) <= 440
    assert "nan" not in found.svg.lower()


def test_minima_that_are_not_reached_are_shown():
    w = sg.plot_descent("x**4 - 3*x**2 + x", start=2, lr=0.03).walk
    roots = np.roots([4, 0, -6, 1]).real  # of the slope
    lowest = [r for r in sorted(roots) if 12 * r * r - 6 > 0]
    assert [m[0] for m in w.minima] == pytest.approx(lowest)
    assert w.minima[0][1] < w.minima[1][1]


def model():
    x, t = sg.input("x", ("n", 3), "float64"), sg.input("t", ("n",), "float64")
    w = sg.param("w", (3,), dtype="float64")
    frozen = sg.param("c", (3,), dtype="float64", trainable=False)
    loss = sg.mean((sg.tanh(x @ (w + frozen)) - t) ** 2)
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(20, 3)), "t": rng.normal(size=20)}
    return loss, data, {"w": rng.normal(size=3), "c": rng.normal(size=3)}


def test_a_model_along_its_gradient():
    loss, data, params = model()
    w = sg.plot_descent(loss, lr=0.5, steps=4, data=data, params=params).walk

    def by_hand(v):
        return np.mean((np.tanh(data["x"] @ (v + params["c"])) - data["t"]) ** 2)

    step = 1e-6
    g = np.array(
        [
            (by_hand(params["w"] + step * e) - by_hand(params["w"] - step * e))
            / (2 * step)
            for e in np.eye(3)
        ]
    )
    unit = -g / np.linalg.norm(g)
    assert w.slope[0] == pytest.approx(-np.linalg.norm(g), rel=1e-6)
    np.testing.assert_allclose(
        w.value, [by_hand(params["w"] + t * unit) for t in w.x], rtol=1e-8
    )
    assert w.x[1] == pytest.approx(0.5 * np.linalg.norm(g), rel=1e-6)
    assert w.value[-1] < w.value[0]


def test_where_the_gradient_of_a_model_is_zero():
    loss, data, params = model()
    data["t"] = np.tanh(data["x"] @ (params["w"] + params["c"]))
    found = sg.plot_descent(loss, data=data, params=params)
    assert found.walk.kind == "flat"
    ET.fromstring(found.svg)


def test_files(tmp_path):
    found = sg.plot_descent("(x-3)**2", steps=5)
    still = found.save(tmp_path / "still.svg", animated=False).read_text()
    moving = found.save(tmp_path / "moving.svg").read_text()
    assert "@keyframes" in moving
    assert "prefers-reduced-motion" in moving
    assert "@keyframes" not in still
    page = found.save(str(tmp_path / "page.html")).read_text()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script>" in page
    assert found.save(tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert found.save(tmp_path / "a.pdf").read_bytes()[:4] == b"%PDF"
    with pytest.raises(sg.FormatError, match=r"suffix is \.gif; use one of \.svg"):
        found.save(tmp_path / "a.gif")
    with pytest.raises(sg.FormatError, match="cannot write the picture"):
        found.save(tmp_path / "none" / "a.svg")
    assert found._repr_svg_().startswith("<svg")
    assert "<svg" in found._repr_html_()
    assert repr(found) == "<Descent on (x − 3)²: descending>"


def test_no_steps_and_many():
    assert len(sg.plot_descent("x**2", start=1, steps=0).walk.x) == 1
    many = sg.plot_descent("x**2", start=1, lr=1e-3, steps=3000)
    assert len(many.walk.x) == 3001
    assert len(re.findall(r'class="step', many.svg)) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"f": "x*y*z"}, r"'x\*y\*z' holds x, y, z; a picture is of one variable"),
        ({"f": "x*y"}, r"start is a pair of numbers for x and y.*not 0\.0"),
        ({"f": "x*y", "start": (1, "a")}, "start is a finite number, not 'a'"),
        ({"f": "log(x*y)", "start": (-1, 1)}, r"at the start \(-1, 1\) is nan"),
        ({"f": "x", "start": [0, 1], "lr": [1, 2, 3]}, "2 starts and 3 learning rates"),
        ({"f": "x", "start": []}, "0 starts and 1 learning rates"),
        ({"f": "x", "lr": [0.1] * 7}, "at most 6 descents, not 7"),
        ({"f": "x", "direction": {}}, "direction= belongs to a model's loss"),
        ({"f": "3"}, "is a number; a picture"),
        ({"f": 3}, "descent is on a text such as"),
        ({"f": "x", "data": {}}, "belong to a model's loss"),
        ({"f": "log(x)", "start": -1.0}, r"at the start x = -1 is nan"),
        ({"f": "x", "steps": 2.5}, "steps is a whole number"),
        ({"f": "x", "steps": 10**6}, "steps is between 0 and 10000"),
        ({"f": "x", "lr": float("nan")}, "lr is a finite number"),
        ({"f": "x", "start": "0"}, "start is a finite number"),
        ({"f": sg.sum(sg.input("x", (3,)))}, "no trainable parameter"),
        ({"f": sg.sum(sg.param("p", (3,)) * sg.input("x", (3,)))}, "none for 'x'"),
    ],
)
def test_what_cannot_be_drawn(arguments, message):
    with pytest.raises(sg.GraphError, match=message):
        sg.plot_descent(**arguments)


def test_other_errors():
    with pytest.raises(sg.ShapeError, match="must be summed first"):
        sg.plot_descent(sg.param("p", (3,)))
    with pytest.raises(sg.ParseError):
        sg.plot_descent("(x")


def test_text_is_escaped():
    data = {"<b>&": np.ones(3, "float32")}
    loss = sg.sum(sg.param("p", (3,)) * sg.input("<b>&", (3,)))
    assert "<b>" not in sg.plot_descent(loss, steps=2, data=data).svg


def test_ticks():
    assert [text for _, text in ticks(-1.5, 2.2, 8)][:3] == ["−1.5", "−1", "−0.5"]
    assert [v for v, _ in ticks(0, 3e-7, 3)] == pytest.approx([0, 1e-7, 2e-7, 3e-7])


def test_descent_in_a_plane():
    found = sg.plot_descent("x**2 + 9*y**2", start=(2, 1), lr=0.1, steps=20)
    w = found.walk
    k = np.arange(21)[:, None]
    np.testing.assert_allclose(w.x, np.hstack([2 * 0.8**k, (-0.8) ** k]), rtol=1e-9)
    np.testing.assert_allclose(w.value, w.x[:, 0] ** 2 + 9 * w.x[:, 1] ** 2)
    np.testing.assert_allclose(w.slope, w.x * [2, 18])
    assert w.kind == "oscillates"
    assert "minimum at (0, 0): 0" in found.svg
    assert "gradient (2x, 18y)" in found.svg


@pytest.mark.parametrize(
    ("text", "start", "lr", "steps", "kind"),
    [
        ("x**2 + y**2", (1, 1), 0.2, 40, "converged"),
        ("(1-x)**2 + 100*(y-x**2)**2", (-1.2, 1), 1e-3, 3000, "descending"),
        ("x**2 + 9*y**2", (2, 1), 0.2, 20, "diverges"),
        ("x**2 + y**2", (0, 0), 0.1, 20, "flat"),
        ("0*x + 0*y + 1", (0, 0), 0.1, 20, "flat"),
        ("log(x) + y**2", (1, 1), 0.4, 20, "leaves"),
        ("1e9*(a-1e5)**2 + 1e8*b**2", (0, 5e4), 1e-10, 20, "descending"),
        ("x**2 - y**2", (1, 0), 0.1, 30, "converged"),
    ],
)
def test_kinds_of_descent_in_a_plane(text, start, lr, steps, kind):
    found = sg.plot_descent(text, start=start, lr=lr, steps=steps)
    assert found.walk.kind == kind
    assert found.walk.summary.endswith(".")
    picture = ET.fromstring(found.svg)
    for circle in picture.iter(f"{SVG}circle"):
        assert 0 <= float(circle.get("cx")) <= 720
        assert 0 <= float(circle.get("cy")) <= 560
    assert "nan" not in found.svg.lower()
    saddle = text == "x**2 - y**2"  # where it converges, but there is no minimum
    assert ("minimum at" in found.svg) == (kind != "leaves" and not saddle and (
        "0*x" not in text))  # fmt: skip


def test_contours_are_those_of_another_program():
    contourpy = pytest.importorskip("contourpy")
    x, y = np.linspace(-5, 5, 81), np.linspace(-4, 4, 61)
    z = (x**2 + y[:, None] - 11) ** 2 + (x + y[:, None] ** 2 - 7) ** 2
    z[10, 20] = np.nan
    grid = Map(x, y, z)
    other = contourpy.contour_generator(
        x, y, np.ma.masked_invalid(z), corner_mask=False
    )
    for level in (5.0, 60.0, 150.0, 181.6, 400.0):
        ours = np.concatenate(contours(grid, level))
        theirs = np.concatenate(other.lines(level))
        # the same crossings of the grid's lines, in whatever order
        assert {tuple(p) for p in ours.round(9)} == {tuple(p) for p in theirs.round(9)}
        assert len(contours(grid, level)) == len(other.lines(level))


def test_several_descents_in_one_picture():
    rates = [0.02, 0.3, 0.95, 1.05]
    found = sg.plot_descent("(x-3)**2", start=0, lr=rates)
    assert [w.kind for w in found.walks] == [
        "descending", "converged", "oscillates", "diverges",
    ]  # fmt: skip
    for w, rate in zip(found.walks, rates, strict=True):
        np.testing.assert_allclose(w.x, 3 - 3 * (1 - 2 * rate) ** np.arange(21))
        assert f"lr {rate:g}: " in found.svg
    assert found.walks[0].grid is found.walks[3].grid
    four = sg.plot_descent(
        "(x**2+y-11)**2 + (x+y**2-7)**2",
        start=[(0, 0), (-1, 1), (1, -2), (-1, -1)],
        lr=0.01,
        steps=60,
    )
    minima = [
        (3, 2),
        (-2.805118, 3.131313),
        (3.584428, -1.848127),
        (-3.77931, -3.283186),
    ]
    ends = [w.x[-1] for w in four.walks]
    np.testing.assert_allclose(ends, minima, atol=1e-5)  # Himmelblau (1972)
    assert "from (−1, 1): Converges" in four.svg
    both = sg.plot_descent("x**2", start=[1, 2], lr=[0.1, 0.2], steps=3)
    assert "from 2, lr 0.2: " in both.svg
    assert repr(both) == "<Descent on x²: descending, descending>"


def test_a_model_along_a_direction():
    loss, data, params = model()
    way = np.array([1.0, -2.0, 0.5])
    found = sg.plot_descent(
        loss, lr=0.5, steps=3, data=data, params=params, direction={"w": way}
    )
    unit = way / np.linalg.norm(way)

    def by_hand(t):
        at = params["w"] + t * unit + params["c"]
        return np.mean((np.tanh(data["x"] @ at) - data["t"]) ** 2)

    w = found.walk
    np.testing.assert_allclose(w.value, [by_hand(t) for t in w.x], rtol=1e-8)
    step = 1e-6
    slopes = [(by_hand(t + step) - by_hand(t - step)) / (2 * step) for t in w.x]
    np.testing.assert_allclose(w.slope, slopes, rtol=1e-5, atol=1e-9)
    with pytest.raises(sg.GraphError, match="'c' is no trained parameter"):
        sg.plot_descent(loss, data=data, params=params, direction={"c": way})
    with pytest.raises(sg.GraphError, match="direction is zero"):
        sg.plot_descent(loss, data=data, params=params, direction={"w": 0 * way})
    with pytest.raises(sg.ShapeError, match=r"'w' has the shape \(2,\)"):
        sg.plot_descent(loss, data=data, params=params, direction={"w": way[:2]})
