"""The ledger counts what it should, catches what is false, and the shipped table is of today's theorems."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from bs4 import BeautifulSoup

import icl_lib as icl
from icl_lib import ledger, reports
from icl_lib.contexts import FAMILIES
from icl_lib.plots import tightness_map
from icl_lib.theorems import Sides

DIRECTION = icl.THEOREMS["thm-direction"]  # the cheapest bound
SCALE = icl.THEOREMS["thm-scale"]  # an equality
SHARE = 10
ALL = SHARE * len(FAMILIES)  # instances of a small run, an equal share for each family


@pytest.fixture(scope="module")
def rows():
    return ledger.run(ALL, seed=3, theorems=[SCALE, DIRECTION])


def altered(theorem, change, **fields):
    return replace(theorem, sides=lambda i: change(theorem.sides(i)), **fields)


def count(theorem, instances=ALL):
    return sum(row.violations for row in ledger.run(instances, 0, [theorem]))


def test_every_theorem_meets_every_family_in_equal_shares():
    rows = ledger.run(ALL + 3, seed=0, theorems=[DIRECTION])
    assert [row.family for row in rows] == list(FAMILIES)
    assert sum(row.instances for row in rows) == ALL + 3
    assert {row.instances for row in rows} == {SHARE, SHARE + 1}


def test_a_row_can_be_made_again_alone(rows):
    (alone,) = ledger.run(SHARE, seed=3, theorems=[DIRECTION], families=["duplicates"])
    assert alone in rows


def test_another_seed_draws_other_instances(rows):
    others = ledger.run(ALL, seed=4, theorems=[DIRECTION])
    assert [row.least_slack for row in others] != [row.least_slack for row in rows if row.theorem == DIRECTION.id]


def test_a_row_agrees_with_check_and_tightness():
    batches = []
    kept = altered(DIRECTION, lambda s: batches.append(s) or s._replace(larger=s.larger + 1.0))
    (row,) = ledger.run(2 * ledger.BATCH, seed=0, theorems=[kept], families=["random"])
    smaller, larger, size = (torch.cat(parts) for parts in zip(*batches, strict=True))
    larger = larger + 1.0
    assert len(larger) == row.instances == 2 * ledger.BATCH
    assert row.least_slack == pytest.approx(float((larger - smaller + DIRECTION.rounding * size).min()), rel=1e-12)
    assert row.max_tightness == pytest.approx(float((smaller / larger).max()), rel=1e-12)
    assert row.median_tightness == pytest.approx(float((smaller / larger).median()), rel=1e-12)
    assert (row.violations, row.rounding_used) == (0, 0)


def test_rounding_used_is_that_of_the_worst_instance():
    batches = []
    (row,) = ledger.run(50, 0, [altered(SCALE, lambda s: batches.append(s) or s)], ["random"])
    smaller, larger, size = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert row.rounding_used == pytest.approx(float(((smaller - larger) / (SCALE.rounding * size)).max()), rel=1e-12)
    assert 0 < row.rounding_used < 1


def test_true_theorems_are_not_violated(rows):
    assert all(row.violations == 0 and row.rounding_used <= 1 for row in rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s._replace(larger=s.larger * 0.5),
        lambda s: s._replace(smaller=s.smaller + 2 * s.larger),
        lambda s: s._replace(larger=torch.full_like(s.larger, math.nan)),
        lambda s: s._replace(smaller=torch.full_like(s.smaller, math.nan)),
    ],
    ids=["bound halved", "always too large", "bound not a number", "side not a number"],
)
def test_a_false_claim_is_caught(change):
    rows = ledger.run(ALL, 0, [altered(DIRECTION, change)])
    assert sum(row.violations for row in rows) > 0
    assert all((row.violations > 0) == (not row.rounding_used <= 1) for row in rows)


def test_a_claim_within_rounding_is_not_a_violation():
    assert count(altered(DIRECTION, lambda s: s._replace(smaller=s.larger + 0.9 * DIRECTION.rounding * s.size))) == 0
    assert count(altered(DIRECTION, lambda s: s._replace(smaller=s.larger + 1.1 * DIRECTION.rounding * s.size))) == ALL


def one_step_drop(w, z, step):
    return icl.log_mean_exp(w, z) - icl.log_mean_exp(icl.ngd(z, step, 1, w)[-1], z)


def test_the_sharper_descent_of_the_exercise_holds():
    # phi(w_{t+1}) <= phi(w_t) - eta gamma^2 for eta <= 2 / R^2, from any w: exercise of the ledger's page.
    def sides(i):
        promised = i.relative_step * (i.context.margin / i.context.radius) ** 2
        size = 1 + icl.margins(i.w, i.context.z).abs().amax(-1) + i.relative_step
        return Sides(promised, one_step_drop(i.w, i.context.z, i.step), size)

    assert count(replace(DIRECTION, id="sharper-descent", sides=sides, largest_step=2.0), 900) == 0


def test_the_range_of_the_sharper_descent_cannot_be_longer():
    gamma = 0.01
    z = torch.tensor([[[gamma, 1.0], [gamma, -1.0]]], dtype=torch.float64)
    w = torch.tensor([[0.0, 0.01]], dtype=torch.float64)
    for step, holds in ((1.99, True), (2.01, False)):
        step = step / float(z.norm(dim=-1).max()) ** 2
        assert bool(one_step_drop(w, z, step) >= step * gamma**2) is holds


def test_totals_take_the_worst_and_the_sum():
    a = ledger.Row("t", "f", 0, 10, 1, 0.5, 0.1, 0.7, 0.2)
    b = ledger.Row("t", "g", 0, 11, 2, 0.4, 0.3, 0.9, 0.1)
    c = ledger.Row("t", "h", 0, 12, 0, 0.6, 0.2, 0.8, 0.3)
    total = ledger.totals([a, b, c])["t"]
    assert (total.instances, total.violations) == (33, 3)
    expected = (0.4, 0.2, 0.9, 0.3)
    assert (total.least_slack, total.median_tightness, total.max_tightness, total.rounding_used) == pytest.approx(
        expected
    )


def test_bad_arguments_are_refused():
    with pytest.raises(icl.BadInput, match="instances"):
        ledger.run(len(FAMILIES) - 1, seed=0)
    with pytest.raises(icl.BadInput, match="seed"):
        ledger.run(ALL, seed=-1)
    with pytest.raises(icl.BadInput, match=r"theorems: got thm-vc, expected sure ones"):
        ledger.run(ALL, 0, [SCALE, icl.THEOREMS["thm-vc"]])


def test_the_command_needs_a_place_to_write_and_writes_it_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "THEOREMS", {SCALE.id: SCALE, DIRECTION.id: DIRECTION})
    with pytest.raises(SystemExit):
        ledger.main(["--instances", str(ALL), "--seed", "3"])
    assert "--out" in capsys.readouterr().err

    path = tmp_path / "ledger.csv"
    ledger.main(["--instances", str(ALL), "--seed", "3", "--out", str(path)])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with path.open(encoding="utf8") as file:
        entries = list(csv.DictReader(file))
    assert [entry["theorem"] for entry in entries] == [SCALE.id] * len(FAMILIES) + [DIRECTION.id] * len(FAMILIES)
    assert f"{DIRECTION.id}: 0 violations in {ALL} instances" in capsys.readouterr().out


def test_what_is_written_is_what_is_read(tmp_path, monkeypatch, rows):
    (tmp_path / "data").mkdir()
    reports.write_records(tmp_path / "data" / "ledger.csv", rows)
    monkeypatch.setattr(reports, "files", lambda package: tmp_path)
    for seen, row in zip(ledger.shipped(), rows, strict=True):
        assert seen[:5] == row[:5]
        assert seen[5:] == pytest.approx(row[5:], rel=6e-3)  # three digits


def test_only_the_family_made_for_it_refutes_half_the_margin_rate():
    rate = icl.THEOREMS["thm-margin-rate"]

    def refuted(factor):
        claim = altered(rate, lambda s: s._replace(larger=factor * s.larger))
        return {row.family for row in ledger.run(50 * len(FAMILIES), 5, [claim]) if row.violations}

    assert refuted(0.5) == {"one against many"}
    assert refuted(0.7) == set()


# --- the shipped table


def test_the_shipped_table_covers_every_sure_theorem_with_ten_thousand_instances():
    table = ledger.shipped()
    assert [(row.theorem, row.family) for row in table] == [(t.id, f) for t in ledger.sure() for f in FAMILIES]
    assert all(total.instances >= 10_000 for total in ledger.totals(table).values())
    assert len({row.seed for row in table}) == 1


def test_no_sure_theorem_is_violated_in_the_shipped_table():
    assert [row for row in ledger.shipped() if row.violations or not row.least_slack >= 0] == []


@pytest.mark.parametrize("name", ["thm-descent", "thm-direction"])
def test_the_shipped_table_is_of_the_present_library(name):
    stored = next(row for row in ledger.shipped() if row.theorem == name and row.family == "orthogonal")
    (fresh,) = ledger.run(stored.instances, stored.seed, [icl.THEOREMS[name]], [stored.family])
    assert fresh[:5] == stored[:5]
    # two shapes of the sum in another torch or CPU differ in the last digits only
    assert fresh.median_tightness == pytest.approx(stored.median_tightness, rel=0.02)
    assert fresh.max_tightness == pytest.approx(stored.max_tightness, rel=0.02)


# --- what the page shows


def test_the_table_is_a_table_for_every_reader(rows):
    soup = BeautifulSoup(ledger.table(rows, rows), "html.parser")
    assert f"{ALL} live and {ALL} shipped" in soup.caption.text
    assert all(cell.get("scope") in {"row", "col", "colgroup"} for cell in soup.find_all("th"))
    body = [[cell.text for cell in line.find_all(["th", "td"])] for line in soup.tbody.find_all("tr")]
    assert [line[0] for line in body] == [SCALE.title, DIRECTION.title]
    assert {len(line) for line in body} == {9}
    assert body[0][3:7] == ["\N{EN DASH}"] * 4
    assert all(0 <= float(cell) <= 1 for cell in body[1][3:7])
    assert soup.div["tabindex"] == "0"  # it scrolls, so the keyboard must reach it


def test_the_table_shows_both_runs_and_the_worse_slack():
    live = ledger.Row(DIRECTION.id, "random", 0, 90, 7, -0.5, 0.25, 2.0, 9.0)
    stored = live._replace(violations=0, least_slack=0.5, median_tightness=0.75, max_tightness=0.5, rounding_used=0.0)
    soup = BeautifulSoup(ledger.table([live], [stored]), "html.parser")
    expected = ["7", "0", "0.25", "0.75", "2.00", "0.50", "-5e-01", "900.0%"]
    assert [cell.text for cell in soup.tbody.find_all("td")] == expected


def test_the_map_shows_bounds_only_and_says_what_it_shows(rows):
    fig, alt = tightness_map(rows)
    largest, median = fig.axes
    own = [row for row in rows if row.theorem == DIRECTION.id]
    assert len(largest.patches) == len(median.patches) == len(FAMILIES)
    shown = [float(text.get_text()) for text in largest.texts]
    assert shown == pytest.approx([row.max_tightness for row in own], abs=0.006)
    assert [float(text.get_text()) for text in median.texts] == pytest.approx(
        [r.median_tightness for r in own], abs=0.006
    )
    assert [text.get_position()[0] for text in largest.texts] == list(range(len(FAMILIES)))
    assert [label.get_text() for label in median.get_xticklabels()] == list(FAMILIES)
    assert [label.get_text() for label in largest.get_yticklabels()] == ["direction"]
    assert f"direction: at most {max(row.max_tightness for row in own):.2f}" in alt
    assert "scale" not in alt
