"""Markdown that reads well without MyST: what a notebook's reader meets on Colab, on GitHub and in JupyterLab.

``plain`` puts words in the place of roles and directives and keeps what stood there in a comment, which none of these
shows. ``restore`` undoes it, character by character, before Sphinx reads the notebook:

    see {prf:ref}`thm-descent`    <->    see <!--{prf:ref}`thm-descent`-->Theorem “Descent”<!--/-->
"""

import json
import re
from functools import cache

from icl_project import CHAPTERS, ROOT, site_url

ROLE = re.compile(r"\{(?P<role>[a-z]+(?::[a-z]+)?)\}`(?P<target>[^`]+)`")
OPENING = re.compile(r"(?P<fence>:{3,})\{(?P<name>[a-z:]+)\} *(?P<title>.*)")
OPTION = re.compile(r":[a-z-]+:.*")
CLOSING = re.compile(r":{3,}")
LABELLED = re.compile(r"^:{3,}\{([a-z:]+)\} *(.*)\n(?::(?!label)[a-z-]+:.*\n)*:label: *(\S+)", re.MULTILINE)
TARGET = re.compile(r"^\(([a-z0-9-]+)\)=\n+#+ *(.+)$", re.MULTILINE)
TARGET_LINE = re.compile(r"\([a-z0-9-]+\)=")
LINK = re.compile(r"\]\((?:\.\./book/([a-z_/]+)\.md|([0-9]{2}_[a-z0-9_]+)\.ipynb)(#[^)\s]*)?\)")
SITE_LINK = re.compile(rf"\]\({re.escape(site_url())}(book|notebooks)/([a-z0-9_/]+)\.html(#[^)\s]*)?\)")
MARKED = re.compile(
    r"<!--(:{3,}\{.*?)-->\n\n.*?<!--/-->\n\n"  # a directive's beginning
    r"|<!--(:{3,}|\{.*?`|\([a-z0-9-]+\)=)-->.*?<!--/-->",  # its end; a role; a target
    re.DOTALL,
)
WORDS = {"prf:proof": "*Proof.*", "quiz": "**Question.**"}


@cache
def titles() -> dict[str, str]:
    """What to call each label of the book: ``Theorem “Descent”``, or the heading that a target stands above."""
    found = {}
    for path in sorted([*CHAPTERS.glob("*.md"), *(ROOT / "book").glob("*.md")]):
        text = path.read_text(encoding="utf8")
        for name, title, label in LABELLED.findall(text):
            found[label] = name.removeprefix("prf:").capitalize() + (f" “{title}”" if title else "")
        found |= {label: f"“{heading}”" for label, heading in TARGET.findall(text)}
    return found


@cache
def cited() -> dict[str, tuple[str, str]]:
    """Authors and year of each entry of the bibliography."""
    from pybtex.database import parse_file

    found = {}
    for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [re.sub(r"[{}\\]", "", " ".join(p.prelast_names + p.last_names)) for p in people]
        short = names[0] + " et al." if len(names) > 2 else " and ".join(names)
        found[key] = (short, entry.fields.get("year", "n.d."))
    return found


def words(role: str, target: str) -> str:
    """What a role says, in words; KeyError if its target is not in the book."""
    own = re.fullmatch(r"(.+?)\s*<[^>]+>", target)
    if own:
        return own[1]
    if role.startswith("cite"):
        pairs = [cited()[key.strip()] for key in target.split(",")]
        form = "{} ({})" if role == "cite:t" else "{}, {}"
        text = "; ".join(form.format(*pair) for pair in pairs)
        return text if role == "cite:t" else f"({text})"
    return titles()[target]


def plain_inline(line: str) -> str:
    """One line of prose: roles become words, links to other pages of the book lead to the published ones."""

    def link(found):
        folder, stem = ("book", found[1]) if found[1] else ("notebooks", found[2])
        return f"]({site_url()}{folder}/{stem}.html{found[3] or ''})"

    def role(found):
        return f"<!--{found[0]}-->{words(found['role'], found['target'])}<!--/-->"

    return ROLE.sub(role, LINK.sub(link, line))


def plain_opening(name: str, title: str) -> str:
    """How a directive begins, in words."""
    title = ROLE.sub(lambda found: words(found["role"], found["target"]), title)
    if name == "dropdown":
        return f"<details><summary>{title}</summary>"
    if name in WORDS:
        return f"{WORDS[name]} {title}".rstrip()
    kind = "" if name == "admonition" else name.removeprefix("prf:").capitalize()
    return f"**{kind} ({title}).**" if kind and title else f"**{kind or title}.**"


def plain(text: str) -> str:
    """The text of a Markdown cell, readable without MyST."""
    lines, out, open_directives, in_code = text.split("\n"), [], [], False
    while lines:
        line = lines.pop(0)
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and (opening := OPENING.fullmatch(line)):
            head = [line]
            while lines and OPTION.fullmatch(lines[0]):
                head.append(lines.pop(0))
            open_directives.append(opening["name"])
            words_ = plain_opening(opening["name"], opening["title"])
            out.append("<!--" + "\n".join(head) + f"\n-->\n\n{words_}<!--/-->\n")
            continue
        elif not in_code and open_directives and CLOSING.fullmatch(line):
            end = "</details>" if open_directives.pop() == "dropdown" else ""
            out.append(f"<!--{line}-->{end}<!--/-->")
            continue
        elif not in_code and TARGET_LINE.fullmatch(line):
            out.append(f"<!--{line}--><!--/-->")
            continue
        out.append(line if in_code else plain_inline(line))
    return "\n".join(out)


def restore(text: str) -> str:
    """The text that ``plain`` was given."""
    text = MARKED.sub(lambda found: found[1] or found[2], text)

    def link(found):
        page = f"{found[2]}.ipynb" if found[1] == "notebooks" else f"../book/{found[2]}.md"
        return f"]({page}{found[3] or ''})"

    return SITE_LINK.sub(link, text)


def reworded(path) -> str | None:
    """A notebook with the present words in its prose; None where that is what the file says already."""
    old = path.read_text(encoding="utf8")
    notebook = json.loads(old)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = plain(restore("".join(cell["source"])))
    new = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return None if new == old else new


def restore_notebook(app, docname, source):
    """Hand Sphinx each chapter's own text (on ``source-read``)."""
    if docname.startswith("notebooks/"):
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = restore("".join(cell["source"]))
        source[0] = json.dumps(notebook)
