"""What only a browser can tell: every page, at two widths, in both themes and on paper, opened in Chromium.

CHROMIUM names the browser (otherwise the first one found on the path is used; none is downloaded): tests/browsing.py.
SHOTS names a folder in which to keep screenshots of every page. SITE names another folder with a built book.

A page is loaded once and dressed anew: loading a chapter takes longer than everything that is asked of it.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browsing import (
    LEAN,
    SIZES,
    THEMES,
    TOO_WIDE,
    dress,
    formulas_waiting,
    hosts,
    listening,
    served,
    violations,
)
from icl_chromium import open_page
from icl_project import HTML, site_url, toc_pages
from playwright.sync_api import expect

PAGES = [*toc_pages(), "search", "genindex"]
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
A4 = {"width": 718, "height": 1000}  # the width of the sheet without its margins, in CSS pixels

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

# On paper: what belongs to a screen, what would have to be scrolled, and what stays folded.
ON_SCREEN_ONLY = """() => [...document.querySelectorAll(
    "nav.bd-links, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, #pst-back-to-top, .copybtn")]
  .filter(one => one.checkVisibility()).map(one => one.className || one.id)"""
CUT_OFF = """() => [...document.querySelectorAll("article, article *")].filter(one => {
    const style = getComputedStyle(one), hidden = one.closest("svg, mjx-assistive-mml, .visually-hidden");
    return style.display !== "inline" && one.checkVisibility() && !hidden
      && style.overflowX !== "visible" && one.clientWidth && one.scrollWidth > one.clientWidth + 2;
  }).map(one => one.outerHTML.slice(0, 120))"""
FOLDED = """() => [...document.querySelectorAll("article details:not([open]), article .toggle-hidden")]
  .map(one => one.outerHTML.slice(0, 120))"""
PAPER = """() => [document.documentElement, document.body, document.querySelector("article")]
  .filter(one => one).map(one => getComputedStyle(one).backgroundColor).filter(one => one !== "rgba(0, 0, 0, 0)")"""


@pytest.fixture(scope="module")
def site():
    if not (HTML / "index.html").exists():
        pytest.fail("no built book: make book")
    with served(HTML) as address:
        yield address


@pytest.fixture
def view(browser):
    """A browser window that knows nothing of other pages."""
    width, height = SIZES["desktop"]
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    yield listening(context.new_page())
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_page(name, site, view):
    open_page(view, f"{site}/{name}.html")
    assert [error.inner_text() for error in view.query_selector_all("mjx-merror, [data-mjx-error]")] == []
    assert formulas_waiting(view) == 0
    assert view.evaluate(STRAY_DOLLARS) == []
    assert view.evaluate(NAMELESS_IMAGES) == []
    assert view.evaluate(BROKEN_IMAGES) == []

    for size in SIZES:
        for theme in THEMES if os.environ.get("SHOTS") else THEMES[:1]:  # no width depends on the theme
            dress(view, size, theme)
            assert view.evaluate(TOO_WIDE) == []
            if folder := os.environ.get("SHOTS"):
                target = Path(folder) / f"{size}-{theme}" / f"{name.replace('/', '-')}.png"
                view.screenshot(path=target, full_page=True)

    dress(view, "desktop", "dark")
    view.set_viewport_size(A4)
    view.emulate_media(media="print")
    view.wait_for_function("document.documentElement.dataset.theme === 'light'")  # scripts hear of it a frame later
    assert view.evaluate(ON_SCREEN_ONLY) == []
    assert view.evaluate(FOLDED) == []
    assert view.evaluate(TOO_WIDE) == []
    assert view.evaluate(CUT_OFF) == []
    assert set(view.evaluate(PAPER)) <= {"rgb(255, 255, 255)"}
    view.emulate_media(media="screen")
    view.wait_for_function("document.documentElement.dataset.theme === 'dark'")

    assert view.complaints == []
    assert hosts(view) == {"127.0.0.1"}

    # The last: the page is of no further use, and axe itself asks for style sheets at addresses of its own making.
    view.evaluate(LEAN)
    for size, theme in (("phone", "dark"), ("desktop", "light")):
        dress(view, size, theme)
        assert violations(view) == []


def test_a_chapter_is_accessible_to_its_last_glyph(site, view):
    open_page(view, f"{site}/{CHAPTERS[0]}.html")
    assert violations(view) == []


def test_a_page_opened_as_a_file_works_too(view):
    # The two commands end in a folder: readers double-click index.html.
    view.goto((HTML / "index.html").as_uri())
    view.wait_for_url("**/book/index.html")
    open_page(view, (HTML / f"{CHAPTERS[0]}.html").as_uri())
    assert view.complaints == []
    assert formulas_waiting(view) == 0
    assert [url for url in view.requests if urlsplit(url).scheme not in {"file", "data", "blob"}] == []


def test_the_theme_is_chosen_by_a_button_and_remembered(site, view):
    open_page(view, f"{site}/{CHAPTERS[0]}.html")
    themes = []
    for _ in range(3):
        view.click(".theme-switch-button:visible")
        themes.append(view.evaluate("document.documentElement.dataset.mode"))
    assert sorted(themes) == ["auto", "dark", "light"]
    while view.evaluate("document.documentElement.dataset.mode") != "dark":
        view.click(".theme-switch-button:visible")
    open_page(view, f"{site}/{CHAPTERS[1]}.html")
    assert view.evaluate("document.documentElement.dataset.theme") == "dark"
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


@pytest.mark.parametrize(
    ("words", "chapter"),
    [("max margin", "02_"), ("momentum", "12_"), ("sink", "06_"), ("polynomial", "14_"), ("Dask", "scale_out")],
)
def test_search_finds_the_chapter(words, chapter, site, view):
    open_page(view, f"{site}/search.html")
    view.keyboard.type(words)  # the field has the focus
    view.keyboard.press("Enter")
    results = view.locator("ul.search > li > a:first-of-type")
    expect(view.locator("#search-results .search-summary")).to_contain_text("found", timeout=20_000)
    found = [one.get_attribute("href") for one in results.all()]
    assert any(chapter in address for address in found[:8]), found[:8]
    assert view.complaints == []


def test_search_finds_the_chapter_in_files_too(view):
    # Without a server no excerpts can be fetched; the list of pages is all there, and leads on.
    open_page(view, (HTML / "search.html").as_uri())
    view.keyboard.type("momentum")
    view.keyboard.press("Enter")
    link = view.locator('ul.search > li > a[href*="12_"]').first
    expect(link).to_be_visible(timeout=20_000)
    link.click()
    view.wait_for_url("**/notebooks/12_*")


def test_search_opens_by_keyboard_on_any_page(site, view):
    open_page(view, f"{site}/{CHAPTERS[0]}.html")
    view.keyboard.press("Control+k")
    expect(view.locator("#pst-search-dialog")).to_be_visible()
    view.keyboard.type("margin")
    view.keyboard.press("Enter")
    view.wait_for_url("**/search.html?q=margin*")


def test_the_first_key_skips_to_the_text(site, view):
    open_page(view, f"{site}/{CHAPTERS[0]}.html")
    view.keyboard.press("Tab")
    link = view.locator("#pst-skip-link a")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    view.keyboard.press("Enter")
    assert view.evaluate("location.hash") == "#main-content"
    view.keyboard.press("Tab")
    assert view.evaluate("document.querySelector('#main-content').contains(document.activeElement)")


def test_a_quiz_answers_by_keyboard(site, view):
    open_page(view, f"{site}/{CHAPTERS[0]}.html")
    quiz = view.locator("fieldset.quiz").first
    replies = quiz.locator("[role=status] > p")
    assert not any(reply.is_visible() for reply in replies.all())
    quiz.locator("input").first.focus()
    view.keyboard.press("Space")
    view.keyboard.press("ArrowDown")
    assert [reply.is_visible() for reply in replies.all()] == [n == 1 for n in range(replies.count())]


@pytest.mark.parametrize("size", SIZES)
def test_the_ways_to_run_a_chapter_are_seen_without_scrolling(size, site, view):
    open_page(view, f"{site}/{CHAPTERS[4]}.html")
    dress(view, size, "light")
    for text in ("Open in Colab", "Open on Binder", "Download the notebook"):
        expect(view.get_by_role("link", name=text)).to_be_in_viewport()
    with view.expect_download() as started:
        view.get_by_role("link", name="Download the notebook").click()
    assert started.value.suggested_filename == f"{CHAPTERS[4].partition('/')[2]}.ipynb"


@pytest.mark.parametrize("prefix", ["/", urlsplit(site_url()).path, "/copies/of/books/"])
def test_a_wrong_address_leads_back(prefix, browser, view):
    # At any depth, where the book is published and where somebody else put it.
    with served(HTML, prefix) as host:
        for wrong in ("nowhere.html", "book/nowhere/deeper/still.html"):
            answer = view.goto(f"{host}{prefix}{wrong}")
            assert answer.status == 404
            view.wait_for_function(
                "prefix => document.querySelector('base').getAttribute('href') === prefix", arg=prefix
            )
            view.get_by_role("link", name="Depth is optimisation").click()
            view.wait_for_url(f"**{prefix}notebooks/05_*")
            expect(view.locator("h1").first).to_contain_text("Depth is optimisation")
        view.goto(f"{host}{prefix}nowhere")
        for size in SIZES:
            for theme in THEMES:
                dress(view, size, theme)
                assert view.evaluate(TOO_WIDE) == []
                assert violations(view) == []
        view.get_by_role("searchbox").fill("momentum")
        view.keyboard.press("Enter")
        view.wait_for_url(f"**{prefix}search.html?q=momentum")
    assert hosts(view) == {"127.0.0.1"}
