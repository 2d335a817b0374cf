"""What must hold of the built pages, as files. What only a browser can tell is in tests/site."""

import json
import re
import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from icl_project import CHAPTERS, COSTS, HTML, ROOT, site_url, toc_pages
from PIL import Image

PAGES = toc_pages()
MADE = ["search", "genindex", "py-modindex"]  # pages that nobody wrote
MAX_PAGE_BYTES = 1_500_000  # a page and its own images, without MathJax: a phone's patience
MAX_SHARED_BYTES = 2_500_000  # what all pages share and a browser keeps: styles, scripts, icons; without MathJax
MAX_FILE_BYTES = 2_000_000  # of any file that a page could load
MAX_SITE_BYTES = 60_000_000  # what is copied to a stick; more than half of it is MathJax's fonts and the theme's

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


def meta(page: str, name: str) -> str:
    """What a page says of itself; it must say it once."""
    found = [tag["content"] for tag in soup(page).find_all("meta") if name in (tag.get("name"), tag.get("property"))]
    assert len(found) == 1, (page, name, found)
    return found[0]


def test_the_root_leads_to_the_preface():
    assert f"url={PAGES[0]}.html" in (HTML / "index.html").read_text(encoding="utf8")
    for name in ("description", "og:title", "og:url", "og:image"):
        assert meta("index", name)
    assert soup("index").find("link", rel="canonical")["href"] == f"{site_url()}{PAGES[0]}.html"


@pytest.mark.parametrize("page", PAGES)
def test_page_was_built(page):
    assert (HTML / f"{page}.html").exists()


def test_the_sitemap_lists_every_page_once():
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    found = [one.text for one in ET.parse(HTML / "sitemap.xml").iter(f"{space}loc")]
    assert sorted(found) == sorted(f"{site_url()}{page}.html" for page in PAGES)
    assert f"Sitemap: {site_url()}sitemap.xml" in (HTML / "robots.txt").read_text(encoding="utf8").splitlines()


@pytest.mark.parametrize("page", [*PAGES, *MADE])
def test_page_says_who_it_is(page):
    # What a search engine and a link in a chat show. A formula or left-over markup there is read as noise.
    description, title = meta(page, "description"), meta(page, "og:title")
    assert 20 <= len(description) <= 200
    assert not re.search(r"[\\\\$_^{}<>|`]|&\w+;|\s\s", description), description
    assert meta(page, "og:description") == description
    assert title.strip()
    assert "<" not in title
    assert meta(page, "og:url") == f"{site_url()}{page}.html"
    assert soup(page).find("link", rel="canonical")["href"] == f"{site_url()}{page}.html"
    assert meta(page, "twitter:card") == "summary_large_image"
    card = meta(page, "og:image")
    assert card.startswith(site_url())
    with Image.open(HTML / card.removeprefix(site_url())) as image:
        assert image.size == (1200, 630) == (int(meta(page, "og:image:width")), int(meta(page, "og:image:height")))
    assert meta(page, "og:image:alt")


def test_titles_and_descriptions_are_unique():
    for said in (
        [soup(page).title.get_text() for page in [*PAGES, *MADE]],
        [meta(page, "description") for page in PAGES],
    ):
        assert sorted({one for one in said if said.count(one) > 1}) == []


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


def test_the_library_page_shows_no_words_of_the_machine():
    # What autodoc says for want of better, or says wrongly: of fields, of signatures it cannot read, of constants.
    article = soup("book/api").find("article")
    signatures = " ".join(one.get_text() for one in article.select("dt.sig"))
    assert "Alias for field number" not in article.get_text()
    assert re.findall(r"~\w[\w.]*|<factory>|\*args, \*\*kwargs", signatures) == []
    constants = article.select("dl.py.data")
    assert len(constants) >= 5
    assert [one.dt["id"] for one in constants if one.select("dl.field-list")] == []


@pytest.mark.parametrize("page", PAGES)
def test_page_is_light(page):
    path = HTML / f"{page}.html"
    sources = {unquote(tag["src"]) for tag in soup(page).find("article").find_all("img", src=True)}
    images = [path.parent / source for source in sources]
    assert path.stat().st_size + sum(image.stat().st_size for image in images) <= MAX_PAGE_BYTES


def test_the_site_is_light():
    files = [path for path in HTML.rglob("*") if path.is_file() and path.suffix not in {".map", ".pdf"}]
    sizes = {path.relative_to(HTML).as_posix(): path.stat().st_size for path in files}
    assert sum(sizes.values()) <= MAX_SITE_BYTES
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_BYTES} == {}


@pytest.mark.parametrize("page", [*PAGES, "search"])
def test_what_pages_share_is_light(page):
    # A font is counted in one of its formats, as it is loaded. The index of the search is for the page that searches.
    folder, shared = (HTML / page).parent, set()
    for tag in soup(page).find_all(["script", "link"]):
        address = tag.get("src") or (tag.get("href") if "stylesheet" in tag.get("rel", []) else None)
        if address and "mathjax" not in address and not is_remote(address):
            shared.add((folder / urlsplit(address).path).resolve())
    assert (HTML.resolve() / "searchindex.js" in shared) == (page == "search")
    shared -= set(folder.resolve().glob("*.js")) if page.startswith("book/explore/") else set()  # its own, tested there
    for sheet in [path for path in shared if path.suffix == ".css"]:
        fonts = [urlsplit(one).path for one in loaded_by_styles(sheet.read_text(encoding="utf8"))]
        shared |= {(sheet.parent / one).resolve() for one in fonts if one.endswith(".woff2")}
    assert sum(path.stat().st_size for path in shared) <= MAX_SHARED_BYTES + (500_000 if page == "search" else 0)


