"""The interactive page, in a real browser: fold, search, click, keys, themes."""

import json
import os
import re

import numpy as np
import pytest

import symgrad as sg
from symgrad.drawing import draw
from tests.drawing.chromium import browser, opened
from tests.drawing.models import mlp, residual, transformer

SIZE = {"width": 1200, "height": 800}


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    loss, data = mlp((6, 4, 3))
    picture = draw(loss, "flow", data=data)
    return picture.save(tmp_path_factory.mktemp("page") / "flow.html")


@pytest.fixture(scope="module")
def gradient(tmp_path_factory):
    loss, _ = transformer(4)
    picture = draw(loss, "gradient")
    return picture.save(tmp_path_factory.mktemp("page") / "gradient.html")


def facts_of(path):
    found = re.search(r'id="graph">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    return json.loads(found.group(1))


def titles(tab):
    return tab.locator(".node .title").all_text_contents()


def test_facts_are_whole(flow, gradient):
    facts = facts_of(flow)
    (loss,) = [n for n in facts["nodes"] if n["title"] == "cross-entropy"]
    assert "<math" in loss["math"]
    assert "def " in facts["sources"][loss["source"]]
    assert loss["norm"] == 1
    edge = next(e for e in facts["edges"] if e["b"] == loss["id"])
    assert edge["norm"] > 0
    assert "<math" in edge["localMath"]
    facts = facts_of(gradient)
    assert [s["count"] for s in facts["scopes"] if s["count"] > 1] == [4]
    # equal layers share their kernels
    kernels = [n["source"] for n in facts["nodes"] if n["title"] == "softmax"]
    assert len(kernels) == 4
    assert len(set(kernels)) == 1


def test_nothing_is_loaded(flow):
    text = flow.read_text("utf-8")
    assert "default-src 'none'" in text
    outside = re.sub(r'xmlns(:\w+)?=\\?"[^"]*"|"http://www.w3.org/[^"]*"', "", text)
    assert not re.search(r"https?://", outside)


def test_repeated_layers_fold_and_unfold(chromium, gradient):
    with opened(chromium, gradient, viewport=SIZE) as tab:
        run = tab.locator(".node.fold", has_text="block1 … block4")
        assert "× 4" in run.text_content()
        before = len(titles(tab))
        run.click()
        assert len(titles(tab)) == before + 3
        tab.locator(".cluster .handle", has_text="block1 … block4").click()
        assert len(titles(tab)) == before
        tab.get_by_text("Unfold").click()
        assert "softmax" in titles(tab)
        tab.get_by_text("Fold all").click()
        assert all("softmax" not in t for t in titles(tab))


def test_search_opens_the_scopes_of_what_it_finds(chromium, gradient):
    with opened(chromium, gradient, viewport=SIZE) as tab:
        tab.keyboard.press("/")
        tab.keyboard.type("softmax")
        assert tab.locator("#found li").count() == 5  # and the loss
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        panel = tab.locator("#facts")
        assert panel.locator("h2").text_content() == "softmax"
        assert "block2/attention" in panel.text_content()
        assert tab.locator(".node.chosen .title").text_content() == "softmax"
        tab.keyboard.press("/")
        tab.keyboard.press("ControlOrMeta+a")
        tab.keyboard.type("no such node")
        assert "nothing found" in tab.locator("#found").text_content()
        tab.keyboard.press("Escape")
        assert not tab.locator("#found").is_visible()


def test_a_click_shows_the_facts_of_a_node(chromium, flow):
    with opened(chromium, flow, viewport=SIZE) as tab:
        tab.keyboard.press("0")
        tab.locator(".node.output").click()
        panel = tab.locator("#facts")
        text = panel.text_content()
        for word in ("cross-entropy", "Definition", "float32", "scalar", "sent back"):
            assert word in text
        assert panel.locator("math").count() >= 2
        panel.locator("summary").click()
        assert "def " in panel.locator("pre").text_content()
        panel.get_by_role("button", name="Z2", exact=True).first.click()
        assert panel.locator("h2").text_content() == "linear"
        tab.keyboard.press("Escape")
        assert not panel.is_visible()


def test_keys_move_open_and_fold(chromium, gradient):
    with opened(chromium, gradient, viewport=SIZE) as tab:
        for _ in range(20):  # the search, the buttons, then the graph
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.classList.contains('node')"):
                break
        key = "document.activeElement.dataset.key"
        first = tab.evaluate(key)
        tab.keyboard.press("ArrowDown")
        assert tab.evaluate(key) not in (first, None)
        for _ in range(9):
            tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        assert tab.locator("#facts h2").text_content() == "cross-entropy"
        tab.keyboard.press("Escape")
        tab.locator(".node.fold").first.focus()
        tab.locator(".node.fold").first.press("Enter")
        assert tab.evaluate(key) is not None
        tab.keyboard.press("f")
        assert tab.evaluate("document.activeElement.ariaExpanded") == "false"
        names = "[...document.querySelectorAll('.node')].every(n => n.ariaLabel)"
        assert tab.evaluate(names)


def test_pan_and_zoom(chromium, gradient):
    with opened(chromium, gradient, viewport=SIZE) as tab:
        where = "document.getElementById('world').getAttribute('transform')"
        tab.keyboard.press("0")
        start = tab.evaluate(where)
        tab.mouse.move(30, 700)
        tab.mouse.down()
        tab.mouse.move(90, 640)
        tab.mouse.up()
        panned = tab.evaluate(where)
        assert panned != start
        tab.mouse.wheel(0, -300)
        zoomed = tab.evaluate(where)
        assert zoomed.split("scale")[1] != start.split("scale")[1]
        tab.keyboard.press("0")
        assert tab.evaluate(where) == start


def test_modes_and_themes(chromium, flow):
    with opened(chromium, flow, viewport=SIZE, color_scheme="dark") as tab:
        paper = "getComputedStyle(document.body).backgroundColor"
        assert tab.evaluate(paper) == "rgb(20, 23, 28)"
        tab.get_by_role("button", name="Dark").click()
        assert tab.evaluate(paper) == "rgb(255, 255, 255)"
        widths = "[...document.querySelectorAll('.edge')].map(e => e.style.strokeWidth)"
        assert len(set(tab.evaluate(widths))) > 3
        tab.locator("[data-mode=gradient]").click()
        assert tab.locator(".edge.back").count() > 3
        assert "(softmax" in "".join(tab.locator(".edge-text.back").all_text_contents())
        tab.locator("[data-mode=forward]").click()
        assert tab.locator(".edge.back").count() == 0


def test_a_narrow_screen_has_room(chromium, flow):
    small = {"width": 390, "height": 760}
    with opened(chromium, flow, viewport=small) as tab:
        tab.locator(".node.output").click()
        panel = tab.locator("#facts").bounding_box()
        assert panel["width"] == 390
        assert panel["y"] > 350
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_of_highways(chromium, tmp_path):
    loss, data = residual(2)
    path = draw(loss, "highways", data=data).save(tmp_path / "roads.html")
    with opened(chromium, path, viewport=SIZE) as tab:
        tab.keyboard.press("ArrowDown")
        assert "relu" in tab.locator("#facts").text_content()
        tab.keyboard.press("/")
        tab.keyboard.type("block2")
        assert tab.locator("#world g.node.hit").count() == 1
        tab.keyboard.press("Escape")
        assert tab.locator("#world g.node.hit").count() == 0


NASTY = "</script><script>alert(1)</script><b>'\"&"


def test_names_are_text(chromium, tmp_path):
    x = sg.input(NASTY, ("n", 2))
    with sg.scope(NASTY.replace("/", "")):
        loss = sg.sum(x @ sg.param(NASTY, (2, 2)))
    data = {NASTY: np.ones((3, 2), "f")}
    path = draw(loss, "flow", data=data).save(tmp_path / "names.html")
    with opened(chromium, path, viewport=SIZE) as tab:
        shown = tab.locator(".node.input .title").text_content()
        assert shown.endswith("script><b>'\"&")
        tab.locator(".node.output").click()
        assert tab.locator("#facts script").count() == 0


def test_large_models_are_laid_out_by_folding(chromium, tmp_path):
    h = sg.input("x", ("n", 4))
    for n in range(500):
        with sg.scope(f"layer{n}"):
            h = sg.relu(h @ sg.param("W", (4, 4)) + sg.param("b", (4,)))
    start = sum(os.times()[:4])
    path = draw(sg.mean(h * h)).save(tmp_path / "large.html")
    seconds = sum(os.times()[:4]) - start
    facts = facts_of(path)
    assert len(facts["nodes"]) == 2002
    assert seconds < 10
    with opened(chromium, path, viewport=SIZE) as tab:
        assert 2 <= tab.locator(".node").count() <= 48
        assert tab.evaluate(UNFOLD) < 5000


UNFOLD = (
    "(() => { const start = performance.now();"
    " document.getElementById('open').click();"
    " return performance.now() - start })()"
)


def without_repetition(scoped):
    """Return 1,250 boxes of which no layer is like its neighbour."""
    functions = sg.tanh, sg.sin, sg.sigmoid, sg.cos
    gain, h = sg.param("gain", (4,)), sg.input("x", ("n", 4))
    for n in range(250):
        with sg.scope(f"part{n}" if scoped else "all"):
            for k in range(4):
                h = functions[(n * (k + 1) + n // 4) % 4](h)
                h = h * gain if k == n % 4 else h
    return sg.mean(h * h)


@pytest.mark.parametrize("scoped", [True, False])
def test_large_models_get_levels_where_nothing_repeats(chromium, tmp_path, scoped):
    picture = draw(without_repetition(scoped), collapse="auto" if scoped else None)
    assert scoped == (picture.dot.count("operations") in range(2, 97))
    path = picture.save(tmp_path / "large.html")
    facts = facts_of(path)
    inside = [n["scope"] for n in facts["nodes"]]
    inside += [s["parent"] for s in facts["scopes"]]
    assert max(inside.count(s) for s in dict.fromkeys(inside)) <= 48
    with opened(chromium, path, viewport=SIZE) as tab:
        assert 2 <= tab.locator(".node").count() <= 400
        assert tab.locator("#note").is_visible() != scoped
        assert tab.evaluate(UNFOLD) < 20_000
        assert "click a box to open it" in tab.locator("#note").text_content()
        tab.keyboard.press("/")
        tab.keyboard.type("tanh")
        tab.keyboard.press("Enter")
        assert tab.locator(".node.chosen .title").text_content().startswith("tanh")
        for _ in range(3):
            tab.locator(".node.fold").first.press("Enter")
        assert tab.locator(".node").count() <= 400


def test_a_shared_leaf_is_shown_beside_each_reader(chromium, tmp_path):
    h, W = sg.input("x", ("n", 4)), sg.param("W", (4, 4))
    for n in range(3):
        with sg.scope(f"step{n + 1}"):
            h = sg.tanh(sg.exp(h @ W))
    path = draw(sg.mean(h * h), "gradient").save(tmp_path / "shared.html")
    with opened(chromium, path, viewport=SIZE) as tab:
        assert tab.locator(".node.param").count() == 3
        shown = tab.locator(".node.param .detail").all_text_contents()
        assert shown == ["4 × 4 · shared"] * 3
        assert "its gradient is the sum" in tab.locator("#legend").text_content()
        assert tab.locator(".node.input .detail").text_content() == "n × 4"
        tab.locator("#fit").click()
        boxes = [b.bounding_box() for b in tab.locator(".node").all()]
        assert min(b["y"] for b in boxes) > 0
        assert max(b["y"] + b["height"] for b in boxes) < SIZE["height"]
