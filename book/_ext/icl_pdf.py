"""The built pages made ready for a browser to print: a plain document for each chapter, and what stands around them.

What is printed is what the site shows: numbers, references and figures are already in the pages, and are not made a
second time. A page's ids get the page's name in front, and links between pages become links of the one book. What only
a screen can do is undone: what was folded is open, a hidden solution stands at the end of its chapter, a quiz is
followed by its answers, and a part that moves is a still picture with a word about where it moves.
"""

import os
import posixpath
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from icl_project import ROOT, site_url
from icl_site import SITE as TITLE
from icl_site import SUBTITLE

PDF = Path(os.environ.get("PDF", ROOT / "_build" / "pdf" / "the-layer-is-the-step.pdf"))  # tests may look elsewhere
LANGUAGE = "en"
PREFACE = "Preface"  # the root page is called like the book; in the book it is the preface
WASTE = ".headerlink, .viewcode-link, script, style, .toctree-wrapper, .icl-run ul, [aria-hidden=true]"
MOVING = ".text_html, .ex, iframe"
CONTROLS = "button, input, select, textarea, output, canvas, iframe, video, audio"
ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
PRE = re.compile(r"<pre>(.*?)</pre>", re.DOTALL)
STASHED = re.compile(r"<icl-stash[^>]*>(\d+)</icl-stash>")
FIGURE_ID = "--drawing-"  # in the ids of figures; pdf.py asks where they stand
FIGURES = ".icl-figure, .cell_output .text_html icl-stash.svg, img"
HEADING = re.compile("^h[1-6]$")
ELSEWHERE = "https://book.invalid/#"  # a link to another document of the book, until they are joined
TARGET = re.compile(r'href="#([^"]+)"')
# What is true of the screen only, and what is said in its place; a test looks whether the pages still say it.
ON_PAPER = {
    "In a notebook, double-click the questions to see the answers.": "The answers stand at the end of the chapter.",
    "asks three questions that the page answers as you choose.": "asks three questions.",
    "(In a notebook the replies are comments in the cell: double-click it.)": "",
    "Solutions on the page are folded.": "Answers and solutions stand at the end of a chapter.",
    "Drag the slider, use the arrow keys, or press Play.": "",
    "Answers are folded.": "An answer follows each question.",
}


@dataclass
class Part:
    """A part of the table of contents: its caption, its number (0: none), and the names of its pages."""

    caption: str
    number: int
    pages: list[str]


@dataclass
class Page:
    """A page as it is printed: its heading, its sections as (id, heading as HTML), its HTML, and its figures."""

    name: str
    title: str
    sections: list[tuple[str, str]]
    html: str
    figures: int


@dataclass
class Document:
    """What is printed in one go: body, what stands above its pages (left, right), its depth in the outline."""

    name: str
    body: str
    head: tuple[str, str] = ("", "")
    level: int = 2
    footer: bool = True

    def html(self, first: int, targets: set[str], settings: dict) -> str:
        """The document whose first page has this number; it marks those of the targets that lie in it."""
        ids = set(re.findall(r'\sid="([^"]+)"', self.body))
        own, figures = targets & ids, {one for one in ids if FIGURE_ID in one}
        body = TARGET.sub(lambda m: m[0] if m[1] in own else f'href="{ELSEWHERE}{m[1]}"', self.body)
        # The browser marks what a link of the same document leads to; these links are not seen.
        marks = "".join(f'<a href="#{one}"></a>' for one in sorted(own | figures))
        left, right = map(css_string, self.head)
        rules = (
            f"@page {{ @top-left {{ content: {left} }} @top-right {{ content: {right} }} }}\n"
            "@page :first { @top-left { content: none } @top-right { content: none } }\n"
            f"html {{ counter-reset: page {first - 1} }}\n"
        )
        if not self.footer:
            rules += "@page :first { @bottom-center { content: none } }\n"
        return PAGE.format(**settings, rules=rules, body=f"{body}<div hidden>{marks}</div>")


def parts() -> tuple[str, list[Part]]:
    """The name of the root page, and the parts after it."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    found, number = [], 0
    for part in toc["parts"]:
        number += bool(part.get("numbered"))
        pages = [entry["file"] for entry in part["chapters"]]
        found.append(Part(part["caption"], number if part.get("numbered") else 0, pages))
    return toc["root"], found


def slug(name: str) -> str:
    """What stands in front of a page's ids, and is the id of the page."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def anchor(name: str, fragment: str) -> str:
    return f"{slug(name)}--{fragment}" if fragment else slug(name)


