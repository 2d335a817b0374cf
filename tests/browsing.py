"""What the tests of the site share: which browser, how a page is opened, and what is too wide."""

import os
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
TOO_WIDE = """() => {
  const root = document.scrollingElement, width = root.clientWidth;
  if (root.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .filter(one => one.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(one => one.outerHTML.slice(0, 120));
}"""


def browser_path() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail("no Chromium found: install one (Debian: apt-get install chromium) or name it in CHROMIUM")
    return found


def open_page(view, address):
    view.goto(address, wait_until="load")
    if view.query_selector(".math"):
        view.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise", timeout=20_000)
        view.evaluate("() => MathJax.startup.promise")
    view.evaluate("() => document.fonts.ready")


def formulas_waiting(view) -> int:
    """How many formulas MathJax left as text."""
    script = "() => [...document.querySelectorAll('.math')].filter(one => !one.querySelector('mjx-container')).length"
    return view.evaluate(script)
