"""The classifier for scikit-learn: scikit-learn's own checks, what the theory promises, and what users get wrong."""

import doctest
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_blobs, make_circles
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from strategies import seeded, seeds

import icl_lib as icl
from icl_lib import estimator
from icl_lib.estimator import HEADS, InContextClassifier

INSTANCES = [
    InContextClassifier(),
    InContextClassifier(head="ngd", depth=200),
    InContextClassifier(head="logistic", depth=200),
    InContextClassifier(depth=100, intercept=False),
    InContextClassifier(depth=100, features="polynomial"),
    InContextClassifier(head="logistic", depth=50, features="spline"),
]


@parametrize_with_checks(INSTANCES)
def test_scikit_learns_checks_pass_unmodified(estimator, check):
    check(estimator)


def labelled(seed, n=20, d=3, classes=2):
    """Points in general position with every class present; labels are noise, so nothing is separable by design."""
    g = seeded(seed)
    X = torch.randn(n, d, generator=g, dtype=torch.float64).numpy()
    return X, np.arange(n)[torch.randperm(n, generator=g).numpy()] % classes


def separable(seed, n=30, d=4):
    """Points with a max margin of at least 0.1 in R^(d + 1), the constant coordinate included; labels 0 and 1."""
    g = seeded(seed)
    X = torch.rand(n, d, generator=g, dtype=torch.float64).numpy() * 2 - 1
    normal = torch.randn(d, generator=g, dtype=torch.float64).numpy()
    normal /= np.linalg.norm(normal)
    side = np.where(X @ normal >= 0, 1.0, -1.0)
    return X + 0.2 * side[:, None] * normal, (side > 0).astype(int)


# --- what it is: one forward pass of a fixed layer


@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_looped_layer_on_prompt_and_queries(head):
    """Same operations in another order of products and divisions: 1e-10 after 50 layers."""
    X, y = labelled(0)
    queries = labelled(1)[0]
    ours = InContextClassifier(head, depth=50).fit(X, y).decision_function(queries)
    both = np.c_[np.vstack([X, queries]) / np.abs(X).max(), np.ones(40)]
    prompts = icl.Prompts.from_arrays(both[:20], 2.0 * y - 1, both[20:]).normalized()
    layer = {
        "ngd": icl.ngd_layer(4, 1.0),
        "momentum": icl.momentum_layer(4, 1.0),
        "logistic": icl.logistic_block(4, 4.0),
    }
    expected = icl.Looped(layer[head], 50).decision(prompts)[0]
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-10, atol=1e-12)


def test_many_classes_are_keslers_tokens():
    X, y = labelled(2, classes=3)
    ours = InContextClassifier(depth=30, intercept=False).fit(X, y)
    x = torch.from_numpy(X)[None]
    prompts = icl.kesler_prompts(x, torch.from_numpy(y)[None], 3)
    w = icl.momentum_ngd(prompts.normalized().z, 1.0, 30)[-1]
    expected = icl.class_scores(w, x / prompts.radius)[0]
    np.testing.assert_allclose(ours.decision_function(X), expected.numpy(), rtol=1e-10, atol=1e-12)
    assert (ours.predict(X) == expected.argmax(-1).numpy()).all()


@settings(max_examples=5)
@given(seeds)
def test_deep_momentum_points_where_the_max_margin_does(seed):
    """Depth 3000, step 1: within 1e-3 rad of the quadratic programme. (What the theorem promises is far looser.)"""
    X, y = separable(seed)
    clf = InContextClassifier("momentum", depth=3000, step=1.0).fit(X, y)
    z = (2.0 * y - 1)[:, None] * np.c_[np.ones(len(X)), X / clf.scale_]
    best = icl.max_margin(torch.from_numpy(z)[None])
    assert float(icl.angle(torch.from_numpy(clf.weights_), best.direction)) < 1e-3
    reached = clf.margin_ * np.linalg.norm(z, axis=1).max()
    assert reached == pytest.approx(float(best.margin), rel=1e-3)


@given(seeds, st.sampled_from(["momentum", "ngd"]))
def test_margins_are_certified_and_tol_stops_early(seed, head):
    """The quadratic programme's margin lies between the two; its own tolerance is 1e-6."""
    X, y = separable(seed)
    clf = InContextClassifier(head, tol=0.2).fit(X, y)
    z = (2.0 * y - 1)[:, None] * np.c_[np.ones(len(X)), X / clf.scale_]
    exact = float(icl.max_margin(torch.from_numpy(z)[None]).margin) / np.linalg.norm(z, axis=1).max()
    assert clf.margin_ <= exact * (1 + 1e-6)
    assert exact * (1 - 1e-6) <= clf.margin_bound_
    assert clf.n_iter_ < 1000 or head == "ngd"
    assert clf.n_iter_ == 1000 or clf.margin_ >= 0.8 * clf.margin_bound_
    assert InContextClassifier(head, depth=7).fit(X, y).n_iter_ == 7


