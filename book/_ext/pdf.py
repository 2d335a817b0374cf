"""Prints the built book: ``python book/_ext/pdf.py [HTML FOLDER] [PDF]``, after ``make book``.

A Chromium that is already there prints every chapter as a document (see icl_pdf), whose pages count on from the last
one, and the documents are joined (see icl_join). The table of contents is printed twice: its length must be known
before the first chapter is printed, and the numbers in it are known after the last. (Chromium does not finish printing
the whole book as one document.)
"""

import re
import sys
import time
import tomllib
from io import BytesIO
from pathlib import Path

import icl_pdf
import pikepdf
import pypdfium2
from icl_chromium import FLAGS, browser_path, open_page
from icl_join import Book
from icl_project import HTML, ROOT
from playwright.sync_api import sync_playwright

TEXT_WIDTH = 612  # 162 mm in pixels of 1/96 inch: A4 without the margins that print.css gives it

MARGIN = 24 * 72 / 25.4  # the browser forgets the upper margin where it says how high a target stands

PAGE, TOP, BOTTOM = 297, 24, 22  # mm: the height of a page and its margins, as in print.css
GAP = 0.18  # of the text's height: the empty foot of a page that is worth filling with a smaller figure
SMALLEST = 0.62  # of a figure's size: letters of 6 points
FEW = 0.1  # of the text's height: so little on the last page of a chapter moves to the one before

# How large a figure is drawn, and how high it is with what must stay with it: what its cell prints, and its caption.
MEASURE = """id => {
  const figure = document.getElementById(id), cell = figure.closest(".cell"), next = cell && cell.nextElementSibling;
  const caption = next && next.matches("p:has(> em:only-child)") ? next : cell || figure;
  const box = figure.querySelector("svg").getBoundingClientRect();
  const inline = caption.getBoundingClientRect().bottom - figure.getBoundingClientRect().top;
  return [box.width, box.height, inline];
}"""
RESIZE = """([id, width]) => { document.getElementById(id).querySelector("svg").style.maxWidth = width + "px"; }"""
CLOSER = "height => { document.documentElement.style.lineHeight = height; }"

# A formula, a table or a line of code that is wider than the text is set in smaller letters, as small as it must be.
FIT = """width => {
  const small = [];
  const fit = (box, inner) => {
    const room = box.getBoundingClientRect().width || width;
    let size = 100;
    while (inner.getBoundingClientRect().width > room + 0.5 && size > 50) {
      size -= 4;
      inner.style.setProperty("font-size", size + "%", "important");
    }
    if (size < 100) small.push([size, inner.textContent.trim().slice(0, 60)]);
  };
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    const inner = formula.querySelector("mjx-math");
    if (inner) fit(formula.parentElement, inner);
  }
  for (const table of document.querySelectorAll("table")) fit(table.parentElement, table);
  return small;
}"""
# All of them: what stands in the margins of a page does not ask for its fonts.
FONTS = "() => Promise.all([...document.fonts].map(font => font.load()))"
TOO_WIDE = """width => document.scrollingElement.scrollWidth <= width ? [] :
  [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(one => one.outerHTML.slice(0, 200))"""
# A screen reader says the formula's TeX. The letters of a formula belong to style sheets, and the browser gives a place
# in the structure to real text only: hence the space.
SPEAK = """() => {
  for (const item of MathJax.startup.document.math) {
    item.typesetRoot.setAttribute("role", "img");
    item.typesetRoot.setAttribute("aria-label", item.math.replace(/\\s+/g, " ").trim());
    const space = document.createElement("span");
    space.textContent = "\\u00a0";
    space.style.fontSize = "1px";
    item.typesetRoot.append(space);
  }
}"""
NUMBER = """numbers => document.querySelectorAll("#contents li > a").forEach((link, row) => {
  link.querySelector("b").textContent = numbers[row];
})"""


def empty_feet(data: bytes) -> list[float]:
    """Of every page: the share of the text's height that is empty at its foot."""
    found = []
    with pypdfium2.PdfDocument(data) as pdf:
        for page in pdf:
            ink = page.render(scale=0.5, grayscale=True).to_numpy().squeeze() < 250
            height = len(ink) / PAGE
            rows = ink[round(height * TOP) : round(height * (PAGE - BOTTOM))].any(axis=1)
            found.append(1 - (rows.nonzero()[0].max(initial=-1) + 1) / len(rows))
    return found


def tops(data: bytes) -> dict[int, str]:
    """The figures that stand at the top of a page: the number of the page, from zero, and the figure's id."""
    with pikepdf.open(BytesIO(data)) as pdf:
        order = {page.objgen: number for number, page in enumerate(pdf.pages)}
        height = float(pdf.pages[0].mediabox[3])
        places = [(name[1:], *target) for name, target in pdf.Root.get("/Dests", {}).items()]
        return {
            order[page.objgen]: name
            for name, page, _, _, top, *_ in places
            if icl_pdf.FIGURE_ID in name and float(top) > height - MARGIN / 2
        }