class Reader:
    """Reads built pages one after the other; what a hidden cell has shown once is not printed again."""

    def __init__(self, html: Path, names: list[str]):
        self.html, self.names, self.seen, self.kept = html, set(names), set(), []
        numbered = [name for part in parts()[1] if part.number for name in part.pages]
        self.numbers = {slug(name): number for number, name in enumerate(numbered, 1)}

    def page(self, name: str, level: int) -> Page:
        """A page whose h1 becomes a heading of this level."""
        text = (self.html / f"{name}.html").read_text(encoding="utf8")
        article = text[text.index("<article") : text.index("</article>")]
        article = SVG.sub(lambda found: self.stash(found[0], slug(name)), article[article.index(">") + 1 :])
        article = PRE.sub(lambda found: f"<pre>{self.keep(found[1], 'pre')}</pre>", article)
        for screen, paper in ON_PAPER.items():
            article = spaced(screen).sub(paper, article)
        tree = BeautifulSoup(article, "html.parser")
        for waste in tree.select(WASTE):
            waste.decompose()
        tidy(tree)
        self.still(tree, name)
        self.printed_once(tree)
        solutions = [*answers(tree), *gathered(tree)]
        if solutions:
            add_solutions(tree, solutions)
        unfold(tree)
        figures = len(tree.select(FIGURES))
        heading = tree.h1
        if name == "book/index":
            heading.string = PREFACE
        for old in tree.find_all(HEADING):
            old.name = f"h{min(6, int(old.name[1]) - 1 + level)}"
        self.rewire(tree, name)
        sections = [(one.find_parent("section")["id"], one.decode_contents()) for one in tree.find_all(f"h{level + 1}")]
        html = STASHED.sub(lambda found: self.kept[int(found[1])], str(tree))
        return Page(name, heading.get_text(), sections, html, figures)

    def keep(self, html: str, kind: str) -> str:
        """Put something large aside in which nothing changes, and return what stands for it; equal texts are one."""
        if html not in self.kept:
            self.kept.append(html)
        return f'<icl-stash class="{kind}">{self.kept.index(html)}</icl-stash>'

    def stash(self, svg: str, prefix: str) -> str:
        """Put a picture aside, its ids prefixed; the arrows of what unfolds go."""
        if "sd-octicon" in svg:
            return ""
        return self.keep(re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg), "svg")

    def still(self, tree, name: str) -> None:
        """Leave the picture of an interactive part, without its controls, and say where it moves."""
        for part in tree.select(MOVING):
            whole = part.name == "iframe" or "ex" in part["class"]
            if not (whole or part.select_one(CONTROLS)):
                continue
            address = f"{site_url()}{name}.html#{part.find_parent('section')['id']}"
            words = "this part can be moved by hand" if whole else "this picture moves"
            link = f'<a href="{address}">{address}</a>'
            part.insert_after(tag(tree, f'<p class="interactive">On the site of the book {words}: {link}</p>'))
            for control in [part] if whole else part.select(CONTROLS):
                control.decompose()

    def printed_once(self, tree) -> None:
        """Leave out a folded cell that only repeats one: every chapter imports the library in the same way."""
        for cell in tree.select(".cell.tag_hide-input"):
            code = cell.get_text()
            if code in self.seen and not cell.select_one(".cell_output"):
                cell.decompose()
            self.seen.add(code)

    def rewire(self, tree, name: str) -> None:
        """Prefix ids, and turn links to other pages of the book into links within this one."""
        for tag in tree.find_all(True):
            for attribute in ("title", "tabindex", "role" if tag.name == "div" else "tabindex"):
                tag.attrs.pop(attribute, None)
            if "id" in tag.attrs:
                tag["id"] = anchor(name, tag["id"])
            if "href" in tag.attrs:
                tag["href"] = self.address(tag["href"], name)
                self.say_chapter(tag, name)
            if "src" in tag.attrs:
                tag["src"] = (self.html / posixpath.dirname(name) / unquote(tag["src"])).resolve().as_uri()

    def say_chapter(self, link: Tag, name: str) -> None:
        """Behind a link to another chapter, say its number, unless a number stands there: paper has no links."""
        page, after = link["href"].removeprefix("#").split("--")[0], str(link.next_sibling or "")
        if page not in self.numbers or page == slug(name) or link.find_parent(HEADING):
            return
        if not re.search(r"\d", link.get_text()) and not re.match(r"\W*ch(\.|apter) \d", after):
            words = (", ch. {}" if after.startswith(")") else " (ch. {})").format(self.numbers[page])
            link.insert_after(tag(link, f'<span class="where">{words}</span>'))

    def address(self, link: str, name: str) -> str:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return link
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path)))
        page = name if not parts.path else target.removesuffix(".html")
        if page in self.names:
            return "#" + anchor(page, unquote(parts.fragment))
        return f"{site_url()}{target}" + (f"#{parts.fragment}" if parts.fragment else "")


