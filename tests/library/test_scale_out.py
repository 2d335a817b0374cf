"""The tables of the page on scaling out: every row that is not measured follows from n, d and the measured rate."""

import csv
import importlib
import sys
from importlib.resources import files
from pathlib import Path

import pytest


@pytest.fixture
def scale_out(monkeypatch):
    """The benchmarks stand beside the library and are not installed with it."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    return importlib.import_module("benchmarks.scale_out")


def shipped(name):
    with (files("icl_lib") / "data" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_shipped_table_has_a_row_for_each_executor(scale_out):
    rows = shipped("scale_out.csv")
    assert [row["executor"] for row in rows] == list(scale_out.EXECUTORS)
    assert all(float(row[name]) > 0 for row in rows for name in list(row)[1:])


def test_the_shipped_estimate_follows_from_the_shipped_rate():
    rows = shipped("scale_out_billion.csv")
    values = {row["quantity"]: row["value"] for row in rows}
    assert rows[0]["value"] == "4096 bytes"  # 4 bytes, 64 points, 16 dimensions
    assert values["a billion prompts"] == "4.1 TB"
    assert values["a chunk of 20000"] == "81.9 MB"
    rate = float(values["prompts a second"])
    for name, unit, share in (("one process", 3600, 1), ("two processes", 3600, 2), ("100 processes", 60, 100)):
        stated = float(values[name].split()[0])
        assert stated == pytest.approx(1e9 / rate / unit / share, rel=0.11)  # both of two digits


def test_the_command_writes_the_tables_in_the_form_that_is_shipped(scale_out, tmp_path, monkeypatch):
    monkeypatch.setattr(scale_out, "EXECUTORS", {"one process": scale_out.serial})  # the others start processes
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    scale_out.main(["--quick", "--out", str(tmp_path)])
    for name in ("scale_out.csv", "scale_out_billion.csv"):
        head = (tmp_path / name).read_text().splitlines()[0]
        assert next(csv.reader([head])) == list(shipped(name)[0])


def test_a_missing_dask_is_named(scale_out, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit, match="Dask is not installed: pip install"), scale_out.dask():
        pass
