"""What each chapter takes, counted from its text and its measured cost: under its title, and as a table.

The table is the ``chapter-times`` directive. Under the title stand also the ways to run the chapter.

Reading is the words of its prose at 200 a minute, exercises the sum of the minutes that they name, both to the next
five minutes; the last column is the CPU time of all its cells. Counted when the page is built, so never out of date.
"""

import json
import math
import re
from html import escape

from docutils import nodes
from docutils.statemachine import StringList
from icl_project import CHAPTERS, COSTS, chapter_sources, repository_url
from sphinx.util.docutils import SphinxDirective

WORDS_A_MINUTE = 200
NOT_PROSE = re.compile(r"\A---.*?^---|^```.*?^```|\$\$.*?\$\$|^:::\{exercise\}.*?^:::$", re.MULTILINE | re.DOTALL)
AFTER = re.compile(r"^## Exercises$.*?(?=^## Say it back|\Z)", re.MULTILINE | re.DOTALL)
MINUTES = re.compile(r"^\*Difficulty \d of 3, importance \d of 3, (\d+) minutes", re.MULTILINE)


def rounded_up(minutes: float) -> int:
    return 5 * math.ceil(minutes / 5)


def times(path) -> tuple[str, int, int, int | None]:
    """A chapter's title, its minutes of reading and of exercises, and its CPU seconds (None: not measured)."""
    text = path.read_text(encoding="utf8")
    prose = NOT_PROSE.sub(" ", AFTER.sub(" ", text))
    title = re.search(r"^# (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)[1]
    exercises = sum(map(int, MINUTES.findall(text)))
    cost = json.loads(COSTS.read_text(encoding="utf8")).get(path.stem)
    return title, rounded_up(len(prose.split()) / WORDS_A_MINUTE), rounded_up(exercises), cost and cost["cpu_s"]


def table() -> list[str]:
    """The rows, as Markdown for a page in book/."""
    rows = ["| chapter | read, min | exercises, min | runs, s |", "|---|---|---|---|"]
    for path in chapter_sources():
        title, reading, exercises, seconds = times(path)
        link = f"[{int(path.stem[:2])} {title}](../notebooks/{path.stem}.ipynb)"
        rows.append(f"| {link} | {reading} | {exercises} | {'not measured' if seconds is None else seconds} |")
    return rows


class ChapterTimes(SphinxDirective):
    def run(self):
        for path in [COSTS, *chapter_sources()]:
            self.env.note_dependency(str(path))
        container = nodes.container()
        self.state.nested_parse(StringList(table(), source="chapter-times"), self.content_offset, container)
        return container.children


def line(stem: str) -> str:
    """What a reader wants to know under a chapter's title: how long it takes, and where it can be run."""
    path = CHAPTERS / f"{stem}.md"
    _, reading, _, _ = times(path)
    cost = json.loads(COSTS.read_text(encoding="utf8")).get(stem)
    runs = f", {cost['cpu_s']}&nbsp;s to run (measured on a CPU, {cost['peak_mb']}&nbsp;MB)" if cost else ""
    _, owner, name = repository_url().rsplit("/", 2)
    notebook = f"{owner}/{name}/blob/main/notebooks/{stem}.ipynb"
    ways = {
        f"https://colab.research.google.com/github/{notebook}": "Open in Colab",
        f"https://mybinder.org/v2/gh/{owner}/{name}/main?urlpath=lab/tree/notebooks/{stem}.ipynb": "Open on Binder",
        f"../_sources/notebooks/{stem}.ipynb": "Download the notebook",
    }
    links = "".join(
        f'<li><a href="{escape(address)}"{" download" if address.startswith("..") else ""}>{text}</a></li>'
        for address, text in ways.items()
    )
    return f'<div class="icl-run"><p>{reading}&nbsp;min to read{runs}</p><ul>{links}</ul></div>'


def add_line(app, pagename, templatename, context, doctree):
    folder, _, stem = pagename.partition("/")
    if folder == "notebooks" and app.builder.name == "html" and (CHAPTERS / f"{stem}.md").exists():
        context["body"] = context["body"].replace("</h1>", "</h1>\n" + line(stem), 1)


def setup(app):
    app.connect("html-page-context", add_line, priority=600)
    app.add_directive("chapter-times", ChapterTimes)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
