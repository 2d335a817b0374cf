"""What must hold of the book's own tools and of what is written by hand."""

import re
import subprocess
from typing import NamedTuple

import icl_book
import icl_quiz
from icl_project import CHAPTERS, ROOT, chapter_sources, repository_url, toc_pages

BINARY = {".png", ".safetensors", ".npz", ".pt", ".ico", ".woff", ".woff2", ".pdf", ".gz", ".zip"}


def written_files():
    """The files a person edits: tracked or about to be, without the notebooks, which are made."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    paths = [ROOT / name for name in listed if name and not name.startswith("notebooks/")]
    return [path for path in paths if path.is_file() and path.suffix not in BINARY]


def test_one_place_holds_the_repository_address():
    name = re.sub(r"^https?://[^/]+/", "", repository_url())
    holders = [path.relative_to(ROOT).as_posix() for path in written_files() if name in path.read_text(encoding="utf8")]
    assert holders == ["pyproject.toml"]


def test_every_chapter_is_in_the_table_of_contents():
    listed = [page for page in toc_pages() if page.startswith("notebooks/")]
    assert sorted(listed) == [f"notebooks/{path.stem}" for path in chapter_sources()]
    assert sorted(CHAPTERS.glob("*.md")) == chapter_sources(), "a chapter's name is NN_name.md"


def test_pinned_releases_are_exact():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf8").splitlines()
    pins = [line.partition("#")[0].partition(";")[0].strip() for line in lines]
    assert [pin for pin in pins if pin and not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", pin)] == []


def test_an_inlined_figure_keeps_its_references():
    prolog = '<?xml version="1.0"?><!DOCTYPE svg>'
    svg = '<svg aria-labelledby="t d"><g id="a"/><use href="#a"/><p clip-path="url(#a)"/></svg>'
    assert icl_book.inline_svg(prolog + svg, "f1-") == (
        '<svg aria-labelledby="f1-t f1-d"><g id="f1-a"/><use href="#f1-a"/><p clip-path="url(#f1-a)"/></svg>'
    )


def test_fields_of_named_tuples_are_described_by_their_class_alone():
    class Pair(NamedTuple):
        first: int

        @property
        def half(self) -> float:
            """Half of it."""

    shown = [icl_book.skip_tuple_fields(None, "class", "", obj, False, None) for obj in (Pair.first, Pair.half, Pair)]
    assert shown == [True, None, None]


def test_what_is_said_of_a_constant_is_kept():
    lines = ["Every shape by its name: a law of points."]
    said = list(lines)
    icl_book.keep_constant(None, "data", "SHAPES", None, None, lines)
    lines[:] = ["a law of points.", "", ":type: Every shape by its name"]
    icl_book.restore_constant(None, "data", "SHAPES", None, None, lines)
    assert lines == said


def test_every_chapter_has_its_questions():
    # The ledger, 90, is an appendix: it has an exercise and no quiz.
    for path in (path for path in chapter_sources() if path.name < "90"):
        text = path.read_text(encoding="utf8")
        assert text.count(":::{quiz}") == 3, path.name
        assert 3 <= len(re.findall(r"^:::+\{exercise\}", text, re.MULTILINE)) <= 6, path.name
        assert "pen and paper" in text, path.name
        assert ".check(" in text, path.name


def test_a_quiz_option_needs_its_reply():
    form = icl_quiz.OPTION
    assert form.fullmatch("1. An option with $x$. <!-- yes: Because. -->")["verdict"] == "yes"
    assert not form.fullmatch("1. An option without a reply.")
    assert not form.fullmatch("1. An option. <!-- perhaps: Who knows. -->")
