"""Slides must agree with the chapters, and be what a lecturer can show; what only a browser tells is in tests/site."""

import re

import icl_slides
import pytest
from bs4 import BeautifulSoup
from sphinx.errors import ExtensionError

LECTURES = icl_slides.lectures()
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
lectures = pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def pages():
    return {path: BeautifulSoup(icl_slides.lecture(path), "html.parser") for path in LECTURES}


@lectures
def test_every_figure_and_printout_is_in_its_chapter(path, pages):
    # Rendering raises where a reference or a link leads nowhere; what is counted here must all have arrived.
    wanted = re.findall(r"\]\(<?(?:figure|printed):", path.read_text(encoding="utf8"))
    assert len(wanted) >= 10
    assert len(pages[path].find_all("figure")) == len(wanted)


@lectures
def test_every_figure_says_what_it_shows(path, pages):
    for figure in pages[path].select("figure.figure"):
        assert figure.svg["role"] == "img"
        assert len(figure.svg["aria-label"]) > 40
        assert figure.figcaption.get_text().strip()


@lectures
def test_headings_and_notes(path, pages):
    slides = pages[path].find_all("section")
    assert 20 <= len(slides) <= 30  # ninety minutes
    assert [len(slide.find_all(["h1", "h2"])) for slide in slides] == [1] * len(slides)
    assert len(pages[path].find_all("h1")) == 1
    assert sum(bool(slide.select_one(".notes").get_text().strip()) for slide in slides) > 0.8 * len(slides)


@lectures
def test_a_slide_has_little_text(path):
    for text, _ in icl_slides.split(path.read_text(encoding="utf8")):
        shown = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|```.*?```", " x ", text, flags=re.DOTALL)
        assert len(re.findall(r"\w[\w'-]*", shown)) <= 85, text


@lectures
def test_no_markup_is_left_over(path, pages):
    page = BeautifulSoup(str(pages[path].main), "html.parser")
    for tag in page.select("pre, svg, .math"):
        tag.decompose()
    assert re.findall(r"\$|\*\*|```|\]\(|<!--|:::", page.get_text(" ")) == []


@lectures
def test_ids_are_unique(path, pages):
    ids = [tag["id"] for tag in pages[path].find_all(id=True)]
    assert sorted({name for name in ids if ids.count(name) > 1}) == []


@lectures
def test_code_on_slides_runs(path):
    names = {}
    for block in CODE.findall(path.read_text(encoding="utf8")):
        exec(block, names)  # an assertion on a slide is one here
        assert names


def test_what_is_not_there_is_refused():
    with pytest.raises(ExtensionError, match="no chapter"):
        icl_slides.figure("99_nothing", "reading")
    with pytest.raises(ExtensionError, match="shows no figure"):
        icl_slides.figure("04_one_head_one_step", "head_and_step.2")
    with pytest.raises(ExtensionError, match="no cell"):
        icl_slides.printed("08_the_loop", "Settling test: maybe")
    with pytest.raises(ExtensionError, match="leads nowhere"):
        icl_slides.address("../no_such_page.md")


def test_links_of_a_source_are_those_of_the_site():
    assert icl_slides.address("../syllabus.md") == "../book/syllabus.html"
    assert icl_slides.address("../../notebooks/04_one_head_one_step.ipynb") == "../notebooks/04_one_head_one_step.html"
    assert icl_slides.address("lecture2.md") == "lecture2.html"
    assert icl_slides.address("https://example.org/a.md") == "https://example.org/a.md"