def spaced(words: str) -> re.Pattern:
    """Finds these words wherever their lines break."""
    return re.compile(r"\s+".join(map(re.escape, words.split())))


def tidy(tree) -> None:
    """Make lists of functions breakable and captions whole, and number the figures."""
    for call in tree.select("table.autosummary td:first-child"):
        for words in call.find_all(string=True):
            words.replace_with(words.replace("\u00a0", " "))
    for caption in tree.select("table > caption"):
        caption.name, caption["class"] = "p", "table-caption"
        caption.attrs.pop("style", None)
        caption.parent.insert_before(caption)
    for number, figure in enumerate(tree.select(".icl-figure")):
        figure["id"] = f"drawing-{number}"


def answers(tree) -> list[Tag]:
    """Make questions of quizzes, numbered by page, and return the answers: one paragraph for each question."""
    found = []
    for number, quiz in enumerate(tree.select("fieldset.quiz"), 1):
        name = f"question-{number}"
        quiz.name, quiz["id"] = "div", name
        legend = quiz.legend
        legend.name = "p"
        legend.insert(0, tag(tree, f'<span class="number">Question {number}. </span>'))
        replies = tree.new_tag("ol", attrs={"class": "answers", "type": "a"})
        options = tree.new_tag("ol", attrs={"class": "options", "type": "a"})
        for option in quiz.select(".quiz-option"):
            one = tree.new_tag("li")
            one.extend(list(option.label.contents))
            options.append(one)
            reply = option.select_one("[role=status] > p").extract()
            reply.name = "li"
            replies.append(reply)
            option.decompose()
        quiz.append(options)
        answer = tree.new_tag("div", attrs={"class": "answer"})
        answer.append(tag(tree, f'<p class="solution-title">Answer to <a href="#{name}">Question {number}</a></p>'))
        answer.append(replies)
        found.append(answer)
    return found


def gathered(tree) -> list[Tag]:
    """Take out what is folded away behind each exercise, up to the next one: its solution."""
    found = []
    for exercise in tree.select("div.exercise"):
        hidden = []
        for sibling in exercise.find_next_siblings(True):
            classes = sibling.get("class", [])
            if "exercise" in classes or sibling.name == "section":
                break
            folded = {"tag_hide-cell", "tag_hide-output"} & set(classes)
            folded = folded or (sibling.name == "details" and sibling.summary.get_text().strip() == "Solution")
            if folded:
                hidden.append(sibling)
        if not hidden:
            continue
        title = exercise.select_one(".admonition-title")
        number = title.select_one(".caption-number").get_text().strip()
        rest = title.get_text().strip().removeprefix(number)
        solution = tree.new_tag("div", attrs={"class": "solution"})
        link = f'<a href="#{exercise["id"]}">{escape(number)}</a>{escape(rest)}'
        solution.append(tag(tree, f'<p class="solution-title">Solution of {link}</p>'))
        solution.extend([one.extract() for one in hidden])
        found.append(solution)
    return found


def add_solutions(tree, solutions: list[Tag]) -> None:
    """Put answers and solutions at the end of the page: into its section of that name, if it has one."""
    page = tree.find("section")
    own = page.find("section", id="solutions")
    if own is None:
        own = tag(tree, '<section id="solutions"><h2>Answers and solutions</h2></section>')
    else:
        own.find(HEADING).name = "h2"
    page.append(own.extract())
    own.extend(solutions)


def unfold(tree) -> None:
    """Open everything that is folded; a heading of its own it keeps, a 'show code' it loses."""
    for folded in tree.select("details"):
        folded.name = "div"
        summary = folded.summary
        words = summary.get_text().strip()
        code = "hide" in folded.get("class", [])
        if code or (words == "Solution" and folded.find_parent(class_="solution")):
            summary.decompose()
        else:
            summary.name, summary["class"] = "p", "solution-title"
        folded["class"] = "hidden-code" if code else "unfolded"


def tag(tree, html: str) -> Tag:
    return BeautifulSoup(html, "html.parser").find(True).extract()


def contents(root: Page, groups: list[tuple[Part, list[Page]]]) -> str:
    """The table of contents; the page numbers are filled in once they are known."""

    def line(kind: str, target: str, words: str) -> str:
        return f'<li class="{kind}"><a href="#{target}"><span>{words}</span><span class="leader"></span><b></b></a>'

    rows = [line("toc-chapter", slug(root.name), PREFACE) + "</li>"]
    for part, pages in groups:
        rows.append(line("toc-part", f"part-{slug(part.caption)}", part_title(part)) + "</li>")
        for page in pages:
            rows.append(line("toc-chapter", slug(page.name), escape(page.title)))
            inner = [line("toc-section", target, words) + "</li>" for target, words in page.sections]
            rows.append(f"<ol>{''.join(inner)}</ol></li>" if inner else "</li>")
    return f'<nav id="contents" aria-label="Contents"><h1>Contents</h1><ol>{"".join(rows)}</ol></nav>'


