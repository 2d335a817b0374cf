"""K-shot learning of real data: all methods see the same prompt, no label of a query; the table is this code's."""

from dataclasses import replace

import pytest
import torch
from strategies import seeded

import icl_lib as icl
from icl_lib.experiments import many_classes as mc
from icl_lib.plots import accuracy_by_depth, accuracy_by_shots, class_regions, class_tables, pair_attention


@pytest.mark.parametrize("data", mc.DATA)
def test_every_data_set_gives_prompts_with_a_rare_class(data):
    p = mc.problem(data, 5, 2, draw=4)
    rare = 4 % p.classes
    counts = torch.nn.functional.one_hot(p.y, p.classes).sum(1)[0].tolist()
    assert counts == [2 if c == rare else 5 for c in range(p.classes)]
    assert p.x_query.shape[1] == mc.QUERIES[data.split(",")[0]]


def test_features_are_all_monomials_of_degree_two():
    """The constant of the points is left out, as the featurizer writes its own."""
    x = torch.randn(2, 3, 4, generator=seeded(), dtype=torch.float64)
    x[..., -1] = 1.0
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    expected = torch.stack([torch.ones_like(a), a, b, c, a * a, a * b, a * c, b * b, b * c, c * c], -1)
    torch.testing.assert_close(mc.features(4, 2)(x), expected, rtol=0, atol=1e-11)  # products beside C = 1e4


@pytest.mark.parametrize("method", mc.METHODS)
def test_no_method_looks_at_the_labels_of_the_queries(method):
    p = mc.problem("iris", 2, 2, draw=1)
    blind = replace(p, y_query=torch.zeros_like(p.y_query))
    assert torch.equal(mc.METHODS[method](p), mc.METHODS[method](blind))


@pytest.mark.parametrize("method", mc.METHODS)
def test_a_query_is_answered_as_if_it_were_the_only_one(method):
    p = mc.problem("wine", 2, 2, draw=1)
    alone = replace(p, x_query=p.x_query[:, :1], y_query=p.y_query[:, :1])
    both = [mc.METHODS[method](v)[:, :1].argmax(-1) for v in (p, alone)]
    assert torch.equal(*both)


def test_fitted_methods_are_scikit_learns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestCentroid

    p = mc.problem("wine", 5, 5, draw=0)
    x, y, q = p.x[0].numpy(), p.y[0].numpy(), p.x_query[0].numpy()
    expected = LogisticRegression(fit_intercept=False).fit(x, y).predict(q)
    assert mc.METHODS["logistic"](p)[0].argmax(-1).tolist() == expected.tolist()
    expected = NearestCentroid().fit(x[:, :-1], y).predict(q[:, :-1])  # it warns of a constant feature
    assert mc.METHODS["mean"](p)[0].argmax(-1).tolist() == expected.tolist()


def test_a_rare_class_is_recalled_by_its_own_queries_alone():
    """By hand, from the scores: class 1 is rare in draw 1."""
    p, found = mc.problem("iris", 20, 2, draw=1), mc.cell("iris", 20, 2, draw=1)
    answer = mc.looped(p).argmax(-1)[0]
    asked = p.y_query[0] == 1
    assert found["recall_ngd"] == pytest.approx(float((answer[asked] == 1).double().mean()), abs=1e-4)
    assert found["ngd"] == pytest.approx(float((answer == p.y_query[0]).double().mean()), abs=1e-4)


def test_the_shipped_table_leaves_nothing_out():
    key = ("data", "shots", "rare", "draw")
    assert [{k: row[k] for k in key} for row in mc.shipped()] == mc.grid()


@pytest.mark.parametrize("where", [("iris", 5, 5, 3), ("wine", 20, 2, 2), ("iris, quadratic", 2, 2, 7)])
def test_the_shipped_table_is_this_codes(where):
    """Two of 40 or 50 queries may lie on a boundary and fall elsewhere on another machine."""
    [row] = [r for r in mc.shipped() if (r["data"], r["shots"], r["rare"], r["draw"]) == where]
    again = mc.cell(*where)
    assert all(abs(again[name] - row[name]) <= 0.051 for name in mc.METHODS)


def test_columns_have_a_row_for_each_draw():
    rows = mc.shipped()
    assert mc.column(rows, "ngd", "digits").shape == (mc.DRAWS, len(mc.SHOTS))
    assert mc.column(rows, "recall_ngd", "wine", (20,), rare=2).shape == (mc.DRAWS, 1)
    with pytest.raises(icl.BadInput, match="^rows: got "):
        mc.column(rows, "ngd", "moon")


@pytest.mark.parametrize(("change", "name"), [({"data": "moon"}, "data"), ({"shots": 0}, "shots")])
def test_bad_cells_are_refused(change, name):
    with pytest.raises(icl.BadInput, match=f"^{name}: got "):
        mc.cell(**{"data": "iris", "shots": 1, "rare": 1, "draw": 0} | change)


def test_the_command_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mc, "METHODS", {m: mc.METHODS[m] for m in ("ngd", "mean")})
    monkeypatch.setattr(mc, "grid", lambda draws: [{"data": "iris", "shots": 1, "rare": 1, "draw": 0}] * (draws == 3))
    table = mc.main(["--out", str(tmp_path / "table.csv"), "--draws", "3"])
    assert set(table.rows[0]) >= {"ngd", "recall_ngd", "mean", "recall_mean"}
    assert "1 cell" in capsys.readouterr().out


# figures say what they show


def some_interval(n):
    value = torch.linspace(0.5, 0.9, n)
    return icl.Interval(value, value - 0.1, value + 0.1)


def test_figures_say_what_they_show():
    g = seeded()
    x, y = torch.randn(9, 2, generator=g, dtype=torch.float64), torch.arange(3).repeat(3)
    W = torch.randn(3, 3, generator=g, dtype=torch.float64)
    wrong = int(((x @ W[:, :2].T + W[:, 2]).argmax(-1) != y).sum())
    assert f"now: {wrong} of 9 on the wrong side" in class_regions(x, y, {"now": W})[1]
    q = torch.zeros(9, 3, dtype=torch.float64)
    q[0, 1], q[1, 2] = 0.95, 0.05
    assert "now: 1 of 2 pairs hold 90 percent" in pair_attention(x, y, {"now": (W, q)})[1]
    lines = {"iris": {"ngd": some_interval(3)}}
    assert "iris, NGD layers: 50.0, 70.0, 90.0" in accuracy_by_shots((1, 2, 5), lines)[1]
    assert "minus that of chance" in accuracy_by_shots((1, 2, 5), lines, "chance")[1]
    alt = accuracy_by_depth((1, 10, 100), lines, {"iris": {"svm": 0.8}}, fixed=10)[1]
    assert "highest 90.0 at depth 100" in alt
    assert "linear SVM: 80.0" in alt
    table = torch.eye(3)[[1, 2, 0]] / 3
    assert "0 against 1" in class_tables({"a": table, "b": table}, "rival", "own")[1]


def test_a_fourth_class_in_the_plane_is_refused():
    with pytest.raises(icl.BadInput, match="^y: got classes 0 to 3"):
        class_regions(torch.zeros(4, 2), torch.arange(4), {})
