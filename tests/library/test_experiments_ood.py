"""The suite of foreign laws: same prompts for all methods, the same table from every executor, nothing left out."""

from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

import icl_lib as icl
from icl_lib.experiments import out_of_distribution as ood
from icl_lib.plots import suite_errors, suite_table

CHEAP = ("NGD", "SVM", "averaging")  # no layer to be trained
ROWS = ("cube", "10 % of labels flipped", "iris 1/2, n = 20")


def cells(laws=ROWS, methods=CHEAP, prompts=6):
    return [c for c in ood.grid(prompts, laws=laws) if c["method"] in methods]


def run(law, method="NGD", prompts=6):
    return ood.cell(law, method, prompts, seed=0)


@pytest.mark.parametrize("law", ood.SUITE)
def test_every_law_draws_prompts_with_labelled_queries(law):
    prompts = ood.SUITE[law](2, torch.Generator().manual_seed(0))
    assert prompts.x.dtype == torch.float64
    assert prompts.y_query.shape == prompts.x_query.shape[:2]
    again = ood.SUITE[law](2, torch.Generator().manual_seed(0))
    assert torch.equal(prompts.x, again.x)
    assert torch.equal(prompts.x_query, again.x_query)


def test_a_process_pool_makes_the_same_table(tmp_path):
    serial, pooled = tmp_path / "serial.csv", tmp_path / "pooled.csv"
    icl.sweep(ood.cell, cells(), out=serial, progress=False)
    with ProcessPoolExecutor(2) as pool:
        icl.sweep(ood.cell, cells(), executor=pool, out=pooled, progress=False)
    assert serial.read_bytes() == pooled.read_bytes()


def test_a_stopped_sweep_goes_on_where_it_was(tmp_path):
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    icl.sweep(ood.cell, cells(), out=whole, progress=False)
    icl.sweep(ood.cell, cells()[:4], out=part, progress=False)
    assert icl.sweep(ood.cell, cells(), out=part, progress=False).taken == 4
    assert whole.read_bytes() == part.read_bytes()


def test_the_trained_layer_is_ngd_on_a_law_it_never_saw():
    found = run("Student t, 3 df", "layer")
    assert found["apart"] < 1e-9  # 200 steps of training in ten dimensions end at rounding
    assert found["answers"] == 0
    assert run("Student t, 3 df", "layer, 10 steps")["apart"] > 1e-3


@pytest.mark.parametrize("method", ood.METHODS)
def test_scaled_queries_get_the_answers_they_had(method):
    assert run("Gaussian, as trained", method) == run("queries scaled by 100", method)


def test_separators_are_told_from_their_absence():
    clean, noisy = run("margin 0.5", "SVM"), run("20 % of labels flipped", "SVM", prompts=12)
    assert clean["separable"] == clean["own"] == 1
    assert clean["promised"] < float("inf") == noisy["promised"]
    assert noisy["separable"] < 0.5
    assert noisy["own"] < 1


def test_contexts_of_one_class_are_fitted_too():
    x = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[..., 0] = x[..., 0].abs() + 1
    raw = icl.Prompts(x, torch.ones_like(x[..., 0]))
    svm, margin = ood._svm(raw)
    logistic = ood._logistic(ood.Problem(raw, raw, svm, svm, margin))
    assert margin[0] > 0
    assert (icl.margins(logistic, raw.z) > 0).all()


def test_without_intercept_the_mirror_image_changes_nothing():
    from sklearn.linear_model import LogisticRegression

    raw = ood.SUITE["20 % of labels flipped"](2, torch.Generator().manual_seed(0))
    options = {"fit_intercept": False, "tol": 1e-10, "max_iter": 10_000}
    mirrored = ood._fit(LogisticRegression(C=0.5, **options), raw)
    for w, x, y in zip(mirrored, raw.x.numpy(), raw.y.numpy(), strict=True):
        plain = LogisticRegression(C=1.0, **options).fit(x, y).coef_[0]
        torch.testing.assert_close(w, torch.from_numpy(plain), rtol=1e-5, atol=1e-5)  # the solver's own tolerance


@pytest.mark.parametrize(("law", "method"), [("moon", "NGD"), ("cube", "magic")])
def test_unknown_names_are_refused(law, method):
    with pytest.raises(icl.BadInput, match="law|method"):
        run(law, method)


def test_the_shipped_table_leaves_nothing_out():
    rows = ood.shipped()
    wanted = {(c["law"], c["method"], c["prompts"]) for c in ood.grid(500)}
    assert {(r["law"], r["method"], r["prompts"]) for r in rows} == wanted
    assert not any(r["failure"] for r in rows)
    assert all(r["low"] <= r["error"] <= r["high"] for r in rows)


def test_the_shipped_table_is_this_codes():
    """A cheap row again: the numbers may differ in the last digit from machine to machine."""
    [row] = [r for r in ood.shipped() if (r["law"], r["method"]) == ("n = 10", "averaging")]
    again = ood.cell("n = 10", "averaging", row["prompts"], row["seed"])
    assert again == pytest.approx({name: row[name] for name in again}, rel=1e-2)


def test_the_command_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ood, "METHODS", {m: ood.METHODS[m] for m in ("NGD", "averaging")})
    few = cells(["cube"], ood.METHODS, prompts=4)
    monkeypatch.setattr(ood, "grid", lambda prompts: few if prompts == 4 else [])
    table = ood.main(["--out", str(tmp_path / "table.csv"), "--prompts", "4"])
    assert len(table.rows) == 2
    assert (tmp_path / "table.csv").read_text(encoding="utf8").count("\n") == 3
    assert "2 cells" in capsys.readouterr().out


def test_the_table_as_html_names_rows_and_columns_and_scrolls():
    html = suite_table(ood.shipped())
    assert html.count('scope="row"') == len(ood.SUITE)
    assert html.count('scope="col"') == len(ood.METHODS) + 3
    for needed in ("overflow-x:auto", 'tabindex="0"', "aria-label", "<caption>"):
        assert needed in html


def test_the_figure_says_who_is_best_on_every_law():
    _, alt = suite_errors(ood.shipped())
    assert all(law in alt for law in ood.SUITE)
    assert "Student t, 3 df: layer 12.5, best momentum 10.5" in alt
