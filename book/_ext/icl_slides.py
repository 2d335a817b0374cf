"""Slides of lectures, from plain Markdown and the figures of the executed chapters, as one HTML file for each lecture.

A source in book/slides is ordinary Markdown. A line ``---`` begins a slide, a comment is a note to the speaker, and
two kinds of images are taken from a notebook when the site is built, so that slides and chapters cannot disagree:

    ![What it shows](figure:04_one_head_one_step#head_and_step)
    ![Says the cell](<printed:08_the_loop#Settling test>)

The first is the figure that the chapter draws with ``icl.plots.head_and_step``, with its own alternative text; ``.2``
behind the name means the second one of that name. The other is what the first cell whose output contains the words
behind ``#`` has printed. The text in brackets is the caption. Links are written relative to the source, as on GitHub.
"""

import json
import re
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import unquote

from icl_book import inline_svg
from icl_project import NOTEBOOKS, ROOT
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from sphinx.errors import ExtensionError

SOURCES = ROOT / "book" / "slides"
NOTE = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)
DRAWN = re.compile(r"plots\.(?!show\b)(\w+)\(")
GLUE = re.compile(r'(<span class="math inline">[^<]*</span>[.,;:?!]+)')  # no line begins with a full stop
WIDE = 0.72  # a figure that is higher than this share of its width stands beside the text, not below it

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - slides</title>
<link rel="icon" href="../_static/favicon.svg">
<style>{style}</style>
<script type="module">{script}</script>
<script>window.MathJax = {{tex: {{inlineMath: [["\\\\(", "\\\\)"]]}}}}</script>
<script defer src="../mathjax/tex-mml-chtml.js"></script>
</head>
<body>
<main>
{slides}
</main>
<nav aria-label="Slides" hidden>
<button type="button" data-key="ArrowLeft" aria-label="Previous slide" title="Previous slide: arrow">&larr;</button>
<button type="button" data-key="ArrowRight" aria-label="Next slide" title="Next slide: arrow">&rarr;</button>
<button type="button" data-key="n" aria-label="Notes" title="Notes: N">N</button>
<button type="button" data-key="t" aria-label="Light or dark" title="Light or dark: T">T</button>
</nav>
</body>
</html>
"""


def lectures() -> list[Path]:
    """The Markdown sources, one a lecture."""
    return sorted(SOURCES.glob("*.md"))


@cache
def outputs(chapter: str) -> tuple[dict, dict]:
    """Two tables of a chapter: name -> SVG of its figures, and number -> text of what its cells have printed."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if not path.exists():
        raise ExtensionError(f"slides: no chapter {chapter}")
    figures, printed, seen = {}, {}, {}
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf8"))["cells"]):
        source = "".join(cell["source"])
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream" and output["name"] == "stdout":
                printed[number] = printed.get(number, "") + "".join(output["text"])
            svg = "".join(output.get("data", {}).get("image/svg+xml", ""))
            if svg and (drawn := DRAWN.search(source)):
                seen[drawn[1]] = seen.get(drawn[1], 0) + 1
                figures[f"{drawn[1]}.{seen[drawn[1]]}"] = svg
    return figures, printed


def figure(chapter: str, name: str) -> str:
    """The SVG that a chapter shows; ``name`` is the drawing function's, with ``.2`` for its second figure."""
    figures, _ = outputs(chapter)
    numbered = name if "." in name else f"{name}.1"
    if numbered not in figures:
        raise ExtensionError(f"slides: {chapter} shows no figure {name}; it shows {', '.join(figures)}")
    return figures[numbered]


def printed(chapter: str, words: str) -> str:
    """The whole output of the first cell of a chapter that prints ``words``."""
    for text in outputs(chapter)[1].values():
        if words in text:
            return text
    raise ExtensionError(f"slides: no cell of {chapter} prints {words!r}")


def aspect(svg: str) -> float:
    """Height over width."""
    _, _, width, height = map(float, re.search(r'viewBox="([^"]+)"', svg)[1].split())
    return height / width


def address(link: str) -> str:
    """Where a link of a source leads on the site: ``../syllabus.md`` is the page ``../book/syllabus.html``."""
    if re.match(r"[a-z]+:", link) or link.startswith("#"):
        return link
    target = (SOURCES / unquote(link.partition("#")[0])).resolve()
    if not target.exists():
        raise ExtensionError(f"slides: a link leads nowhere: {link}")
    page = target.relative_to(ROOT)
    here = page.parent == SOURCES.relative_to(ROOT)
    return page.with_suffix(".html").name if here else f"../{page.with_suffix('.html').as_posix()}"