def part_title(part: Part) -> str:
    return f"Part {ROMAN[part.number]}. {escape(part.caption)}" if part.number else escape(part.caption)


def css_string(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ") + '"'


def chapter(page: Page) -> str:
    return f'<div class="chapter" id="{slug(page.name)}">{page.html}</div>'


PAGE = """<!doctype html>
<html lang="{language}" data-theme="light">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="{static}/pygments.css">
<style>{fonts}</style>
<link rel="stylesheet" href="{style}">
<style>{rules}</style>
<script>window.MathJax = {{
  options: {{processHtmlClass: "tex2jax_process|mathjax_process|math|output_area", enableMenu: false,
             menuOptions: {{settings: {{assistiveMml: false}}}}}}
}}</script>
<script defer src="{mathjax}/tex-mml-chtml.js"></script>
</head>
<body>
{body}
</body>
</html>
"""

FONTS = {
    ("Book", 400, "normal"): "STIXGeneral",
    ("Book", 400, "italic"): "STIXGeneralItalic",
    ("Book", 700, "normal"): "STIXGeneralBol",
    ("Book", 700, "italic"): "STIXGeneralBolIta",
    ("Drawing", 400, "normal"): "DejaVuSans",
    ("Code", 400, "normal"): "DejaVuSansMono",
    ("Code", 400, "italic"): "DejaVuSansMono-Oblique",
    ("Code", 700, "normal"): "DejaVuSansMono-Bold",
}


def font_faces() -> str:
    """Fonts out of matplotlib's package: the same letters on every machine, and nothing to install."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return "\n".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {style}; '
        f'src: url("{(folder / f"{name}.ttf").as_uri()}") }}'
        for (family, weight, style), name in FONTS.items()
    )


def settings(html: Path) -> dict:
    """What all documents have in common."""
    return {
        "language": LANGUAGE,
        "title": escape(TITLE),
        "static": (html / "_static").as_uri(),
        "mathjax": (html / "mathjax").as_uri(),
        "style": (ROOT / "book" / "assets" / "print.css").as_uri(),
        "fonts": font_faces(),
    }


def documents(html: Path, authors: str, version: str) -> tuple[list[Document], list[Page]]:
    """The book in the order of reading, and its pages; the first document is title page and table of contents."""
    root_name, found = parts()
    reader = Reader(html, [root_name, *(name for part in found for name in part.pages)])
    root = reader.page(root_name, level=1)
    groups = [(part, [reader.page(name, level=2) for name in part.pages]) for part in found]
    front = title_page(authors, version) + contents(root, groups)
    made = [
        Document("contents", front, (TITLE, "Contents"), level=1, footer=False),
        Document(root.name, chapter(root), (TITLE, PREFACE), level=1),
    ]
    for part, pages in groups:
        listed = "".join(f'<li><a href="#{slug(page.name)}">{escape(page.title)}</a></li>' for page in pages)
        number = f'<p class="part-number">Part {ROMAN[part.number]}</p>' if part.number else ""
        name = f"part-{slug(part.caption)}"
        body = f'<section class="part" id="{name}">{number}<h1>{escape(part.caption)}</h1><ul>{listed}</ul></section>'
        made.append(Document(name, body, level=1, footer=False))
        made += [Document(page.name, chapter(page), (part_title(part), page.title)) for page in pages]
    return made, [root, *(page for _, pages in groups for page in pages)]


def linked(documents: list[Document]) -> set[str]:
    """Every id that a link of the book leads to."""
    return {target for document in documents for target in TARGET.findall(document.body)}


def title_page(authors: str, version: str) -> str:
    site = site_url()
    return (
        f'<div class="title-page"><p class="title">{escape(TITLE)}</p><p class="subtitle">{escape(SUBTITLE)}</p>'
        f'<p class="authors">{escape(authors)}</p><p class="edition">Version {escape(version)}</p>'
        f'<div class="colophon"><p>This is the book of <a href="{site}">{site}</a>, printed from its pages: the same '
        "text, figures and numbers. Code that the site folds away is open here; answers and solutions stand at the end "
        "of their chapter. The first cell, which imports the library, is printed in the first chapter only. What moves "
        "on the site stands still here. Text and figures: CC BY 4.0. Code: BSD 3-Clause.</p></div></div>"
    )