def filled(view) -> bytes:
    """The PDF of the open document, where figures that left much of a page empty are made to fit there, if they can."""
    data, done = printed(view), set()
    while True:
        feet = empty_feet(data)
        for page, figure in sorted(tops(data).items()):
            if page == 0 or figure in done or feet[page - 1] < GAP:
                continue
            done.add(figure)
            width, height, whole = view.evaluate(MEASURE, figure)
            room = feet[page - 1] * (PAGE - TOP - BOTTOM) * 96 / 25.4 - 16  # 16 pixels: a margin that was cut off
            share = (room - (whole - height)) / height
            if SMALLEST <= share < 1:
                view.evaluate(RESIZE, [figure, share * width])
                data = printed(view)
                break
        else:
            return data


def laid_out(view, source: Path) -> list:
    """Open a document at the width of the printed text, typeset and fitted; returns what had to become smaller."""
    open_page(view, source.as_uri())
    view.evaluate(FONTS)
    if view.query_selector(".math"):
        view.evaluate(SPEAK)
    small = view.evaluate(FIT, TEXT_WIDTH)
    if wide := view.evaluate(TOO_WIDE, TEXT_WIDTH):
        sys.exit(f"{source.name}: wider than the page: {wide}")
    return small


def window(browser):
    view = browser.new_page(viewport={"width": TEXT_WIDTH, "height": 900})
    view.emulate_media(media="print", color_scheme="light")
    view.set_default_timeout(120_000)
    return view


def printed(view, numbers: list[int] | None = None) -> bytes:
    """The PDF of the open document; the numbers are those of the table of contents."""
    if numbers:
        view.evaluate(NUMBER, numbers)
    return view.pdf(prefer_css_page_size=True, print_background=True, tagged=True, outline=True)


def well_filled(view) -> bytes:
    """The same, with lines a little closer where that saves the last page."""
    data = filled(view)
    feet = empty_feet(data)
    for height in ("1.345", "1.31") if len(feet) > 2 and feet[-1] > 1 - FEW else ():  # print.css says 1.38
        view.evaluate(CLOSER, height)
        closer = filled(view)
        if len(empty_feet(closer)) < len(feet):
            return closer
    return data


def finish(pdf: pikepdf.Pdf, authors: str, out: Path) -> None:
    """Say what the document is, let it open with its outline, and write it small."""
    with pdf.open_metadata(set_pikepdf_as_editor=False) as meta:
        meta["dc:title"] = icl_pdf.TITLE
        meta["dc:creator"] = [authors]
        meta["dc:description"] = icl_pdf.SUBTITLE
        meta["dc:language"] = [icl_pdf.LANGUAGE]
    pdf.docinfo["/Title"] = icl_pdf.TITLE
    pdf.docinfo["/Author"] = authors
    pdf.docinfo["/Subject"] = icl_pdf.SUBTITLE
    pdf.Root.PageMode = pikepdf.Name.UseOutlines
    pdf.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    pdf.save(
        out,
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
        compress_streams=True,
        recompress_flate=True,
        linearize=False,
    )


def pages_of_targets(data: bytes) -> tuple[int, dict[str, int]]:
    """How many pages a document has, and on which of them, from zero, each target of a link stands."""
    with pikepdf.open(BytesIO(data)) as pdf:
        order = {page.objgen: number for number, page in enumerate(pdf.pages)}
        found = {name[1:]: order[target[0].objgen] for name, target in pdf.Root.get("/Dests", {}).items()}
        return len(order), found


def print_all(documents, settings: dict, folder: Path, say) -> list[bytes]:
    """The PDF of every document, with page numbers that count on, and with the numbers in the table of contents."""
    targets, rows = icl_pdf.linked(documents), re.findall(r'<a href="#([^"]+)"><span>', documents[0].body)
    prints, first, where = [], 1, {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), headless=True, args=FLAGS)
        front, other = window(browser), window(browser)
        for document in documents:
            view = other if prints else front
            source = folder / f"{document.name.replace('/', '-')}.html"
            source.write_text(document.html(first, targets, settings), encoding="utf8")
            small = laid_out(view, source)
            prints.append(well_filled(view) if view is other else printed(view, ["000"] * len(rows)))
            length, found = pages_of_targets(prints[-1])
            where |= {name: first + page for name, page in found.items()}
            say(f"{document.name}, pages {first} to {first + length - 1}{f'; made smaller: {small}' if small else ''}")
            first += length
        before = pages_of_targets(prints[0])[0]
        prints[0] = printed(front, [where[row] for row in rows])
        browser.close()
    if pages_of_targets(prints[0])[0] != before:
        sys.exit("the numbers in the table of contents have moved the pages")
    return prints


def main(html: Path = HTML, out: Path = icl_pdf.PDF) -> None:
    start = time.perf_counter()

    def say(words):
        print(f"{time.perf_counter() - start:6.1f} s  {words}", flush=True)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    authors = ", ".join(author["name"] for author in project["authors"])
    folder = out.parent / "documents"
    folder.mkdir(parents=True, exist_ok=True)
    documents = icl_pdf.documents(html, authors, project["version"])[0]
    prints = print_all(documents, icl_pdf.settings(html), folder, say)
    book = Book(icl_pdf.ELSEWHERE, MARGIN)
    for document, data in zip(documents, prints, strict=True):
        book.add(data, document.level)
    if missing := book.finish(icl_pdf.LANGUAGE):
        sys.exit(f"links that lead nowhere: {missing}")
    finish(book.pdf, authors, out)
    say(f"{len(book.pdf.pages)} pages, {out.stat().st_size / 1e6:.1f} MB: {out}")


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
