"""A real browser for the pages, which counts what a page must not do."""

import contextlib
import os
import shutil

import pytest

NEEDED = (
    "the interactive page is tested in Chromium: install it (apt-get install chromium) "
    "and its driver (pip install playwright)"
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def browser():
    """Start Chromium; where it is missing, a test is skipped, or fails if CI is set."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing(NEEDED)
    if path is None:
        missing(NEEDED)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def opened(running, path, **settings):
    """Open a file; afterwards nothing was said on the console, nothing asked for."""
    tab = running.new_page(**settings)
    said, asked = [], []
    tab.on("console", lambda m: said.append(m.text))
    tab.on("pageerror", lambda e: said.append(str(e)))
    tab.on("request", lambda r: asked.append(r.url))
    tab.goto(path.as_uri())
    try:
        yield tab
    finally:
        tab.close()
    assert said == []
    assert asked == [path.as_uri()]
