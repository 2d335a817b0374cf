"""A sweep writes the same table whoever runs the cells, and takes it up again whatever happened in between."""

import csv
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cells
import pytest

import icl_lib as icl


def processes():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))  # fork and torch's threads clash


@pytest.fixture(scope="module")
def pool():
    with processes() as executor:
        yield executor


class Backwards(Executor):
    """Runs the last cell first."""

    def __init__(self):
        self.waiting = []

    def submit(self, f, *arguments):
        self.waiting.append((Future(), f, arguments))
        if len(self.waiting) == 4:
            for future, f, arguments in reversed(self.waiting):
                future.set_result(f(*arguments))
        return self.waiting[-1][0]


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same(rows, others):
    return repr(rows) == repr(others)  # NaN is like itself here, and 1 is not 1.0


# --- the same table from every executor


def test_one_process_and_two_write_the_same_bytes_and_return_the_same_rows(tmp_path, pool):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    serial = icl.sweep(cells.smooth, cells.GRID, out=one)
    parallel = icl.sweep(cells.smooth, cells.GRID, out=two, executor=pool)
    assert one.read_bytes() == two.read_bytes()
    assert same(serial.rows, parallel.rows)
    assert (len(serial.rows), serial.failed, serial.taken) == (40, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "two.csv"]


def test_rows_stand_in_the_order_of_the_grid_whatever_finishes_first():
    rows = icl.sweep(cells.fails_at_three, {"seed": [5, 9, 2, 7]}, executor=Backwards()).rows
    assert [row["seed"] for row in rows] == [5, 9, 2, 7]
    assert [row["value"] for row in rows] == [5 / 7, 9 / 7, 2 / 7, 1.0]


def test_a_grid_of_lists_is_their_product_and_the_last_varies_fastest():
    rows = icl.sweep(cells.smooth, cells.GRID).rows
    points = [(d, r, law, s) for d in (2, 3) for r in (0.1, 1 / 3) for law in cells.GRID["law"] for s in range(5)]
    assert [(row["d"], row["rate"], row["law"], row["seed"]) for row in rows] == points
    listed = icl.sweep(cells.smooth, [dict(zip(("d", "rate", "law", "seed"), point, strict=True)) for point in points])
    assert same(rows, listed.rows)


def test_a_row_holds_parameters_then_results_then_the_failure(tmp_path):
    icl.sweep(cells.smooth, cells.GRID, out=tmp_path / "t.csv")
    head, first = (tmp_path / "t.csv").read_text().splitlines()[:2]
    assert head == "d,rate,law,seed,error,count,even,failure"
    assert first == f'2,0.1,"cube, filled",0,{math.sin(1.2) / 3!r},12,True,'


def test_numbers_come_back_from_the_file_as_they_were_computed(tmp_path):
    out, grid = tmp_path / "t.csv", {"k": range(6)}
    fresh = icl.sweep(cells.odd, grid, out=out)
    stored = icl.sweep(cells.fails_at_three, grid, out=out)  # not called: it would complain of "k"
    assert same(fresh.rows, stored.rows)
    assert (stored.taken, stored.failed) == (6, 0)
    assert [row["float"] for row in stored.rows][:2] == [math.inf, -math.inf]
    assert math.isnan(stored.rows[2]["float"])
    assert math.copysign(1, stored.rows[3]["float"]) == -1
    assert {type(row["whole"]) for row in stored.rows} == {int}
    assert {type(row["numpy"]) for row in fresh.rows} == {float}


# --- failures


def test_a_failed_cell_is_reported_and_the_rest_is_kept(tmp_path, pool):
    out = tmp_path / "t.csv"
    for executor in (None, pool):
        done = icl.sweep(cells.fails_at_three, {"seed": range(5)}, out=out, executor=executor)
        assert done.failed == 1
        assert repr(done) == f"Sweep(5 cells, {done.taken} of them from the file, 1 failed)"
        assert done.rows[3] == {"seed": 3, "failure": "RuntimeError: no separator, not even one ?"}
        assert lines(out)[3] == {"seed": "3", "value": "", "failure": "RuntimeError: no separator, not even one ?"}
        assert [row["value"] for row in done.rows if not row["failure"]] == [0, 1 / 7, 2 / 7, 4 / 7]
    assert done.taken == 4


def test_failed_cells_are_tried_again_and_finished_ones_are_not(tmp_path):
    out, grid = tmp_path / "t.csv", [{"seed": seed, "folder": str(tmp_path)} for seed in range(4)]

    def broken(seed, folder):
        return cells.noted(seed, folder) if seed != 1 else {}["missing"]

    assert icl.sweep(broken, grid, out=out).rows[1]["failure"] == "KeyError: 'missing'"
    again = icl.sweep(cells.noted, grid, out=out)
    assert (again.failed, again.taken) == (0, 3)
    assert again.rows[1]["value"] == 1 / 7
    assert [(tmp_path / str(seed)).read_text() for seed in range(4)] == ["x"] * 4
    whole = tmp_path / "whole.csv"
    icl.sweep(cells.noted, grid, out=whole)
    assert whole.read_bytes() == out.read_bytes()


