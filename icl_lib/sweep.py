"""A grid of experiments over any executor, its results as a tidy table that a killed run takes up again.

A *cell* is one experiment: a function of named parameters, its seed among them, that returns named numbers. The table
has a row for each cell, in the order of the grid whatever the order in which the cells finish, so that one process and
many write the same file.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from contextlib import closing
from itertools import islice
from numbers import Real
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from . import validate
from .progress import bar
from .tables import FAILURE, Grid, Sweep, Table, grid_cells, plain

if TYPE_CHECKING:
    from distributed import Client
else:  # the library needs no Dask: the name is for who reads the signature
    Client = object

__all__ = ["Sweep", "SweepBroken", "sweep"]

Cell = Callable[..., Mapping[str, float]]


class SweepBroken(RuntimeError):
    """The executor gave up (a worker was killed, say); ``finished`` is a Sweep of the cells that had finished."""

    def __init__(self, finished: Sweep, cells: int, cause: BaseException) -> None:
        done = f"{len(finished.rows)} of {cells} cells have finished and are kept"
        super().__init__(f"the executor broke ({type(cause).__name__}: {cause}); {done}: sweep again, with a new one")
        self.finished = finished


def sweep(
    cell: Cell,
    grid: Grid,
    *,
    executor: Executor | Client | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Sweep:
    """Return the results of ``cell(**parameters)`` for every point of the grid.

    cell: returns one or more named numbers, the same names in every cell; for a pool of processes a function of a
    module that the workers can import. grid: a list of dicts of parameters, or a dict of lists, whose product is
    taken (the last parameter varies fastest); a parameter is a number, a string, a bool or None, and no two cells are
    alike. executor: any ``concurrent.futures.Executor``, or a ``distributed.Client`` of a Dask cluster (page "From a
    laptop to a cluster"); None runs the cells one after the other, here.

    With ``out``, a CSV file, the table so far is written as cells finish, each time as a whole, so that a reader never
    sees half of it; floats are written so that they are read back exactly. If the file exists, its cells are not run
    again, unless they failed; the grid may have grown since. Writing takes at most a twentieth of the time, and a
    killed run loses at most what finished since the last writing: nothing, where a cell takes longer than that.

    A cell that raises keeps its row, with the message in the column "failure", and the others go on. Raises BadInput,
    before anything is run, for a bad grid or for a file that is not a table of this grid (it is left alone);
    SweepBroken, with everything finished kept, if the executor breaks or the cluster's scheduler is lost.
    """
    if not callable(cell):
        raise validate.fail("cell", repr(cell), "a function")
    if not (executor is None or isinstance(executor, Executor) or _is_client(executor)):
        expected = "a concurrent.futures.Executor, a distributed.Client, or None"
        raise validate.fail("executor", type(executor).__name__, expected)
    if isinstance(executor, ProcessPoolExecutor):
        _picklable(cell)
    cells = grid_cells(grid)
    table = Table(cells, None if out is None else validate.place("out", out))
    waiting = [index for index in range(len(cells)) if index not in table.results]
    outcomes = _finished(cell, cells, waiting, executor)
    with closing(table), closing(outcomes), bar("sweep", len(cells) - len(waiting), len(cells), progress) as shown:
        try:
            for index, (result, failure) in outcomes:
                table.add(index, result, failure)
                shown.update()
        except (BrokenExecutor, CancelledError) as broken:
            raise SweepBroken(table.sweep(), len(cells), broken) from broken
    return table.sweep()


Outcome = tuple[dict[str, float], str]
"""Results and failure: one of them is empty."""

AHEAD = 2000
"""How many cells an executor holds at once, at most; the first rows of a larger grid are kept long before its end."""


def _finished(
    cell: Cell, cells: list[dict], waiting: list[int], executor: Executor | Client | None
) -> Generator[tuple[int, Outcome], None, None]:
    """Yield index and outcome as cells finish. When this is closed, what has not started never will."""
    if executor is None:
        yield from ((index, _run(cell, cells[index])) for index in waiting)
        return
    suspects = []
    with closing(_submitted(cell, cells, waiting, executor)) as outcomes:
        for index, outcome in outcomes:
            if type(outcome).__name__ == "KilledWorker":
                suspects.append(index)
            else:
                yield index, outcome if isinstance(outcome, tuple) else ({}, _message(outcome))
    for index in suspects:  # Dask blames all that a dead worker had before it; a cell that runs alone can be judged
        with closing(_submitted(cell, cells, [index], executor)) as outcomes:
            for _, outcome in outcomes:
                yield index, outcome if isinstance(outcome, tuple) else ({}, _message(outcome))


def _submitted(
    cell: Cell, cells: list[dict], waiting: list[int], executor: Executor | Client
) -> Generator[tuple[int, Outcome | Exception], None, None]:
    """Yield index and outcome as cells finish; for a cell that the executor could not finish, what it raised.

    A future is dropped as soon as its outcome is here: what is still held, Dask computes again if its worker dies.
    """
    # A cell that failed shall run again, not be remembered: pure=False.
    pool = executor if isinstance(executor, Executor) else executor.get_executor(pure=False)
    running, done, more, broken = {}, SimpleQueue(), iter(waiting), None
    try:
        while True:
            try:
                for index in islice(more, AHEAD - len(running)):
                    running[future := pool.submit(_run, cell, cells[index])] = index
                    future.add_done_callback(done.put)
            except BrokenExecutor as error:
                more, broken = iter(()), error
            if not running:
                break
            future = done.get()
            index = running.pop(future)
            try:
                outcome = future.result()
            except (BrokenExecutor, CancelledError) as error:
                more, broken = iter(()), error  # this cell knows nothing; others may have finished before
                continue
            except Exception as error:  # a worker lost on a cluster, say
                outcome = error
            del future
            yield index, outcome
    finally:
        if running and pool is not executor:
            pool.shutdown(wait=False)  # cancels all in one message
        for future in running:
            future.cancel()
    if broken is not None:
        raise broken


def _run(cell: Cell, parameters: dict) -> Outcome:
    """Run one cell, wherever that is. Numbers come back as Python's own, so that every executor returns the same."""
    try:
        return _numbers(cell(**parameters), parameters), ""
    except (Exception, SystemExit) as error:
        return {}, _message(error)


def _message(error: BaseException) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())  # a row is a line
    return "".join(c if c.isprintable() else "?" for c in line)


def _numbers(result: object, parameters: Mapping[str, object]) -> dict[str, float]:
    if not isinstance(result, Mapping) or not result:
        raise validate.fail("result", repr(result), "a dict of numbers")
    for name, value in result.items():
        if not isinstance(name, str) or not name.isprintable() or name in ("", FAILURE) or name in parameters:
            raise validate.fail("result", f"the name {name!r}", f"printable names, no parameter's, not {FAILURE!r}")
        if not isinstance(value, Real):
            raise validate.fail(f"result[{name!r}]", f"{type(value).__name__} {value!r}", "a number")
    return {name: plain(value) for name, value in result.items()}


def _is_client(executor: object) -> bool:
    """Tell whether this is a Dask client, without importing Dask: who has a client has imported it."""
    dask = sys.modules.get("distributed")
    return dask is not None and isinstance(executor, dask.Client)


def _picklable(cell: Cell) -> None:
    try:
        pickle.dumps(cell)
    except Exception as error:
        raise validate.fail("cell", repr(cell), "a function of a module, which other processes can import") from error
