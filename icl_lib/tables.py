"""Tables of experiments: the cells of a grid, and the file that keeps what came of them. Used by ``sweep``."""

from __future__ import annotations

import csv
import io
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from . import reports, validate

FAILURE = "failure"
"""The last column: empty, or what went wrong in this cell."""

Grid = Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]]


@dataclass(frozen=True, repr=False)
class Sweep:
    """What a sweep leaves behind: rows (one dict a cell: parameters, results, "failure") in the order of the grid.

    A failed cell's row has no results. taken: how many rows came from the file, not from this call.
    """

    rows: list[dict]
    taken: int = 0

    @property
    def failed(self) -> int:
        """The number of failed cells."""
        return sum(bool(row[FAILURE]) for row in self.rows)

    def __repr__(self) -> str:
        return f"Sweep({len(self.rows)} cells, {self.taken} of them from the file, {self.failed} failed)"


def grid_cells(grid: Grid) -> list[dict]:
    """Return the grid as a list of cells; raises BadInput unless all have the same names, plain values, no two alike.

    A dict of lists stands for their product; the last parameter varies fastest.
    """
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if not isinstance(values, Sequence) or isinstance(values, str):
                raise validate.fail(f"grid[{name!r}]", repr(values), "a list of values")
        cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    elif isinstance(grid, Sequence) and not isinstance(grid, str) and all(isinstance(c, Mapping) for c in grid):
        cells = [dict(c) for c in grid]
    else:
        raise validate.fail("grid", type(grid).__name__, "a list of dicts or a dict of lists")
    if not cells or not cells[0]:
        raise validate.fail("grid", "no cell, or no parameter", "at least one of each")
    names, seen = list(cells[0]), {}
    for index, parameters in enumerate(cells):
        if set(parameters) != set(names):
            raise validate.fail(f"grid, cell {index}", f"parameters {sorted(parameters, key=str)}", f"{sorted(names)}")
        for name, value in parameters.items():
            _parameter(name, value)
        line = key(parameters, names)
        if line in seen:
            raise validate.fail("grid", f"cells {seen[line]} and {index} that read alike, {parameters}", "no two alike")
        seen[line] = index
    return [{name: parameters[name] for name in names} for parameters in cells]


def _parameter(name: object, value: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name == FAILURE:
        raise validate.fail("grid", f"the parameter {name!r}", f"identifiers, not {FAILURE!r}")
    known = value is None or isinstance(value, (str, Real))
    if not known or (isinstance(value, str) and not value.isprintable()) or value != value:
        raise validate.fail(f"parameter {name!r}", repr(value), "a number, a line of text, a bool or None")


def key(parameters: Mapping[str, object], names: Sequence[str]) -> tuple[str, ...]:
    """Return the parameters as a row of the file holds them: what tells one cell from another."""
    return tuple(text(parameters[name]) for name in names)


def plain(value: Real) -> bool | int | float:
    """Return a number of any library as Python's own."""
    return value if isinstance(value, bool) else int(value) if isinstance(value, Integral) else float(value)


def text(value: object) -> str:
    """Return a value as the file holds it. Numbers are read back exactly, and as the same type."""
    return value if isinstance(value, str) else repr(plain(value)) if isinstance(value, Real) else str(value)


def number(seen: str) -> bool | int | float:
    """Return the number that ``text`` wrote; raises ValueError if it is none."""
    if seen in ("True", "False"):
        return seen == "True"
    return int(seen) if seen.removeprefix("-").isdecimal() else float(seen)


class Table:
    """Parameters, results and failures by cell, in memory and in the file ``path`` (None: in memory only).

    Raises BadInput for a file that is not a table of these cells. Rows of cells that failed count as not yet run.
    """

    def __init__(self, cells: list[dict], path: Path | None) -> None:
        self.cells, self.path, self.parameters = cells, path, list(cells[0])
        self.results: dict[int, dict] = {}
        self.failures: dict[int, str] = {}
        self.names: list[str] = []  # of the results in the file; none there yet: those of the first cell with results
        self.unsaved, self.due = False, 0.0
        if path is not None and path.exists():
            self._read(path)
        self.taken = len(self.results)

    def add(self, index: int, result: dict, failure: str) -> None:
        """Take in a cell that has finished; write, unless that was done only a moment ago."""
        self.failures.pop(index, None)
        if failure:
            self.failures[index] = failure
        else:
            self.results[index] = result
        self.unsaved = True
        if time.monotonic() >= self.due:
            self._write()

    def sweep(self) -> Sweep:
        """Return the rows so far."""
        return Sweep(list(self._rows()), self.taken)

    def close(self) -> None:
        """Write what is not yet written."""
        if self.unsaved:
            self._write()

    def _expected(self) -> list[str]:
        return self.names or next((list(self.results[i]) for i in sorted(self.results)), [])

    def _rows(self) -> Iterator[dict]:
        """The rows so far. A cell whose results have other names than the others' has failed, too."""
        names = self._expected()
        for index, parameters in enumerate(self.cells):
            if index in self.failures:
                yield {**parameters, FAILURE: self.failures[index]}
            elif index in self.results:
                result = self.results[index]
                if set(result) == set(names):
                    yield {**parameters, **{name: result[name] for name in names}, FAILURE: ""}
                else:
                    wrong = validate.fail("result", f"the names {sorted(result)}", f"{sorted(names)} as in other cells")
                    yield {**parameters, FAILURE: f"BadInput: {wrong}"}

    def _write(self) -> None:
        if self.path is None:
            return
        start = time.monotonic()
        columns = [*self.parameters, *self._expected(), FAILURE]
        rows = ([text(row[name]) if name in row else "" for name in columns] for row in self._rows())
        reports.write_csv(self.path, columns, rows)
        now = time.monotonic()
        self.unsaved, self.due = False, now + 20 * (now - start)

    def _read(self, path: Path) -> None:
        def foreign(seen: str) -> validate.BadInput:
            return validate.fail("out", f"{path.name}, {seen}", "a table of this sweep, or no file (it is left alone)")

        try:
            lines = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise foreign("which is not a table") from error
        head, count = (lines[0] if lines else []), len(self.parameters)
        if head[:count] != self.parameters or head[-1:] != [FAILURE] or len(set(head)) != len(head):
            raise foreign(f"with the columns {head}")
        self.names = head[count:-1]
        places, found = {key(cell, self.parameters): index for index, cell in enumerate(self.cells)}, []
        for at, line in enumerate(lines[1:], 2):
            place = places.pop(tuple(line[:count]), None)
            if len(line) != len(head) or place is None:
                raise foreign(f"where line {at} is not a cell of this grid, or stands there twice")
            found.append(place)
            if line[-1]:
                self.failures[place] = line[-1]
                continue
            try:
                self.results[place] = {n: number(v) for n, v in zip(self.names, line[count:-1], strict=True)}
            except ValueError as error:
                raise foreign(f"where line {at} has a result that is not a number") from error
            if not self.names:
                raise foreign(f"where line {at} has no result")
        self.unsaved = found != sorted(found)  # the grid's order has changed