def test_the_file_of_a_sweep_that_failed_everywhere_is_taken_up_too(tmp_path):
    out = tmp_path / "t.csv"
    assert icl.sweep(cells.smooth, {"seed": range(4)}, out=out).failed == 4  # d is missing
    assert out.read_text().splitlines()[0] == "seed,failure"
    assert icl.sweep(cells.fails_at_three, {"seed": range(4)}, out=out).failed == 1


def test_a_cell_that_leaves_is_a_failed_cell():
    assert icl.sweep(cells.leaves_at_two, {"seed": range(4)}).rows[2]["failure"] == "SystemExit: enough"


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        (None, "result: got None, expected a dict of numbers"),
        ({}, "result: got {}, expected a dict of numbers"),
        (0.5, "result: got 0.5"),
        ({"loss": "0.5"}, r"result\['loss'\]: got str '0.5', expected a number"),
        ({"loss": None}, r"result\['loss'\]: got NoneType"),
        ({"loss": 1j}, r"result\['loss'\]: got complex"),
        ({"seed": 1.0}, "result: got the name 'seed'"),
        ({"failure": 1.0}, "result: got the name 'failure'"),
        ({1: 1.0}, "result: got the name 1"),
    ],
)
def test_a_cell_that_does_not_return_numbers_has_failed(result, seen):
    (row,) = icl.sweep(lambda seed: result, {"seed": [0]}).rows
    assert row.keys() == {"seed", "failure"}
    with pytest.raises(icl.BadInput, match=seen):
        raise icl.BadInput(row["failure"].removeprefix("BadInput: "))


def test_cells_that_return_other_names_have_failed(tmp_path):
    done = icl.sweep(cells.other_names, {"seed": range(3)}, out=tmp_path / "t.csv")
    assert [bool(row["failure"]) for row in done.rows] == [False, True, True]
    assert "the names ['value'], expected ['loss'] as in other cells" in done.rows[1]["failure"]
    assert (tmp_path / "t.csv").read_text().splitlines()[:2] == ["seed,loss,failure", "0,2.0,"]
    later = icl.sweep(cells.fails_at_three, {"seed": range(3)}, out=tmp_path / "t.csv")  # the file's names count
    assert [bool(row["failure"]) for row in later.rows] == [False, True, True]


# --- interruptions


def test_a_reader_who_stops_the_sweep_loses_nothing(tmp_path):
    out = tmp_path / "t.csv"

    def stopped(seed):
        if seed == 3:
            raise KeyboardInterrupt
        return cells.fails_at_three(seed)

    with pytest.raises(KeyboardInterrupt):
        icl.sweep(stopped, {"seed": range(3 + 3)}, out=out)
    assert [row["seed"] for row in lines(out)] == ["0", "1", "2"]