def block(text: str, label: str) -> str:
    """Text as it stands, in letters as large as its longest line allows; it may scroll, so the keyboard reaches it."""
    columns = max(map(len, text.splitlines()))
    start = f'<pre tabindex="0" role="region" aria-label="{label}" style="--columns: {columns}">'
    return f"{start}{escape(text.rstrip())}</pre>"


def image(self, tokens, index, options, env) -> str:
    """A figure or an output of a chapter, with its caption and the chapter it is from."""
    token = tokens[index]
    kind, _, place = unquote(token.attrs["src"]).partition(":")
    chapter, _, name = place.partition("#")
    caption = self.renderInline(token.children or [], options, env)
    page = f'<a href="../notebooks/{chapter}.html">chapter {int(chapter[:2])}</a>'
    env["number"] += 1
    if kind == "figure":
        svg = figure(chapter, name)
        env["side"] = env["side"] or aspect(svg) > WIDE
        body = inline_svg(svg, f"fig{env['number']}-")
    elif kind == "printed":
        body = block(printed(chapter, name), f"Printed by chapter {int(chapter[:2])}")
    else:
        raise ExtensionError(f"slides: an image is figure:... or printed:..., not {token.attrs['src']}")
    words = f"{caption} " if caption else ""
    return f'<figure class="{kind}">{body}<figcaption>{words}<small>({page})</small></figcaption></figure>'


def link(self, tokens, index, options, env) -> str:
    tokens[index].attrs["href"] = address(tokens[index].attrs["href"])
    return self.renderToken(tokens, index, options, env)


def fence(self, tokens, index, options, env) -> str:
    return block(tokens[index].content, "Code")


def formula(content: str, options: dict) -> str:
    return rf"\[{escape(content)}\]" if options["display_mode"] else rf"\({escape(content)}\)"


def reader() -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": False}).enable("table")
    md.validateLink = lambda _: True
    md.use(dollarmath_plugin, renderer=formula, double_inline=True)
    md.add_render_rule("image", image)
    md.add_render_rule("link_open", link)
    md.add_render_rule("fence", fence)
    return md


def split(text: str) -> list[tuple[str, list[str]]]:
    """The slides of a source: each its Markdown, without comments, and its notes, without the rest."""
    return [(NOTE.sub("", part).strip(), NOTE.findall(part)) for part in re.split(r"^---$", text, flags=re.MULTILINE)]


def lecture(path: Path) -> str:
    """One lecture as a page."""
    md, slides, pages = reader(), split(path.read_text(encoding="utf8")), []
    title = re.match(r"# (.+)", slides[0][0])[1]
    env = {"number": 0}
    for number, (text, notes) in enumerate(slides, 1):
        env["side"] = False
        # A figure is not a paragraph, though Markdown makes it one.
        body = re.sub(r"<p>(<figure.*?</figure>)</p>", r"\1", md.render(text, env), flags=re.DOTALL)
        body = GLUE.sub(r'<span class="glued">\1</span>', body)
        heading, rest = re.match(r"(<h\d>.*?</h\d>)(.*)", body, flags=re.DOTALL).groups()
        kind = "title" if number == 1 else "side" if env["side"] else "plain"
        told = "".join(md.render(note, env) for note in notes)
        heading = heading.replace(">", f' id="h{number}">', 1)
        pages.append(
            f'<section id="{number}" class="{kind}" tabindex="-1" aria-labelledby="h{number}">\n{heading}\n'
            f'<div class="body">{rest}</div>\n'
            f'<div class="notes" role="note" aria-label="Notes">{told}</div>\n'
            f"<footer><span>{escape(title)}</span><span>{number} / {len(slides)}</span></footer>\n</section>"
        )
    style, script = ((SOURCES / f"slides.{kind}").read_text(encoding="utf8") for kind in ("css", "js"))
    return PAGE.format(title=escape(title), style=style, script=script, slides="\n".join(pages))


def write_slides(app, exception):
    if exception or app.builder.format != "html":
        return
    outputs.cache_clear()
    folder = Path(app.outdir) / "slides"
    folder.mkdir(exist_ok=True)
    for path in lectures():
        (folder / f"{path.stem}.html").write_text(lecture(path), encoding="utf8")


def setup(app):
    app.connect("build-finished", write_slides)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
