"""What the planted submissions of every homework are made with."""

import copy
import re
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import nbformat


class Mistake(NamedTuple):
    question: str
    name: str
    old: str  # stands in exactly one place of the solution
    new: str
    points: int  # that the question still earns


def new(source):
    return nbformat.v4.new_code_cell(source)


def with_id(notebook, student):
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = re.sub(r'^STUDENT = ""', f"STUDENT = {student!r}", cell.source)
    return notebook


def without(notebook, word):
    """The notebook without the code cells that hold this word."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or word not in cell.source]
    return notebook


def wrong(notebook, mistakes):
    """The solution with these mistakes in it. Each must fit in exactly one place, or the plant has rotted."""
    notebook = copy.deepcopy(notebook)
    for mistake in mistakes:
        homes = [cell for cell in notebook.cells if cell.cell_type == "code" and mistake.old in cell.source]
        assert len(homes) == 1, f"{mistake.name}: {mistake.old!r} stands in {len(homes)} cells"
        assert homes[0].source.count(mistake.old) == 1, f"{mistake.name}: {mistake.old!r} stands there more than once"
        homes[0].source = homes[0].source.replace(mistake.old, mistake.new)
    return notebook


class Plants:
    """Writes submissions into a folder, and remembers what each is expected to earn."""

    def __init__(self, folder: Path):
        self.folder, self.expected = folder, {}

    def add(self, name, notebook, points=None, note=""):
        """One file; ``points`` of the questions that do not earn all, and a word of its note in the table of marks."""
        self.expected[name] = (points or {}, note)
        if isinstance(notebook, str):
            (self.folder / name).write_text(notebook, encoding="utf8")
        else:
            nbformat.write(notebook, self.folder / name)

    def add_mistakes(self, solution, mistakes, questions):
        """As few files as will hold all mistakes, one a question."""
        columns = [[m for m in mistakes if m.question == q] for q in questions]
        for number, row in enumerate(zip_longest(*columns), 1):
            made = wrong(with_id(solution, f"student {number}"), [m for m in row if m])
            self.add(f"mistakes-{number}.ipynb", made, {m.question: m.points for m in row if m})
