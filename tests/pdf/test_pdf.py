"""The printed book (make pdf) against the built pages: nothing missing, nothing cut, every link alive."""

import re
from collections import Counter
from functools import cache

import icl_pdf
import pikepdf
import pypdfium2
import pytest
from bs4 import BeautifulSoup
from icl_project import HTML, toc_pages
from pdf import empty_feet

MAX_BYTES = 30_000_000
MARGIN = 24 * 72 / 25.4  # of print.css, in points
PAGES = toc_pages()
# What Sphinx, a theme or MathJax may leave undone. Code may hold any of these, prose the word "undefined".
LEFT_OVER = r"double-click|\$\$|\\begin\{|\\frac|\\\(|\[\?\]|\bundefined\b|(?:Show|Hide) code|Click to"


@pytest.fixture(scope="module")
def book():
    if not icl_pdf.PDF.exists():
        pytest.fail("no printed book: make pdf")
    with pikepdf.open(icl_pdf.PDF) as pdf:
        yield pdf


@cache
def texts() -> list[str]:
    """What stands on each page."""
    with pypdfium2.PdfDocument(icl_pdf.PDF) as pdf:
        return [page.get_textpage().get_text_bounded() for page in pdf]


@cache
def article(page: str) -> BeautifulSoup:
    text = (HTML / f"{page}.html").read_text(encoding="utf8")
    text = text[text.index("<article") : text.index("</article>")]
    text = re.sub(r"(<svg\b[^>]*>).*?(</svg>)", r"\1\2", text, flags=re.DOTALL)
    return BeautifulSoup(text, "html.parser")


def letters(text: str) -> str:
    """Only the letters and digits: hyphens, ligatures and line breaks are no business of ours."""
    text = text.replace("\ufb01", "fi").replace("\ufb02", "fl").replace("\ufb00", "ff").replace("\ufb03", "ffi")
    return re.sub(r"[^A-Za-z0-9]", "", text)


def headings(page: str) -> list[str]:
    """The letters of the title of a page and of its sections, formulas left out."""
    found = []
    for heading in article(page).find_all(["h1", "h2"]):
        words = BeautifulSoup(str(heading), "html.parser")
        for waste in words.select(".headerlink, .math"):
            waste.decompose()
        found.append(letters(words.get_text()))
    if page == PAGES[0]:
        found[0] = letters(icl_pdf.PREFACE)
    return found


def entries(items, depth=0):
    """The outline, flat: title and target of each entry, in order."""
    for item in items:
        yield item.title, item.destination
        yield from entries(item.children, depth + 1)


def elements(book, kind: str, key: str = "/S") -> list:
    wanted = pikepdf.Name(kind)
    return [one for one in book.objects if isinstance(one, pikepdf.Dictionary) and one.get(key) == wanted]


def links(book):
    for page in book.pages:
        yield from (one for one in page.get("/Annots", []) if one.get("/Subtype") == pikepdf.Name.Link)


def test_it_says_what_it_is(book):
    assert str(book.docinfo["/Title"]) == icl_pdf.TITLE
    assert str(book.Root.Lang) == icl_pdf.LANGUAGE
    assert bool(book.Root.ViewerPreferences.DisplayDocTitle)
    assert book.Root.PageMode == pikepdf.Name.UseOutlines
    assert icl_pdf.PDF.stat().st_size < MAX_BYTES


def test_it_is_tagged(book):
    assert bool(book.Root.MarkInfo.Marked)
    keys = set(pikepdf.NumberTree(book.Root.StructTreeRoot.ParentTree).keys())
    assert {int(page.StructParents) for page in book.pages} <= keys
    assert {int(link.StructParent) for link in links(book)} <= keys


def test_every_figure_of_the_site_is_there_with_its_alternative_text(book):
    # A formula is a figure whose alternative text is its TeX.
    shown = Counter(str(one.get("/Alt", "")) for one in elements(book, "/Figure"))
    wanted = Counter()
    for page in PAGES:
        svgs = article(page).select(".icl-figure > svg, .text_html svg[aria-label]")
        wanted.update(svg["aria-label"] for svg in svgs)
        wanted.update(image["alt"] for image in article(page).find_all("img"))
    assert wanted
    assert {text: (number, shown[text]) for text, number in wanted.items() if shown[text] != number} == {}


def test_every_formula_speaks(book):
    shown = {str(one.get("/Alt", "")) for one in elements(book, "/Figure")}
    wanted = {
        re.sub(r"\s+", " ", formula.get_text().strip()[2:-2]).strip()
        for page in PAGES
        for formula in article(page).select(".math")
    }
    assert sorted(wanted - shown)[:10] == []


def test_the_outline_holds_every_chapter_and_section_in_order(book):
    order = {page.objgen: number for number, page in enumerate(book.pages)}
    with book.open_outline() as outline:
        found = [(letters(title), order[target[0].objgen]) for title, target in entries(outline.root)]
    rest = iter(found)
    for page in PAGES:
        for wanted in headings(page):
            # Up to this one, everything else in the outline is a part or a smaller section.
            number = next((number for title, number in rest if title == wanted), None)
            assert number is not None, f"{page}: {wanted} is missing, or not in its place"
            assert wanted in letters(texts()[number]), f"{wanted} does not stand on page {number + 1}"


