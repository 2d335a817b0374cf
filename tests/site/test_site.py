"""What only a browser can tell: every page, at two widths, in both themes, opened in Chromium.

CHROMIUM names the browser (otherwise the first one found on the path is used; none is downloaded): tests/browsing.py.
SHOTS names a folder in which to keep a screenshot of every page.
"""

import functools
import http.server
import os
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import FLAGS, TOO_WIDE, browser_path, formulas_waiting, open_page
from icl_project import ROOT, toc_pages
from playwright.sync_api import sync_playwright

HTML = ROOT / "_build" / "html"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
PAGES = [*toc_pages(), "search", "genindex"]

# Prose with a dollar sign in it is mathematics that was not recognised; prices would be written in words.
STRAY_DOLLARS = """() => {
  const walker = document.createTreeWalker(document.querySelector("article") || document.body, NodeFilter.SHOW_TEXT);
  const stray = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.data.includes("$") && !node.parentElement.closest("pre, code, script, style, mjx-container"))
      stray.push(node.data.trim().slice(0, 80));
  }
  return stray;
}"""
NAMELESS_IMAGES = """() => [...document.querySelectorAll("article img, .icl-figure > svg")]
  .filter(one => !(one.getAttribute(one.tagName === "IMG" ? "alt" : "aria-label") || "").trim())
  .map(one => one.outerHTML.slice(0, 120))"""
BROKEN_IMAGES = "() => [...document.images].filter(one => one.complete && !one.naturalWidth).map(one => one.src)"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    """The built book on a port of this machine that nobody else can reach."""
    if not (HTML / "index.html").exists():
        pytest.fail("no built book: make book")
    handler = functools.partial(QuietHandler, directory=HTML)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=[(size, theme) for size in SIZES for theme in ("light", "dark")], ids="-".join)
def view(browser, request):
    """A browser window of one size and theme, which records what the page asks for and what it complains about."""
    size, theme = request.param
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    context.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
    page = context.new_page()
    page.name, page.theme, page.complaints, page.requests = "-".join(request.param), theme, [], []
    page.on("console", lambda m: m.type in {"error", "warning"} and page.complaints.append(f"{m.text} {m.location}"))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: "ABORTED" in request.failure or page.complaints.append(request.url))
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_page(name, site, view):
    open_page(view, f"{site}/{name}.html")
    if folder := os.environ.get("SHOTS"):
        target = Path(folder) / view.name / f"{name.replace('/', '-')}.png"
        view.wait_for_timeout(400)  # the side bar slides in
        view.screenshot(path=target, full_page=True)

    assert view.evaluate("document.documentElement.dataset.theme") == view.theme
    assert view.complaints == []
    assert {urlsplit(url).hostname for url in view.requests if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}
    assert [error.inner_text() for error in view.query_selector_all("mjx-merror, [data-mjx-error]")] == []
    assert formulas_waiting(view) == 0
    assert view.evaluate(STRAY_DOLLARS) == []
    assert view.evaluate(TOO_WIDE) == []
    assert view.evaluate(NAMELESS_IMAGES) == []
    assert view.evaluate(BROKEN_IMAGES) == []

    found = Axe().run(view, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], one["help"], [node["html"][:160] for node in one["nodes"]][:5]) for one in grave] == []


def test_a_page_opened_as_a_file_works_too(view):
    # The two commands end in a folder: readers double-click index.html.
    view.goto((HTML / "index.html").as_uri())
    view.wait_for_url("**/book/index.html")
    chapter = next(page for page in PAGES if page.startswith("notebooks/"))
    open_page(view, (HTML / f"{chapter}.html").as_uri())
    assert view.complaints == []
    assert formulas_waiting(view) == 0
    assert [url for url in view.requests if urlsplit(url).scheme not in {"file", "data", "blob"}] == []


def test_search_finds_a_word_of_the_preface(site, view):
    open_page(view, f"{site}/search.html?q=prompt")
    view.wait_for_selector("ul.search li a", timeout=20_000)
    assert view.complaints == []


def test_a_quiz_answers_by_keyboard(site, view):
    chapter = next(page for page in PAGES if page.startswith("notebooks/"))
    open_page(view, f"{site}/{chapter}.html")
    quiz = view.locator("fieldset.quiz").first
    replies = quiz.locator("[role=status] > p")
    assert not any(reply.is_visible() for reply in replies.all())
    quiz.locator("input").first.focus()
    view.keyboard.press("Space")
    view.keyboard.press("ArrowDown")
    assert [reply.is_visible() for reply in replies.all()] == [n == 1 for n in range(replies.count())]