def test_coefficients_are_those_of_the_decision():
    X, y = labelled(3, classes=3)
    for intercept in (True, False):
        clf = InContextClassifier(depth=20, intercept=intercept).fit(X, y)
        np.testing.assert_allclose(X @ clf.coef_.T + clf.intercept_, clf.decision_function(X), rtol=1e-12, atol=1e-12)
        assert clf.coef_.shape == (3, 3)
        assert clf.intercept_.any() == intercept


def test_coefficients_behind_features_are_refused():
    clf = InContextClassifier(depth=1, features="polynomial").fit(*labelled(3))
    for name in ("coef_", "intercept_"):
        assert not hasattr(clf, name)
        with pytest.raises(AttributeError, match=f"{name} needs features=None"):
            getattr(clf, name)


# --- features


@given(seeds, st.integers(1, 3), st.sampled_from([1.0, 50.0]))
def test_polynomial_features_are_scikit_learns_even_beyond_the_context(seed, degree, far):
    """In units of scale_. Monomials of 50 times the range seen: relative 1e-12."""
    X, y = labelled(seed)
    clf = InContextClassifier(depth=1, features="polynomial", degree=degree).fit(X, y)
    queries = far * labelled(seed + 1)[0]
    expected = PolynomialFeatures(degree).fit_transform(queries / clf.scale_) @ clf.weights_[0]
    np.testing.assert_allclose(clf.decision_function(queries), expected, rtol=0, atol=1e-12 * far**degree)


def test_spline_features_are_those_of_the_heads_on_all_coordinates_at_once():
    X, y = labelled(4)
    clf = InContextClassifier(depth=1, features="spline", degree=3, pieces=4).fit(X, y)
    heads = icl.featurizer(3, "spline", 3, 4, tokens=20)
    expected = heads(torch.from_numpy(X / clf.scale_)[None])[0].numpy() @ clf.weights_[0]
    np.testing.assert_allclose(clf.decision_function(X), expected, rtol=0, atol=1e-10)  # splines cancel digits


def test_splines_stay_at_their_edge_beyond_it():
    X, y = labelled(5)
    clf = InContextClassifier(depth=5, features="spline").fit(X, y)
    far, edge = np.full((1, 3), 1e6), np.full((1, 3), clf.scale_)
    np.testing.assert_array_equal(clf.decision_function(far), clf.decision_function(edge))


@pytest.mark.parametrize("features", [None, "polynomial", "spline"])
def test_rows_are_read_in_chunks_with_the_same_answer(features, monkeypatch):
    X, y = labelled(6)
    whole = InContextClassifier(depth=20, features=features).fit(X, y).decision_function(X)
    monkeypatch.setattr(estimator, "CHUNK", 7)
    parts = InContextClassifier(depth=20, features=features).fit(X, y).decision_function(X)
    np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-9)  # 20 layers amplify rounding a little


@pytest.mark.parametrize("features", ["polynomial", "spline"])
def test_features_bend_the_boundary(features):
    X, y = make_circles(100, factor=0.5, noise=0.05, random_state=0)
    assert InContextClassifier(features=features, depth=300).fit(X[:70], y[:70]).score(X[70:], y[70:]) > 0.95
    assert InContextClassifier(depth=300).fit(X[:70], y[:70]).score(X[70:], y[70:]) < 0.8


# --- what does not matter: the order of rows, units, names of classes

KINDS = st.sampled_from(
    [
        {"head": "momentum"},
        {"head": "ngd", "intercept": False},
        {"head": "logistic"},
        {"features": "polynomial"},
        {"features": "spline"},
    ]
)


@given(seeds, KINDS, st.integers(2, 3))
def test_the_order_of_rows_does_not_matter(seed, kind, classes):
    """Sums in another order: decisions agree to 1e-9 after 50 layers (tokens lie within R = 1)."""
    X, y = labelled(seed, classes=classes)
    order = torch.randperm(len(y), generator=seeded(seed + 1)).numpy()
    clf = InContextClassifier(depth=50, **kind)
    after = clone(clf).fit(X[order], y[order]).decision_function(X)
    np.testing.assert_allclose(after, clf.fit(X, y).decision_function(X), rtol=1e-9, atol=1e-9)


