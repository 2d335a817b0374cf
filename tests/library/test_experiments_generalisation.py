"""The table of the chapter on generalisation: the same from every executor, taken up again, and whole as shipped."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files

import pytest
import torch

import icl_lib as icl
from icl_lib.experiments import generalisation as study

SMALL = study.grid(dimensions=(3,), ratios=(1, 2), seeds=2, points=8)


def test_one_process_and_two_make_the_same_rows_and_a_table_is_taken_up_again(tmp_path):
    out = tmp_path / "table.csv"
    part = study.table(SMALL[:2], out=out)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        resumed = study.table(SMALL, executor=pool, out=out)
    assert resumed.taken == len(part.rows) == 2
    assert resumed.failed == 0
    assert resumed.rows == study.table(SMALL).rows


def test_the_command_keeps_what_the_file_holds(tmp_path, capsys):
    out = tmp_path / "table.csv"
    head, *lines = (files("icl_lib") / "data" / "generalisation.csv").read_text(encoding="utf8").splitlines()
    out.write_text("\n".join([head, *(line for line in lines if line.startswith("5,")), ""]))
    before = out.read_text()
    study.main(["--out", str(out), "--d", "5"])
    assert out.read_text() == before
    assert "70 rows" in (said := capsys.readouterr().out)
    assert "70 of them kept, 0 failed" in said


def test_the_grid_has_whole_sizes_and_fewer_prompts_where_they_are_long():
    cells = study.grid((5,), (0.25, 1, 64), seeds=2, points=640)
    assert [(c["d"], c["ratio"], c["seed"], c["batch"]) for c in cells] == [
        (5, 1, 0, 40),
        (5, 1, 1, 40),
        (5, 64, 0, 2),
        (5, 64, 1, 2),
    ]


def test_a_cell_reports_what_the_library_computes():
    d, n, seed, batch = 4, 12, 3, 5
    row = study.cell(d=d, ratio=3, seed=seed, batch=batch)
    p = icl.LinearTask(d).sample(batch, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    average = icl.exact_error(p.z.mean(1), p.w_star).mean()
    best = icl.max_margin(p.z)
    path = icl.momentum_ngd(p.normalized().z, 1.0, study.deep(n, d))
    expected = {
        "ngd_1": average,
        "momentum_1": average,
        "max_margin": icl.exact_error(best.direction, p.w_star).mean(),
        "momentum_16": icl.exact_error(path[16], p.w_star).mean(),
        "momentum_deep": icl.exact_error(path[-1], p.w_star).mean(),
        "margin": best.margin.mean(),
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(float(value), rel=1e-3), name  # four digits, and float32 inside


def test_the_shipped_table_is_whole():
    rows, cells = study.shipped(), study.grid()
    assert [{name: row[name] for name in cells[0]} for row in rows] == cells
    assert all(len(row) == len(rows[0]) for row in rows)
    assert all(0 < row[name] < 0.5 for row in rows for name in row if name.startswith(("ngd", "mom", "max", "bayes")))


def test_a_shipped_row_is_made_again():
    row = study.shipped()[0]
    again = study.cell(**{name: row[name] for name in ("d", "ratio", "seed", "batch")})
    assert again == pytest.approx({name: row[name] for name in again}, rel=2e-3)  # four digits, another CPU


def test_columns_are_rows_by_ratio():
    rows = [{"d": 2, "ratio": r, "seed": s, "e": 10 * r + s} for r in (4, 1) for s in (0, 1, 2)]
    assert study.ratios_of(rows, 2) == [1, 4]
    assert study.column(rows, "e", 2).tolist() == [[10, 40], [11, 41], [12, 42]]
    assert study.column(rows, "e", 2, [4]).tolist() == [[40], [41], [42]]
    for broken, ratios in ((rows, [8]), (rows[:-1], None), ([], [])):
        with pytest.raises(icl.BadInput, match="rows: got"):
            study.column(broken, "e", 2, ratios)
