"""The page in a real browser: every scene, its timing, keys, stills and print."""

import pytest

from tests.drawing.chromium import browser

SEEK = "t => {const p = document.getElementById('place'); p.value = t; p.oninput()}"
STORY = "JSON.parse(document.getElementById('story').textContent).scenes"
OVERFLOW = """[...document.querySelectorAll('#stage, #caption, .panel')]
    .map(e => e.scrollWidth - e.clientWidth).reduce((a, b) => Math.max(a, b), 0)"""
OUTSIDE = """(() => {
  const room = document.getElementById('stage').getBoundingClientRect();
  return [...document.querySelectorAll('#stage text, #stage td, #stage .formula')]
    .filter(e => {
      const b = e.getBoundingClientRect();
      return b.width && (b.left < room.left - 2 || b.right > room.right + 2);
    }).map(e => e.textContent);
})()"""
SMALLEST = """Math.min(...[...document.querySelectorAll('#stage text, #stage .said')]
    .map(e => parseFloat(getComputedStyle(e).fontSize)))"""


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def address(page, tmp_path_factory):
    return page.save(tmp_path_factory.mktemp("page") / "page.html").as_uri()


@pytest.fixture
def tab(chromium, address):
    """Return a function that opens the page; it must not complain nor load anything."""
    complaints, opened = [], []

    def open_page(width=1280, height=760, **options):
        made = chromium.new_page(viewport={"width": width, "height": height}, **options)
        made.on("console", lambda m: complaints.append(m.text))
        made.on("pageerror", lambda e: complaints.append(str(e)))
        made.on("request", lambda r: r.url != address and complaints.append(r.url))
        made.goto(address)
        opened.append(made)
        return made

    yield open_page
    for made in opened:
        made.close()
    assert complaints == []


def time_of(tab):
    return float(tab.evaluate("document.documentElement.dataset.time"))


def scene_of(tab):
    return tab.evaluate("document.documentElement.dataset.scene")


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 760, "light"), (390, 844, "dark")]
)
def test_every_scene(tab, width, height, scheme):
    made = tab(width, height, color_scheme=scheme)
    start = 0
    for scene in made.evaluate(STORY):
        for part in (0.3, 0.98):
            made.evaluate(SEEK, start + part * scene["seconds"])
            assert scene_of(made) == scene["id"]
            assert made.inner_text("#title") == scene["title"]
            assert made.evaluate(OVERFLOW) <= 1, scene["id"]
            assert made.evaluate(OUTSIDE) == [], scene["id"]
        assert made.inner_text("#caption") == scene["beats"][-1]["text"]
        assert made.locator("#stage .panel").count() == len(scene["panels"])
        assert made.inner_text("#stage").strip()
        assert made.evaluate(SMALLEST) >= 10.5, scene["id"]
        note = made.locator("#note")
        assert note.is_visible() == bool(scene["note"])
        start += scene["seconds"]
    assert 110 <= start <= 130


def test_it_plays_for_two_minutes(tab):
    made = tab()
    made.clock.install()
    made.reload()
    made.click("#start")
    made.select_option("#speed", "4")
    assert not made.locator("#cover").is_visible()
    start, seen, seconds = made.evaluate("performance.now()"), [], 0
    while made.evaluate("document.documentElement.dataset.playing") == "true":
        made.clock.run_for(500)
        seconds = 4 * (made.evaluate("performance.now()") - start) / 1000
        if scene_of(made) not in seen:
            seen.append(scene_of(made))
        assert seconds < 140
    assert 110 <= seconds <= 130
    assert seen == [s["id"] for s in made.evaluate(STORY)]


def test_keys(tab):
    made = tab()
    press = made.keyboard.press
    press("3")
    assert scene_of(made) == "chain"
    start = time_of(made)
    press("ArrowRight")
    assert time_of(made) == pytest.approx(start + 5)
    press("ArrowLeft")
    assert time_of(made) == pytest.approx(start)
    press("]")
    assert scene_of(made) == "forward"
    press("[")
    assert scene_of(made) == "chain"
    press("End")
    assert time_of(made) == pytest.approx(float(made.get_attribute("#place", "max")))
    press("Home")
    assert time_of(made) == 0
    press(" ")
    made.wait_for_timeout(400)
    assert made.get_attribute("#play", "aria-label") == "Pause"
    press(" ")
    assert time_of(made) > 0
    assert made.get_attribute("#play", "aria-label") == "Play"
    stopped = time_of(made)
    made.wait_for_timeout(120)
    assert time_of(made) == stopped
    press(">")
    assert made.input_value("#speed") == "1.25"
    press("c")
    assert made.locator("#chapters").is_visible()
    assert made.locator("#chapters li").count() == 13
    made.click("#chapters li:nth-child(9) button")
    assert scene_of(made) == "highway"
    assert not made.locator("#chapters").is_visible()
    press("t")
    assert made.evaluate("document.documentElement.dataset.theme") == "dark"


def test_scrubbing(tab):
    made = tab()
    box = made.locator("#place").bounding_box()
    made.click("#start")
    made.click("#play")
    made.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    half = float(made.get_attribute("#place", "max")) / 2
    assert time_of(made) == pytest.approx(half, abs=2)
    said = made.get_attribute("#place", "aria-valuetext")
    assert said.startswith("1:0")
    assert said.endswith(made.inner_text("#title"))


def test_without_motion(tab):
    """Each caption has its still; arrows go from one to the next."""
    made = tab(reduced_motion="reduce")
    made.keyboard.press("4")
    captions = [b["text"] for b in made.evaluate(STORY)[3]["beats"]]
    for n, text in enumerate(captions):
        assert made.inner_text("#caption") == text
        if n:
            before = made.inner_html("#stage")
            made.evaluate("document.getElementById('place').oninput()")
            assert made.inner_html("#stage") == before
        made.keyboard.press("ArrowRight")
    assert scene_of(made) == "backward"
    assert made.get_attribute("#motion", "aria-pressed") == "false"


def test_storyboard_on_screen_and_paper(tab):
    made = tab()
    made.keyboard.press("s")
    assert made.locator("#board .card").count() == 13
    for scene, card in zip(
        made.evaluate(STORY), made.locator("#board .card").all(), strict=True
    ):
        words = card.inner_text()
        assert scene["title"] in words
        assert all(b["text"] in words for b in scene["beats"])
    made.keyboard.press("s")
    assert not made.locator("#board").is_visible()
    fresh = tab()
    paper = fresh.pdf(format="A4", print_background=True)
    assert 3 <= paper.count(b"/Type /Page\n") <= 13
    fresh.emulate_media(media="print")
    assert fresh.locator("#board .card").count() == 13
    assert fresh.locator("#board").is_visible()
    assert not fresh.locator(".app").is_visible()


def test_names_for_those_who_do_not_see(tab):
    made = tab()
    for button in made.locator("button").all():
        name = button.get_attribute("aria-label") or button.text_content()
        assert name.strip()
    made.evaluate(SEEK, 15)
    assert made.locator("#stage svg[role=img]").first.get_attribute("aria-label")
    assert made.get_attribute("#caption", "aria-live") == "polite"


def test_without_scripts(chromium, address):
    made = chromium.new_page(java_script_enabled=False)
    made.goto(address)
    words = made.inner_text("body")
    assert "The gradient highway" in words
    assert not made.locator("#cover").is_visible()
    made.close()