def test_the_contents_name_the_right_pages(book):
    order = {page.objgen: number for number, page in enumerate(book.pages, 1)}
    checked = 0
    for page, text in zip(book.pages[1:], texts()[1:], strict=True):
        if "Contents" not in text[:200]:
            break
        # A row that moved to the next page leaves a rim of its link behind.
        rows = [link for link in page.Annots if float(link.Rect[3]) - float(link.Rect[1]) > 5]
        leads = [order[book.Root.Dests[str(link.Dest)][0].objgen] for link in rows]
        printed = [int(number) for number in re.findall(r"\d+", text)]
        assert Counter(leads) - Counter(printed) == Counter()
        checked += len(leads)
    assert checked > len(PAGES)


def test_no_page_is_blank():
    captions = {part.caption for part in icl_pdf.parts()[1]}  # a part's own page may hold no more than its only chapter
    for number, text in enumerate(texts(), 1):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        # The head of a page is two lines at most, its foot is the number.
        assert (
            len([line for line in lines if line != str(number)]) > 2
            or number == 1
            or lines[0] in captions
            or "Part" in text[:20]
        )


def test_pages_are_filled(book):
    # A figure, a theorem or an exercise moves on whole, and leaves some paper white; half a page of it is rare.
    order = {page.objgen: number for number, page in enumerate(book.pages)}
    names = [*map(icl_pdf.slug, PAGES), *(f"part-{icl_pdf.slug(part.caption)}" for part in icl_pdf.parts()[1])]
    starts = {order[book.Root.Dests[f"/{name}"][0].objgen] for name in names}
    feet = empty_feet(icl_pdf.PDF.read_bytes())
    gaps = [number for number, foot in enumerate(feet, 1) if foot > 0.4 and number not in starts | {len(feet)}]
    assert len(gaps) < 0.012 * len(feet), gaps


def test_what_is_said_differently_on_paper_is_still_said():
    pages = [(HTML / f"{page}.html").read_text(encoding="utf8") for page in PAGES]
    stale = [words for words in icl_pdf.ON_PAPER if not any(icl_pdf.spaced(words).search(page) for page in pages)]
    assert stale == []


def test_nothing_is_left_over():
    printed = Counter(found for text in texts() for found in re.findall(LEFT_OVER, text))
    written = Counter()
    for page in PAGES:
        tree = article(page)
        written.update(re.findall(LEFT_OVER, " ".join(tag.get_text() for tag in tree.select("pre, p > code, td code"))))
        written.update(re.findall(r"\bundefined\b", " ".join(tag.get_text() for tag in tree.select("p"))))
    assert printed - written == Counter()


def test_numbers_are_those_of_the_site():
    printed = letters(" ".join(texts()))
    numbers = [tag.get_text() for page in PAGES for tag in article(page).select(".caption-number")]
    assert numbers
    assert [number for number in numbers if letters(number) not in printed] == []


def test_links_lead_somewhere(book):
    inside = {str(link.Dest) for link in links(book) if "/Dest" in link}
    assert len(inside) > 100
    assert sorted(inside - set(book.Root.Dests.keys())) == []
    pages = {page.objgen for page in book.pages}
    assert [name for name, target in book.Root.Dests.items() if target[0].objgen not in pages] == []


def test_external_links_are_kept(book):
    kept = {str(link.A.URI).rstrip("/") for link in links(book) if "/A" in link}
    assert [address for address in kept if not address.startswith(("https:", "http:", "mailto:"))] == []
    assert [address for address in kept if address.startswith(icl_pdf.ELSEWHERE)] == []
    wanted = {tag["href"].rstrip("/") for page in PAGES for tag in article(page).select("p a[href^=http]")}
    assert sorted(wanted - kept) == []


def test_fonts_are_embedded(book):
    bare = set()
    for font in book.objects:
        if isinstance(font, pikepdf.Dictionary) and font.get("/Type") == pikepdf.Name.Font:
            if font.get("/Subtype") in (pikepdf.Name.Type3, pikepdf.Name.Type0):
                continue  # the letters of a Type 3 font are in the font; those of a Type 0 font in its descendant
            held = font.get("/FontDescriptor", {})
            if not {"/FontFile", "/FontFile2", "/FontFile3"} & set(held.keys()):
                bare.add(str(font.get("/BaseFont")))
    assert bare == set()


def test_no_font_of_this_machine_slipped_in(book):
    fonts = {str(one.get("/BaseFont", "")).split("+")[-1].lstrip("/") for one in elements(book, "/Font", "/Type")}
    ours = ("STIXGeneral", "DejaVuSans", "MJX")  # DejaVuSansMono is code
    assert sorted(name for name in fonts if name and not name.startswith(ours)) == []


def test_nothing_is_cut_on_the_right():
    cut = []
    with pypdfium2.PdfDocument(icl_pdf.PDF) as pdf:
        for number, page in enumerate(pdf, 1):
            edge, text = page.get_width() - MARGIN + 2, page.get_textpage()  # 2 points: letters that lean
            for index in range(text.count_rects()):
                left, bottom, right, top = text.get_rect(index)
                if right > edge or left < MARGIN - 3:
                    cut.append((number, text.get_text_bounded(left, bottom, right, top)))
    assert cut[:10] == []
