"""Formulas in running text: where a line may end, and where not.

For a browser a formula is one long word, and on both sides of it a line may end. So a long one runs out of a phone's
column, and the comma after a short one may start a line. Printers do it the other way round, and so does this.
"""

import re
import zlib
from pathlib import Path

from docutils import nodes

LONG = 40  # characters of TeX; below it a formula fits nearly every line
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
BRACKETS = dict.fromkeys(["(", "[", r"\{", r"\left", r"\lVert", r"\begin"], 1)
BRACKETS |= dict.fromkeys([")", "]", r"\}", r"\right", r"\rVert", r"\end"], -1)
RELATION = re.compile(r"[=<>]|\\(?:leq?|geq?|ne|approx|sim|propto|to|mapsto|in)")
SUM = re.compile("[+-]")
JOINED = re.compile(rf"(?:^|[\^_,:]|{RELATION.pattern})$")  # a minus after one of these is no difference
MARKS = re.compile(r"[,.;:!?)\]\u2019\u201d]+")  # with closing quotation marks


def cut(tex: str, sign: re.Pattern) -> list[str]:
    """The formula, cut after each such sign that stands in no bracket. ``{}`` keeps the space around the sign."""
    found, groups, depth, norm = [""], 0, 0, 0
    for token in TOKEN.findall(tex):
        groups += {"{": 1, "}": -1}.get(token, 0)
        depth += BRACKETS.get(token, 0)
        norm ^= token in {"|", r"\|"}  # the same sign opens and closes
        place = groups == depth == norm == 0 and not JOINED.search(found[-1].strip("{} "))
        found[-1] += token
        if place and sign.fullmatch(token):
            found[-1] += "{}"
            found.append("")
    whole = groups == depth == norm == 0 and found[-1].strip()  # else a bracket stays open: better long than wrong
    return found if whole else [tex]


def parts(tex: str) -> list[str]:
    """The formula, cut at relations if it is long, and at sums what is then still long."""
    if len(tex) < LONG:
        return [tex]
    return [term for side in cut(tex, RELATION) for term in (cut(side, SUM) if len(side) > LONG else [side])]


def set_formulas(app, doctree, docname):
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(descend=False, siblings=True)
        mark = MARKS.match(after) if isinstance(after, nodes.Text) else None
        *first, last = (nodes.math(tex, tex) for tex in parts(formula.astext()))
        if mark:
            after.parent.replace(after, nodes.Text(after[mark.end() :]))
            last = nodes.inline("", "", last, nodes.Text(mark[0]), classes=["glued"])
        breaks = [node for part in first for node in (part, nodes.Text("\u200b"))]
        formula.replace_self([*breaks, last])


def setup(app):
    app.connect("doctree-resolved", set_formulas)
    version = zlib.crc32(Path(__file__).read_bytes())
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": version}
