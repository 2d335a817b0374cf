"""What must hold of the built pages, as files. What only a browser can tell is in tests/site."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from icl_project import CHAPTERS, ROOT, toc_pages

HTML = ROOT / "_build" / "html"
PAGES = toc_pages()
MAX_PAGE_BYTES = 1_500_000  # a page and its own images, without MathJax: a phone's patience

pytestmark = pytest.mark.skipif(not HTML.exists(), reason="no built book: make book")


@cache
def soup(page: str) -> BeautifulSoup:
    return BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset:
    tree = BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")
    return frozenset(tag["id"] for tag in tree.find_all(id=True))


def prose(page: str) -> str:
    """The text a reader sees, without code and formulas, whose own signs are not left-over markup."""
    article = BeautifulSoup(str(soup(page).find("article")), "html.parser")
    for tag in article.select("pre, code, script, style, svg, .math"):
        tag.decompose()
    return article.get_text(" ")


def loaded_by_styles(sheet: str) -> list[str]:
    return re.findall(r"""(?:url\(|@import\s+)["']?([^"')]+)""", sheet)


def is_remote(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in {"http", "https"}


def test_the_root_leads_to_the_preface():
    assert f"url={PAGES[0]}.html" in (HTML / "index.html").read_text(encoding="utf8")


@pytest.mark.parametrize("page", PAGES)
def test_page_was_built(page):
    assert (HTML / f"{page}.html").exists()


def test_no_page_is_left_over():
    # A page that left the table of contents stays in _build, and would be searched and linked: make clean.
    built = [path for folder in ("book", "notebooks") for path in (HTML / folder).rglob("*.html")]
    assert {path.relative_to(HTML).with_suffix("").as_posix() for path in built} == set(PAGES)


@pytest.mark.parametrize("page", [*PAGES, "search", "genindex"])
def test_page_loads_nothing_from_elsewhere(page):
    # The book reads offline, and tells nobody that it is read. Links that a reader may follow are another matter.
    tree, harmless = soup(page), {"canonical", "author", "license", "search", "next", "prev", "index"}
    loading = ["script", "img", "iframe", "source", "video", "audio", "embed"]
    sources = [tag["src"] for tag in tree.find_all(loading, src=True)]
    links = [tag["href"] for tag in tree.find_all("link", href=True) if not set(tag.get("rel", [])) & harmless]
    styles = [address for tag in tree.find_all("style") for address in loaded_by_styles(tag.get_text())]
    assert [address for address in sources + links + styles if is_remote(address)] == []


@pytest.mark.parametrize("sheet", sorted(HTML.rglob("*.css")), ids=lambda path: path.name)
def test_style_sheet_loads_nothing_from_elsewhere(sheet):
    addresses = loaded_by_styles(sheet.read_text(encoding="utf8"))
    assert [address for address in addresses if is_remote(address)] == []


def test_mathjax_is_our_own():
    assert (HTML / "mathjax" / "tex-mml-chtml.js").stat().st_size > 1_000_000
    assert any((HTML / "mathjax" / "output" / "chtml" / "fonts" / "woff-v2").glob("*.woff"))
    for page in PAGES:
        if soup(page).select(".math"):
            scripts = [tag["src"] for tag in soup(page).find_all("script", src=True)]
            loaded = [((HTML / page).parent / urlsplit(src).path).resolve() for src in scripts if "mathjax" in src]
            assert loaded == [HTML / "mathjax" / "tex-mml-chtml.js"], page


@pytest.mark.parametrize("page", PAGES)
def test_every_image_has_an_alternative_text(page):
    article = soup(page).find("article")
    assert [str(tag)[:200] for tag in article.find_all("img") if not tag.get("alt", "").strip()] == []
    for figure in article.select(".icl-figure > svg"):
        assert figure.get("role") == "img"
        assert figure.get("aria-label", "").strip()


@pytest.mark.parametrize("page", PAGES)
def test_page_is_light(page):
    path = HTML / f"{page}.html"
    sources = {unquote(tag["src"]) for tag in soup(page).find("article").find_all("img", src=True)}
    images = [path.parent / source for source in sources]
    assert path.stat().st_size + sum(image.stat().st_size for image in images) <= MAX_PAGE_BYTES


@pytest.mark.parametrize("page", PAGES)
def test_no_markup_is_left_unresolved(page):
    # The strict build lets misspelt roles, unclosed fences and forgotten tokens through as text.
    markup = r":::|```|\$\$|\{[a-z]+(?::[a-z]+)?\}\s*`|\{\{|\]\(|CHAPTER_COST|REPOSITORY_URL|\bTODO\b"
    assert re.findall(f".{{0,30}}(?:{markup}).{{0,30}}", prose(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_page_has_one_title(page):
    assert len(soup(page).find("article").find_all("h1")) == 1


@pytest.mark.parametrize("page", PAGES)
def test_ids_are_unique(page):
    # Figures are inlined, and matplotlib names the glyphs of all figures alike.
    # (sphinx-proof gives every unlabelled proof the id "proof", and styles it by that.)
    ids = [tag["id"] for tag in soup(page).find("article").find_all(id=True) if tag["id"] != "proof"]
    assert sorted({name for name in ids if ids.count(name) > 1}) == []


@pytest.mark.parametrize("page", [*PAGES, "genindex"])
def test_local_links_lead_somewhere(page):
    path, dead = (HTML / f"{page}.html").resolve(), []
    for tag in soup(page).find_all("a", href=True):
        parts = urlsplit(tag["href"])
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        into_page = parts.fragment and target.suffix == ".html"
        if not target.is_file() or (into_page and unquote(parts.fragment) not in anchors(target)):
            dead.append(tag["href"])
    assert dead == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("notebooks/")])
def test_buttons_lead_home(page):
    # Readers edit the text, and run and download the notebook: never the other way round.
    links = [tag["href"] for tag in soup(page).select(".article-header-buttons a[href]")]
    stem = page.partition("/")[2]
    edit, colab, download = (
        f"/edit/main/book/chapters/{stem}.md",
        f"/blob/main/notebooks/{stem}.ipynb",
        f"_sources/notebooks/{stem}.ipynb",
    )
    assert (CHAPTERS / f"{stem}.md").exists()
    assert [link for link in links if "/edit/" in link and not link.endswith(edit)] == []
    for wanted in (edit, colab, download):
        assert [link for link in links if link.endswith(wanted)], wanted
