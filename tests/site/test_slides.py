"""What only a browser can tell of the slides: keys, room on every slide, both themes, print, and accessibility."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import TOO_WIDE, formulas_waiting
from icl_chromium import open_page
from icl_project import ROOT

SLIDES = ROOT / "_build" / "html" / "slides"
NAMES = sorted(path.stem for path in (ROOT / "book" / "slides").glob("*.md"))

# What sticks out of its slide, or of the part that holds it. A formula or a printout must not have to be scrolled.
STICKS_OUT = """() => [...document.querySelectorAll("section")].flatMap(slide => {
  const box = slide.getBoundingClientRect();
  const out = [...slide.querySelectorAll(":scope > *, .body > *, figcaption, mjx-container")].filter(one => {
    const r = one.getBoundingClientRect();
    return r.width && (r.bottom > box.bottom + 1 || r.right > box.right + 1 || r.left < box.left - 1);
  });
  const cut = [slide, ...slide.querySelectorAll(".body, pre")]
    .filter(one => one.scrollHeight > one.clientHeight + 2 || one.scrollWidth > one.clientWidth + 2);
  const wide = [...slide.querySelectorAll("mjx-container")]
    .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 2);
  return [...out, ...cut, ...wide].map(one => `${slide.id}: ${one.outerHTML.slice(0, 80)}`);
})"""
SMALL_FIGURES = """() => [...document.querySelectorAll("figure.figure > svg")]
  .filter(one => one.getBoundingClientRect().height < 340).map(one => one.closest("section").id)"""
AT = "() => Math.round(scrollY / innerHeight) + 1"


@pytest.fixture(params=NAMES)
def name(request):
    if not (SLIDES / f"{request.param}.html").exists():
        pytest.fail("no built slides: make book")
    return request.param


def opened(browser, name, theme="light", width=1280, height=720):
    """The slides, opened as a file, with all that the page complained about or asked for."""
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme).new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda m: m.type in {"error", "warning"} and page.complaints.append(m.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    page.on("request", lambda request: page.requests.append(request.url))
    open_page(page, (SLIDES / f"{name}.html").as_uri())
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_slide_has_room_and_nothing_complains(name, browser, theme):
    page = opened(browser, name, theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert formulas_waiting(page) == 0
    assert page.query_selector_all("mjx-merror, [data-mjx-error]") == []
    assert page.evaluate(STICKS_OUT) == []
    assert page.evaluate(SMALL_FIGURES) == []
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], [node["html"][:160] for node in one["nodes"]][:5]) for one in grave] == []


def test_keys_and_buttons_move(name, browser):
    page = opened(browser, name)
    count = len(page.query_selector_all("section"))
    for key, slide in [("ArrowRight", 2), (" ", 3), ("PageDown", 4), ("ArrowLeft", 3), ("End", count), ("Home", 1)]:
        page.keyboard.press(key)
        page.wait_for_function(f"({AT})() === {slide}")
    page.keyboard.press("ArrowLeft")  # there is nothing before the first
    assert page.evaluate(AT) == 1
    page.click("button[data-key=ArrowRight]")
    page.wait_for_function(f"({AT})() === 2")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("n")
    assert page.is_visible("section:first-of-type .notes")
    assert page.complaints == []


def test_a_phone_scrolls_down_only(name, browser):
    page = opened(browser, name, width=390, height=844)
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 16
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []


def test_one_slide_a_printed_page(name, browser):
    page = opened(browser, name, theme="dark")
    slides = len(page.query_selector_all("section"))
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.count(b"/Type /Page\n") == slides
