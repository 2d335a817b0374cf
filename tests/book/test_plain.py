"""Notebooks read well without MyST, and Sphinx gets back what the author wrote."""

import re

import icl_plain
import jupytext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icl_project import chapter_sources, site_url

PIECES = [
    "see {prf:ref}`thm-descent`, {ref}`proof-descent`",
    "as {cite:t}`soudry2018implicit` say {cite:p}`soudry2018implicit,ji2021fast`",
    "[Depth](05_depth_is_optimisation.ipynb) and [notation](../book/notation.md#symbols)",
    "[elsewhere](https://example.org/a.ipynb)",
    ":::{prf:theorem} Descent\n:label: thm-descent\nIt falls.\n:::",
    ":::{exercise} A path\n:label: ex-depth-path\n\n*Difficulty 1 of 3.*\n:::",
    "::::{dropdown} Solution\n:::{admonition} Note\nBy {prf:ref}`thm-descent`.\n:::\n::::",
    ":::{quiz} Why $w$?\n1. So. <!-- yes: Because. -->\n:::",
    "```\n:::{note}\n{ref}`not-a-label`\n:::\n```",
    "$$\na_i\n$$",
    "(a-target)=\n## A heading",
    "",
    "<!-- a comment -->",
]


def markdown(source):
    return [
        cell.source
        for cell in jupytext.reads(source.read_text("utf8"), fmt="md:myst").cells
        if cell.cell_type == "markdown"
    ]


@pytest.mark.parametrize("source", chapter_sources(), ids=lambda path: path.stem)
def test_a_chapter_comes_back_as_it_was_written_and_shows_no_myst(source):
    for text in markdown(source):
        plain = icl_plain.plain(text)
        assert icl_plain.restore(plain) == text
        assert icl_plain.plain(icl_plain.restore(plain)) == plain
        shown = re.sub(r"<!--.*?-->|^```.*?^```", "", plain, flags=re.DOTALL | re.MULTILINE)
        assert (
            re.findall(
                r":::.*|\{[a-z:]+\}`.*|^:[a-z]+:.*|^\([a-z-]+\)=|\]\([^)]*\.(?:ipynb|md)\b.*", shown, re.MULTILINE
            )
            == []
        )


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from(["\n", "\n\n"]))
def test_any_mixture_comes_back(pieces, between):
    text = between.join(pieces)
    assert icl_plain.restore(icl_plain.plain(text)) == text


def test_what_a_reader_without_myst_sees():
    def shown(text):
        return re.sub(r"<!--.*?-->", "", icl_plain.plain(text), flags=re.DOTALL).strip()

    assert shown("{prf:ref}`thm-descent`") == "Theorem “Descent”"
    assert shown("{ref}`the proof <proof-descent>`") == "the proof"
    assert shown("{cite:p}`soudry2018implicit`") == "(Soudry et al., 2018)"
    assert shown("{cite:t}`soudry2018implicit`") == "Soudry et al. (2018)"
    assert shown(PIECES[4]) == "**Theorem (Descent).**\n\nIt falls."
    assert shown(":::{dropdown} Solution\nYes.\n:::") == "<details><summary>Solution</summary>\n\nYes.\n</details>"
    assert shown("[Depth](05_depth.ipynb#top)") == f"[Depth]({site_url()}notebooks/05_depth.html#top)"
    assert shown(PIECES[8]) == PIECES[8]


def test_a_label_that_no_page_has_is_an_error():
    with pytest.raises(KeyError, match="thm-nowhere"):
        icl_plain.plain("{prf:ref}`thm-nowhere`")
