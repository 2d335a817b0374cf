"""Which Chromium the tools and the tests drive, and how it is started. None is downloaded."""

import os
import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


def browser_path() -> str:
    """The browser named by CHROMIUM, else the first one on the path; raises FileNotFoundError if there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise FileNotFoundError(
            "no Chromium found: install one (Debian: apt-get install chromium) or name it in CHROMIUM"
        )
    return found


def open_page(view, address: str) -> None:
    """Open a page and wait until its formulas are typeset and its fonts are there."""
    view.goto(address, wait_until="load")
    if view.query_selector(".math"):
        view.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise", timeout=20_000)
        view.evaluate("() => MathJax.startup.promise")
    view.evaluate("() => document.fonts.ready")