@given(seeds, KINDS, st.sampled_from([1e-30, 2.0**-7, 3.0, 1e20]))
def test_units_do_not_matter(seed, kind, c):
    """c is divided out at once, so intercepts and features do not notice it either; only rounding does."""
    X, y = labelled(seed)
    clf = InContextClassifier(depth=50, **kind)
    after = clone(clf).fit(c * X, y).decision_function(c * X)
    np.testing.assert_allclose(after, clf.fit(X, y).decision_function(X), rtol=1e-9, atol=1e-9)


@given(seeds, KINDS, st.permutations(["ape", "bee", "cow"]))
def test_names_of_classes_do_not_matter(seed, kind, names):
    X, y = labelled(seed, classes=3)
    clf, names = InContextClassifier(depth=50, **kind), np.array(names)
    renamed, own = clone(clf).fit(X, names[y]), clf.fit(X, y)
    assert list(renamed.classes_) == ["ape", "bee", "cow"]
    scores = renamed.decision_function(X)[:, np.argsort(np.argsort(names))]
    np.testing.assert_allclose(scores, own.decision_function(X), rtol=1e-9, atol=1e-9)
    assert set(renamed.predict(X)) <= set(names)


@given(seeds, KINDS)
def test_two_classes_swapped_turn_the_decision_over(seed, kind):
    X, y = labelled(seed)
    clf = InContextClassifier(depth=50, **kind)
    turned = clone(clf).fit(X, 1 - y).decision_function(X)
    np.testing.assert_allclose(turned, -clf.fit(X, y).decision_function(X), rtol=1e-9, atol=1e-9)


# --- scikit-learn's tools


def test_it_lives_in_pipelines_and_searches():
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), InContextClassifier(depth=30))
    grid = {"incontextclassifier__depth": [3, 100], "incontextclassifier__head": ["momentum", "ngd"]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    assert search.best_params_["incontextclassifier__depth"] == 100
    assert search.best_score_ > 0.93


@pytest.mark.parametrize("kind", INSTANCES[2:], ids=str)
def test_it_is_copied_by_pickle_and_clone(kind):
    X, y = labelled(7, classes=3)
    clf = clone(kind).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict(X), clf.predict(X))
    assert clone(clf).get_params() == kind.get_params()
    assert not hasattr(clone(clf), "weights_")


def test_what_is_kept_does_not_grow_with_the_context():
    sizes = [len(pickle.dumps(InContextClassifier(depth=2).fit(*labelled(8, n=n)))) for n in (20, 2000)]
    assert sizes[0] == sizes[1]


def test_the_docstrings_example_runs():
    assert doctest.testmod(estimator).attempted >= 7
    assert doctest.testmod(estimator).failed == 0


@pytest.mark.parametrize(
    ("load", "rows", "options"),
    [(load_iris, 150, {}), (load_breast_cancer, 569, {}), (load_digits, 450, {"depth": 300, "step": 4.0})],
)
def test_accuracy_is_near_logistic_regressions(load, rows, options):
    """Three folds, standardised columns: within 3 percent of LogisticRegression(C=1), that is 14 digits of 450."""
    X, y = load(return_X_y=True)
    X, y = X[:rows].astype(np.float32), y[:rows]
    ours = cross_val_score(make_pipeline(StandardScaler(), InContextClassifier(**options)), X, y, cv=3).mean()
    theirs = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), X, y, cv=3).mean()
    assert ours > theirs - 0.03


# --- probabilities


def test_only_the_logistic_head_has_probabilities():
    assert not hasattr(InContextClassifier(), "predict_proba")
    assert not hasattr(InContextClassifier("ngd"), "predict_proba")
    assert hasattr(InContextClassifier("logistic"), "predict_proba")


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_the_pairwise_odds_of_the_loss(classes):
    X, y = labelled(9, classes=classes)
    clf = InContextClassifier("logistic", depth=50).fit(X, y)
    P, scores = clf.predict_proba(X), clf.decision_function(X)
    np.testing.assert_allclose(P.sum(1), 1.0, rtol=1e-12)
    odds = np.log(P[:, 1] / P[:, 0])
    np.testing.assert_allclose(odds, scores if classes == 2 else scores[:, 1] - scores[:, 0], rtol=1e-9, atol=1e-12)


