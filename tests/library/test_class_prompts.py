"""K-shot prompts of many classes: counts, no row twice, no label told beforehand; accuracy and pair weights."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets as shipped
from strategies import seeded, seeds

import icl_lib as icl

SETS = {"iris": (4, 3), "wine": (13, 3), "digits": (64, 10), "breast_cancer": (30, 2)}
every_set = pytest.mark.parametrize("name", SETS)


@every_set
def test_a_prompt_holds_so_many_rows_of_each_class(name):
    task, (features, K) = icl.ClassesTask(name), SETS[name]
    p = task.sample(4, 3, 7, generator=seeded(), dtype=torch.float64)
    assert (task.d, task.classes, p.classes) == (features + 1, K, K)
    assert (p.x.shape, p.y.shape) == ((4, 3 * K, features + 1), (4, 3 * K))
    assert (p.x_query.shape, p.y_query.shape) == ((4, 7, features + 1), (4, 7))
    assert (torch.nn.functional.one_hot(p.y, K).sum(1) == 3).all()
    assert (p.x[..., -1] == 1).all()
    assert (p.x_query[..., -1] == 1).all()


def test_classes_may_have_numbers_of_their_own():
    p = icl.ClassesTask("wine").sample(5, (1, 6, 2), generator=seeded())
    assert torch.nn.functional.one_hot(p.y, 3).sum(1).tolist() == [[1, 6, 2]] * 5
    assert p.x_query is p.y_query is None


@every_set
def test_no_row_serves_twice_and_each_keeps_its_label(name):
    """Counted: a row appears in a prompt at most as often as the data set holds it (iris repeats one)."""
    task = icl.ClassesTask(name)
    rows, own = task._free
    label = {tuple(row): int(c) for row, c in zip(rows.tolist(), own, strict=True)}
    count = [tuple(row) for row in rows.tolist()]
    p = task.sample(4, 5, 20, generator=seeded(1), dtype=torch.float64)
    for x, y in zip(torch.cat([p.x, p.x_query], 1).tolist(), torch.cat([p.y, p.y_query], 1), strict=True):
        used = [tuple(row) for row in x]
        assert all(used.count(row) <= count.count(row) for row in set(used))
        assert [label[row] for row in used] == y.tolist()


@every_set
def test_the_scale_comes_from_rows_that_never_enter_a_prompt(name):
    raw = getattr(shipped, f"load_{name}")(return_X_y=True)[0]
    order = torch.randperm(len(raw), generator=seeded(0)).numpy()
    aside, free = raw[order[: len(raw) // 3]], raw[order[len(raw) // 3 :]]
    spread = np.where(aside.std(0) == 0, 1.0, aside.std(0))
    seen = icl.ClassesTask(name)._free[0][:, :-1].numpy()
    np.testing.assert_allclose(seen * spread + aside.mean(0), free, atol=1e-9)  # features up to a few thousand


def test_principal_components_are_those_of_the_rows_set_aside():
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    raw = shipped.load_wine(return_X_y=True)[0]
    order = torch.randperm(len(raw), generator=seeded(0)).numpy()
    aside, free = raw[order[: len(raw) // 3]], raw[order[len(raw) // 3 :]]
    expected = make_pipeline(StandardScaler(), PCA(4), StandardScaler()).fit(aside).transform(free)
    task = icl.ClassesTask("wine", components=4)
    seen = task._free[0][:, :-1].numpy()
    assert task.d == 5
    np.testing.assert_allclose(np.abs(seen), np.abs(expected), atol=1e-8)  # the sign of a component is free


def test_the_same_generator_gives_the_same_prompts():
    a, b, other = (icl.ClassesTask("iris").sample(3, 2, 4, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.y_query, b.y_query)
    assert not torch.equal(a.x, other.x)


def test_features_replace_points_and_queries():
    p = icl.ClassesTask("iris").sample(2, 2, 3, generator=seeded())
    mapped = p.map(lambda x: x[..., :2])
    assert (mapped.x.shape, mapped.x_query.shape, mapped.classes) == ((2, 6, 2), (2, 3, 2), 3)
    assert torch.equal(mapped.y, p.y)
    assert torch.equal(mapped.kesler().x, icl.kesler_prompts(mapped.x, mapped.y, 3).x)


# accuracy, and weights by pair


def test_accuracy_counts_the_largest_score_and_shares_ties():
    scores = torch.tensor([[[3.0, 1.0, 2.0], [0.0, 5.0, 5.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]])
    y = torch.tensor([[0, 1, 2, 0]])
    torch.testing.assert_close(icl.class_accuracy(scores, y), torch.tensor([(1 + 1 / 2 + 1 / 3 + 0) / 4]))
    path = torch.stack([scores, -scores])
    assert icl.class_accuracy(path, y).shape == (2, 1)


@given(seeds, st.integers(2, 5))
def test_pair_weights_put_every_token_at_its_pair(seed, K):
    g = seeded(seed)
    x, y = torch.randn(3, 4, 2, generator=g, dtype=torch.float64), torch.randint(K, (3, 4), generator=g)
    p, w = icl.kesler_prompts(x, y, K), torch.randn(3, 2 * K, generator=g, dtype=torch.float64)
    pairs = icl.pair_weights(icl.exponential_weights(w, p.z), y, K)
    scores = icl.class_scores(w, x)
    ahead = (scores - scores.gather(-1, y[..., None])).exp()
    ahead.scatter_(-1, y[..., None], 0.0)
    expected = ahead / ahead.sum((-1, -2), keepdim=True)
    torch.testing.assert_close(pairs, expected, rtol=1e-12, atol=1e-14)  # sums of 16 terms


def test_a_whole_path_of_classifiers_is_scored_at_once():
    p = icl.ClassesTask("iris").sample(2, 2, 3, generator=seeded(), dtype=torch.float64)
    path = icl.Looped(icl.ngd_layer(15, 1.0), 4).iterates(p.kesler().normalized())
    scores = icl.class_scores(path, p.x_query)
    assert scores.shape == (5, 2, 3, 3)
    torch.testing.assert_close(scores[3], icl.class_scores(path[3], p.x_query))
    torch.testing.assert_close(icl.class_accuracy(scores[:1], p.y_query), torch.full((1, 2), 1 / 3).double())


def test_renaming_the_classes_renames_the_answers():
    """No class is special: only the prompt's own labels say which is which."""
    p = icl.ClassesTask("iris").sample(3, 4, 5, generator=seeded(), dtype=torch.float64)
    new = torch.tensor([2, 0, 1])
    layer = icl.Looped(icl.ngd_layer(15, 1.0), 20)
    one, other = (
        icl.class_scores(layer.final(icl.kesler_prompts(p.x, y, 3).normalized()), p.x_query) for y in (p.y, new[p.y])
    )
    torch.testing.assert_close(other[..., new], one, rtol=1e-9, atol=1e-12)  # another order of sums, 20 layers