@pytest.mark.parametrize("page", PAGES)
def test_no_markup_is_left_unresolved(page):
    # The strict build lets misspelt roles, unclosed fences and forgotten tokens through as text.
    markup = r":::|```|\$\$|\{[a-z]+(?::[a-z]+)?\}\s*`|\{\{|\]\(|CHAPTER_COST|REPOSITORY_URL|\bTODO\b"
    assert re.findall(f".{{0,30}}(?:{markup}).{{0,30}}", prose(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_page_has_one_title(page):
    assert len(soup(page).find("article").find_all("h1")) == 1


@pytest.mark.parametrize("page", PAGES)
def test_headings_go_down_by_one_step(page):
    levels = [int(tag.name[1]) for tag in soup(page).find("article").find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert [(above, below) for above, below in pairwise(levels) if below > above + 1] == []


@pytest.mark.parametrize("page", PAGES)
def test_ids_are_unique(page):
    # Figures are inlined, and matplotlib names the glyphs of all figures alike.
    # (sphinx-proof gives every unlabelled proof the id "proof", and styles it by that.)
    ids = [tag["id"] for tag in soup(page).find("article").find_all(id=True) if tag["id"] != "proof"]
    assert sorted({name for name in ids if ids.count(name) > 1}) == []


def dead_links(path: Path, tree: BeautifulSoup, folder: Path) -> list[str]:
    """The local links of a page that lead to no file, or to no place in it."""
    dead = []
    for tag in tree.find_all("a", href=True):
        parts = urlsplit(tag["href"])
        if parts.scheme or parts.netloc:
            continue
        target = (folder / unquote(parts.path)).resolve() if parts.path else path
        into_page = parts.fragment and target.suffix == ".html"
        if not target.is_file() or (into_page and unquote(parts.fragment) not in anchors(target)):
            dead.append(tag["href"])
    return dead


@pytest.mark.parametrize("page", [*PAGES, *MADE])
def test_local_links_lead_somewhere(page):
    path = (HTML / f"{page}.html").resolve()
    assert dead_links(path, soup(page), path.parent) == []


def test_local_links_of_slides_and_source_views_lead_somewhere():
    for path in [*(HTML / "slides").glob("*.html"), *(HTML / "_modules").rglob("*.html")]:
        tree = BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")
        assert dead_links(path.resolve(), tree, path.resolve().parent) == [], path.name


@pytest.mark.parametrize("page", [*PAGES, *MADE])
def test_links_elsewhere_are_well_formed(page):
    # Whether they are alive, only the network can tell; that they could be, we can.
    wrong = []
    for tag in soup(page).find_all("a", href=True):
        parts = urlsplit(tag["href"])
        if not (parts.scheme or parts.netloc) or parts.scheme == "mailto":
            continue
        host = re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", parts.netloc.lower())
        if parts.scheme != "https" or not host or re.search(r"\s|[<>\"{}|\\\\^`]|//", parts.path + parts.query):
            wrong.append(tag["href"])
    assert wrong == []


def test_the_page_for_wrong_addresses_stands_alone():
    # It is served at any depth, where no relative address holds but those that its base makes right.
    tree = soup("404")
    assert tree.find("base")["href"] == urlsplit(site_url()).path
    assert tree.find_all(["script", "img"], src=True) == []
    assert tree.find_all("link", rel="stylesheet") == []
    assert dead_links((HTML / "404.html").resolve(), tree, HTML.resolve()) == []
    listed = {tag["href"] for tag in tree.find_all("a", href=True)}
    assert listed == {f"{page}.html" for page in PAGES}


@pytest.mark.parametrize("module", sorted((HTML / "_modules").rglob("icl_lib/**/*.html")), ids=lambda path: path.stem)
def test_the_source_shown_is_the_source(module):
    # Sphinx alone keeps the page of a module that changed while it was read, or that is gone.
    name = module.relative_to(HTML / "_modules").with_suffix("")
    sources = [path for path in (ROOT / name.with_suffix(".py"), ROOT / name / "__init__.py") if path.exists()]
    assert len(sources) == 1
    code = BeautifulSoup(module.read_text(encoding="utf8"), "html.parser").find("pre")
    for link in code.select(".viewcode-back"):
        link.decompose()
    shown = [line.rstrip() for line in code.get_text().splitlines()]
    assert [line for line in shown if line] == [
        line.rstrip() for line in sources[0].read_text(encoding="utf8").splitlines() if line.strip()
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("notebooks/")])
def test_chapter_says_under_its_title_what_it_takes_and_where_it_runs(page):
    stem = page.partition("/")[2]
    line = soup(page).find("article").find("h1").find_next_sibling()
    assert line["class"] == ["icl-run"]
    assert re.search(r"\d+\smin to read, \d+\ss to run", line.get_text())
    assert f"{json.loads(COSTS.read_text(encoding='utf8'))[stem]['cpu_s']}\N{NO-BREAK SPACE}s" in line.get_text()
    colab, binder, download = (tag["href"] for tag in line.find_all("a"))
    launch = [tag["href"] for tag in soup(page).select(".dropdown-launch-buttons a[href]")]
    assert sorted([colab, binder]) == sorted(launch)  # the theme makes the same out of the same settings
    assert (HTML / "notebooks" / download).read_bytes() == (ROOT / "notebooks" / f"{stem}.ipynb").read_bytes()


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