def test_the_logistic_head_tends_to_logistic_regression_without_penalty():
    """Noisy labels, so that there is a minimum: at depth 3000 and step 2 coefficients agree to 1 percent."""
    X, y = labelled(10, n=60, d=2)
    clf = InContextClassifier("logistic", depth=3000, step=2.0).fit(X, y)
    exact = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(clf.coef_, exact.coef_, rtol=0.01)
    np.testing.assert_allclose(clf.predict_proba(X), exact.predict_proba(X), atol=1e-3)


# --- hard data


@pytest.mark.parametrize("head", HEADS)
def test_contradicting_duplicates_leave_the_decision_at_zero(head):
    X = np.repeat([[1.0, 2.0], [3.0, -1.0]], 2, axis=0)
    clf = InContextClassifier(head, depth=100).fit(X, ["a", "b", "a", "b"])
    np.testing.assert_allclose(clf.decision_function(X), 0.0, atol=1e-12)
    assert clf.margin_ == pytest.approx(0.0, abs=1e-12)
    assert set(clf.predict(X)) <= {"a", "b"}


def test_rows_of_zeros_are_points_like_others():
    X, y = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]), np.array([1, 1, 0])
    assert (InContextClassifier().fit(X, y).predict(X) == y).all()
    clf = InContextClassifier(intercept=False).fit(X, y)
    assert clf.decision_function(X)[0] == 0
    assert clf.margin_ == 0  # a zero token is never on the right side


def test_nothing_but_zeros_needs_an_intercept():
    X, y = np.zeros((3, 2)), [0, 1, 1]
    assert (InContextClassifier().fit(X, y).predict(X) == 1).all()  # the majority
    with pytest.raises(icl.BadInput, match="got only zeros"):
        InContextClassifier(intercept=False).fit(X, y)


def test_float32_stays_float32():
    X, y = labelled(11)
    clf = InContextClassifier("logistic", depth=20).fit(X.astype(np.float32), y)
    assert clf.coef_.dtype == clf.decision_function(X).dtype == clf.predict_proba(X).dtype == np.float32
    wide = InContextClassifier("logistic", depth=20).fit(X, y)
    np.testing.assert_allclose(clf.decision_function(X), wide.decision_function(X), atol=1e-4)


@pytest.mark.parametrize("y", [["no", "yes", "no"], [True, False, True], [3, 7, 3], np.array([0.0, 1.0, 0.0])])
def test_labels_come_back_as_they_went_in(y):
    X = np.array([[-1.0], [1.0], [-2.0]])
    clf = InContextClassifier().fit(X, y)
    np.testing.assert_array_equal(clf.predict(X), y)
    assert clf.predict(X).dtype == np.asarray(y).dtype


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[1.0]], [1], "y: got 1 class, expected two classes or more"),
        ([[1.0], [2.0]], ["a", "a"], "y: got 1 class"),
        ([[1.0], [np.nan]], [0, 1], "NaN"),
        ([[1.0], [np.inf]], [0, 1], "infinity"),
        ([[1.0], [2.0]], [0.5, 1.7], "Unknown label type"),
        ([[1.0], [2.0]], [0, 1, 1], "inconsistent numbers of samples"),
    ],
)
def test_data_that_no_classifier_can_take_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        InContextClassifier().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"head": "svm"}, "^head: got 'svm', expected one of 'logistic', 'momentum', 'ngd'"),
        ({"depth": 0}, "^depth: got 0"),
        ({"step": -1.0}, "^step: got -1.0"),
        ({"features": "fourier"}, "^features: got 'fourier'"),
        ({"degree": 1.5}, "^degree: got 1.5"),
        ({"pieces": 0}, "^pieces: got 0"),
        ({"tol": 0.0}, "^tol: got 0.0"),
        ({"intercept": "yes"}, "^intercept: got 'yes'"),
        ({"features": "polynomial", "degree": 9}, r"^features: got 220 monomials .*, expected at most 200"),
        ({"head": "logistic", "step": 1e308}, "^step: got inf"),
    ],
)
def test_bad_parameters_are_refused_in_fit_by_name(parameters, message):
    with pytest.raises(icl.BadInput, match=message):
        InContextClassifier(**parameters).fit(*labelled(12))


def test_a_query_too_far_for_its_features_is_refused():
    clf = InContextClassifier(depth=1, features="polynomial").fit(*labelled(13))
    with pytest.raises(icl.BadInput, match="^X: got"):
        clf.predict(np.full((1, 3), 1e200))


def test_blobs_of_five_classes():
    X, y = make_blobs(200, centers=5, cluster_std=0.5, random_state=0)
    assert InContextClassifier(depth=300).fit(X[:100], y[:100]).score(X[100:], y[100:]) > 0.9