# what is refused

IRIS = icl.ClassesTask("iris")
GOOD = {
    "x": torch.zeros(1, 2, 3),
    "y": torch.tensor([[0, 1]]),
    "classes": 2,
    "x_query": torch.zeros(1, 1, 3),
    "y_query": torch.tensor([[1]]),
}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: icl.ClassesTask("mnist"), "^name: got 'mnist'"),
        (lambda: icl.ClassesTask("iris", components=5), "^components: got 5, expected at most 4"),
        (lambda: icl.ClassesTask("iris", components=0), "^components: got 0"),
        (lambda: IRIS.sample(1, 0, generator=seeded()), "^shots: got 0"),
        (lambda: IRIS.sample(1, (1, 2), generator=seeded()), r"^shots: got \(1, 2\)"),
        (lambda: IRIS.sample(1, 40, generator=seeded()), "^shots: got 40"),
        (lambda: IRIS.sample(1, 20, 60, generator=seeded()), "^shots: got 20 with queries=60"),
        (lambda: IRIS.sample(1, 1, generator=0), "^generator: got int"),
        (lambda: IRIS.sample(0, 1, generator=seeded()), "^batch: got 0"),
        (lambda: icl.ClassPrompts(**GOOD | {"y_query": None}), "^y_query: got one of"),
        (lambda: icl.ClassPrompts(**GOOD | {"y_query": torch.tensor([[2]])}), "^y_query: got classes 2 to 2"),
        (lambda: icl.ClassPrompts(**GOOD | {"y": torch.tensor([[0.0, 1.0]])}), "^y: got torch.float32"),
        (lambda: icl.ClassPrompts(**GOOD | {"x_query": torch.zeros(1, 1, 2)}), "^x_query: got shape"),
        (lambda: icl.ClassPrompts(**GOOD | {"x_query": torch.zeros(1, 1, 3).double()}), "^x_query: got torch.float64"),
        (lambda: icl.class_accuracy(torch.zeros(2, 3, 4), torch.zeros(2, 2).long()), "^y: got shape"),
        (lambda: icl.class_accuracy(torch.zeros(2, 3, 4), torch.zeros(2, 3)), "^y: got torch.float32"),
        (lambda: icl.class_accuracy(torch.zeros(2, 3, 4), torch.full((2, 3), 4)), "^y: got classes 4 to 4"),
        (lambda: icl.pair_weights(torch.ones(1, 3), torch.tensor([[0, 1]]), 2), "^q: got shape"),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(icl.BadInput, match=message):
        make()
