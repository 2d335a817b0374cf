"""What the planted submissions of every homework are made with."""

import copy
import os
import random
import re
import time
from itertools import count, zip_longest
from pathlib import Path
from typing import NamedTuple

import nbformat


class Mistake(NamedTuple):
    question: str
    name: str
    old: str  # stands in exactly one place of the solution
    new: str
    points: int  # that the question still earns


def mistakes(text):
    """Read mistakes: ``q1 3: its name`` (what the question still earns), then lines of the solution as in a diff."""
    found = []
    for head, body in re.findall(r"^(q.+)\n((?:[-+].*\n)+)", text, re.MULTILINE):
        question, points, name = re.fullmatch(r"(\w+) (\d+): (.+)", head).groups()
        old, new = ([line[2:] for line in body.splitlines() if line[0] == sign] for sign in "-+")
        found.append(Mistake(question, name, "\n".join(old), "\n".join(new), int(points)))
    assert len(found) == len(re.findall(r"^q", text, re.MULTILINE)), "a mistake that cannot be read"
    return found


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
    """Writes submissions into a folder, and remembers what each is expected to earn.

    ``experiment`` is a word of the cells that cost seconds and earn no points: ``solution`` does without them.
    """

    def __init__(self, folder: Path, student_file: Path, solution_file: Path, experiment: str):
        self.folder, self.expected = folder, {}
        self.blank, solution = (nbformat.read(path, as_version=4) for path in (student_file, solution_file))
        self.solution = without(solution, experiment)
        nbformat.write(with_id(self.blank, "nobody"), folder / "blank.ipynb")  # these two, otter grades alone
        nbformat.write(with_id(solution, "somebody"), folder / "solution.ipynb")

    def add_usual(self, mistakes, other_right_answers, copied):
        """What every homework plants; ``copied``: what a copy under another id earns where it does not earn all."""
        self.add_mistakes(mistakes)
        other = with_id(self.solution, "grace")
        other.cells.append(new(other_right_answers))
        self.add("other-right-answers.ipynb", other)
        stolen = with_id(self.solution, "lise")  # the numbers of one card in the notebook of another
        for cell in stolen.cells:
            cell.source = cell.source.replace("variant(STUDENT)", f"variant({self.unlike('lise')!r})")
        self.add("copied.ipynb", stolen, copied)
        self.add_battered("late Homework (final) v2 äö.ipynb")

    def unlike(self, student):
        """An id that has nothing on its card in common with this one's, whatever the salt."""
        (given,) = (cell.source for cell in self.blank.cells if "def variant" in cell.source)
        names = {}
        exec(given.replace("card(STUDENT)", ""), names)
        mine = vars(names["variant"](student))
        for other in (f"otto {number}" for number in count()):
            if all(mine[key] != value for key, value in vars(names["variant"](other)).items()):
                return other

    def add_battered(self, name):
        """All right, and late, renamed, reordered, with cells that raise, in an old format, from a foreign kernel."""
        battered = with_id(self.solution, "Ada  Lovelace")
        battered.cells += [new(source) for source in ("1 / 0", "this is no Python", "raise SystemExit")]
        random.Random(0).shuffle(battered.cells)
        battered.metadata["kernelspec"] = {"display_name": "mine", "language": "python", "name": "my-own-env"}
        battered.metadata.pop("otter", None)
        battered.nbformat_minor = 2
        for cell in battered.cells:
            cell.pop("id", None)
            cell.metadata = {}
        self.add(name, battered)
        handed_in = time.time() + 86400  # a day from now; everything is due in an hour
        os.utime(self.folder / name, (handed_in, handed_in))

    def add(self, name, notebook, points=None, note=""):
        """One file; ``points`` of the questions that do not earn all, and a word of its note in the table of marks."""
        self.expected[name] = (points or {}, note)
        if isinstance(notebook, str):
            (self.folder / name).write_text(notebook, encoding="utf8")
        else:
            nbformat.write(notebook, self.folder / name)

    def add_mistakes(self, mistakes):
        """As few files as will hold all mistakes, one a question."""
        columns = [[m for m in mistakes if m.question == q] for q in dict.fromkeys(m.question for m in mistakes)]
        for number, row in enumerate(zip_longest(*columns), 1):
            made = wrong(with_id(self.solution, f"student {number}"), [m for m in row if m])
            self.add(f"mistakes-{number}.ipynb", made, {m.question: m.points for m in row if m})