def test_a_killed_sweep_goes_on_and_writes_what_an_unbroken_one_does(tmp_path):
    """kill -9 of the whole process, as soon as the file holds some of the twelve rows."""
    out, whole = tmp_path / "killed.csv", tmp_path / "whole.csv"
    root = Path(cells.__file__).parents[1]
    child = subprocess.Popen(
        [sys.executable, cells.__file__, str(out)], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    try:
        deadline = time.monotonic() + 120
        while not (out.exists() and len(lines(out)) >= 3):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    kept = lines(out)
    assert 3 <= len(kept) < 12
    done = icl.sweep(cells.slow, {"seed": range(12)}, out=out)
    assert done.taken == len(kept)
    icl.sweep(cells.slow, {"seed": range(12)}, out=whole)
    assert out.read_bytes() == whole.read_bytes()


def test_a_killed_worker_is_reported_and_finished_rows_are_kept(tmp_path):
    out, whole, grid = tmp_path / "t.csv", tmp_path / "whole.csv", {"seed": range(8)}
    with processes() as broken, pytest.raises(icl.SweepBroken, match=r"BrokenProcessPool.*of 8 cells") as caught:
        icl.sweep(cells.dies_at_four, grid, out=out, executor=broken)
    finished = caught.value.finished.rows
    assert [int(row["seed"]) for row in lines(out)] == [row["seed"] for row in finished]
    assert 3 <= len(finished) < 8  # of the four cells before the one that dies, one may still be with the other worker
    assert all(row["failure"] == "" for row in finished)
    icl.sweep(cells.fails_at_three, {"seed": [0, 1, 2, 4, 5, 6, 7]}, out=whole)
    with ThreadPoolExecutor(2) as threads:
        icl.sweep(lambda seed: {"value": seed / 7}, grid, out=out, executor=threads)
    assert [line for line in out.read_text().splitlines() if line[0] != "3"] == whole.read_text().splitlines()


def test_a_pool_that_is_shut_down_says_so():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        icl.sweep(cells.slow, {"seed": [0]}, executor=executor)


class Cancelling(Executor):
    """Runs two cells and cancels the others, as a pool does that is told to stop."""

    done = 0

    def submit(self, f, *arguments):
        future, self.done = Future(), self.done + 1
        if self.done <= 2:
            future.set_result(f(*arguments))
        else:
            future.cancel()
            future.set_running_or_notify_cancel()
        return future


def test_cancelled_cells_are_not_finished_cells():
    with pytest.raises(icl.SweepBroken, match="2 of 5 cells have finished") as caught:
        icl.sweep(cells.slow, {"seed": range(5)}, executor=Cancelling())
    assert [row["seed"] for row in caught.value.finished.rows] == [0, 1]


def test_a_grid_may_grow_and_change_its_order(tmp_path):
    out, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    icl.sweep(cells.fails_at_three, {"seed": [4, 6]}, out=out)
    done = icl.sweep(cells.fails_at_three, {"seed": [7, 6, 5, 4]}, out=out)
    assert done.taken == 2
    icl.sweep(cells.fails_at_three, {"seed": [7, 6, 5, 4]}, out=whole)
    assert out.read_bytes() == whole.read_bytes()
    icl.sweep(cells.smooth, {"seed": [4, 5, 6, 7]}, out=out)  # nothing left to run, but another order
    assert [row["seed"] for row in lines(out)] == ["4", "5", "6", "7"]


# --- what is refused


FOREIGN = {
    "another parameter": "d,value,failure\n1,0.5,\n",
    "no failures": "seed,value\n1,0.5\n",
    "a cell of another grid": "seed,value,failure\n77,0.5,\n",
    "a cell twice": "seed,value,failure\n1,0.5,\n1,0.5,\n",
    "a short row": "seed,value,failure\n1,0.5\n",
    "a long row": "seed,value,failure\n1,0.5,,\n",
    "a blank row": "seed,value,failure\n\n1,0.5,\n",
    "a word for a number": "seed,value,failure\n1,half,\n",
    "no number": "seed,value,failure\n1,,\n",
    "no result": "seed,failure\n1,\n",
    "columns twice": "seed,value,value,failure\n1,0.5,0.5,\n",
    "no table": "Dear reader",
    "nothing": "",
    "an open quote": 'seed,value,failure\n1,"0.5,\n',
    "not text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, content):
    out = tmp_path / "t.csv"
    content = content if isinstance(content, bytes) else content.encode()
    out.write_bytes(content)
    with pytest.raises(icl.BadInput, match=r"out: got t\.csv, .*left alone"):
        icl.sweep(cells.noted, {"seed": [0, 1]}, out=out)
    assert out.read_bytes() == content
    assert list(tmp_path.iterdir()) == [out]


GRIDS = {
    "no list": 3,
    "a word": "seed",
    "cells that are no dicts": [1, 2],
    "no cells": [],
    "an empty list of values": {"seed": []},
    "no parameters": {},
    "cells without parameters": [{}],
    "a value that is no list": {"seed": 3},
    "a word for a list": {"law": "cube"},
    "a cell twice": [{"seed": 1}, {"seed": 2}, {"seed": 1}],
    "a value twice": {"seed": [1, 1]},
    "values that read alike": {"seed": [1, "1"]},
    "other names": [{"seed": 1}, {"d": 1}],
    "a name too few": [{"seed": 1, "d": 2}, {"seed": 1}],
    "a reserved name": {"failure": [1]},
    "no identifier": {"the seed": [1]},
    "a number for a name": {1: [1]},
    "NaN": {"seed": [math.nan]},
    "a list as value": {"seed": [[1, 2]]},
    "two lines": {"law": ["a\nb"]},
    "a complex number": {"seed": [1j]},
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_a_bad_grid_is_refused_before_anything_is_run(grid, tmp_path):
    def never(**parameters):
        raise AssertionError

    with pytest.raises(icl.BadInput, match=r"(grid|parameter).*: got .*, expected "):
        icl.sweep(never, grid, out=tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())


def test_values_that_read_differently_are_different_cells():
    rows = icl.sweep(lambda value: {"one": 1}, {"value": [1, 1.0, True, "1 ", None, "", math.inf]}).rows
    assert len(rows) == 7


def test_other_bad_arguments_are_refused(tmp_path, pool):
    with pytest.raises(icl.BadInput, match="cell: got 3"):
        icl.sweep(3, {"seed": [0]})
    with pytest.raises(icl.BadInput, match="executor: got int"):
        icl.sweep(cells.slow, {"seed": [0]}, executor=2)
    with pytest.raises(icl.BadInput, match=r"cell: got .*lambda.* other processes"):
        icl.sweep(lambda seed: {"value": 1.0}, {"seed": [0]}, executor=pool)
    with pytest.raises(icl.BadInput, match="out: got .*not a file"):
        icl.sweep(cells.slow, {"seed": [0]}, out=tmp_path)
    with pytest.raises(icl.BadInput, match="out: got .*does not exist"):
        icl.sweep(cells.slow, {"seed": [0]}, out=tmp_path / "nowhere" / "t.csv")
