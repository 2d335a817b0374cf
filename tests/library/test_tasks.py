"""Prompts, and the laws they are drawn from."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, normal, prompts, seeded

import icl_lib as icl

DATASETS = {"breast_cancer": (0, 1), "digits": (3, 8), "iris": (1, 2), "wine": (0, 2)}
datasets = pytest.mark.parametrize(("name", "classes"), DATASETS.items())


# Prompts


@given(prompts(queries=2))
def test_tokens_are_folded_points(p):
    for b in range(p.y.shape[0]):
        for i in range(p.y.shape[1]):
            assert torch.equal(p.z[b, i], p.x[b, i] if p.y[b, i] > 0 else -p.x[b, i])
    assert torch.equal(p.zt, p.z.mT)
    assert p.zt.is_contiguous()


@given(prompts(queries=2))
def test_normalized_prompts_have_radius_one_each(p):
    q = p.normalized()
    assert_same(q.radius, torch.ones_like(q.radius))
    largest = torch.stack([torch.stack([z.norm() for z in context]).max() for context in p.x])
    assert_same(p.radius, largest)
    assert_same(q.x * largest[:, None, None], p.x)
    assert_same(q.x_query * largest[:, None, None], p.x_query)
    assert torch.equal(q.y, p.y)
    assert torch.equal(q.y_query, p.y_query)


def test_normalizing_does_not_move_the_generating_direction():
    p = icl.LinearTask(3).sample(4, 5, generator=seeded())
    assert torch.equal(p.normalized().w_star, p.w_star)
    assert p.normalized().x_query is None


def test_norms_of_1e6_and_1e_minus_6_normalize():
    for scale in (1e6, 1e-6):
        assert_same(folded_points(scale).normalized().radius, torch.ones(2), rtol=1e-6)


def folded_points(scale: float) -> icl.Prompts:
    return icl.Prompts(scale * normal(2, 3, 4).float(), torch.ones(2, 3))


def test_features_are_mapped_for_context_and_queries_alike():
    p = icl.LinearTask(2).sample(3, 5, queries=2, generator=seeded())
    q = p.map(lambda x: torch.cat([x, x**2], -1))
    assert torch.equal(q.x, torch.cat([p.x, p.x**2], -1))
    assert torch.equal(q.x_query, torch.cat([p.x_query, p.x_query**2], -1))
    assert torch.equal(q.z, p.y[..., None] * q.x), "features are folded after they are made, not before"
    assert torch.equal(q.y, p.y)
    assert torch.equal(q.y_query, p.y_query)
    assert q.w_star is None
    assert icl.LinearTask(2).sample(3, 5, generator=seeded()).map(torch.square).x_query is None


def test_raw_tokens_hold_the_pairs_and_a_query_without_its_label():
    p = icl.LinearTask(2).sample(3, 4, queries=2, generator=seeded())
    for k in (0, 1):
        raw = p.raw_tokens(k)
        assert raw.shape == (3, 5, 3)
        assert torch.equal(raw[:, :4, :2], p.x)
        assert torch.equal(raw[:, :4, 2], p.y)
        assert torch.equal(raw[:, 4, :2], p.x_query[:, k])
        assert torch.equal(raw[:, 4, 2], torch.ones(3)), "the place-holder must not tell the label"
    assert (p.y_query < 0).any()


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label_dtype", [np.int64, np.int8, None])
def test_arrays_become_prompts(batch, dtype, label_dtype):
    r = np.random.default_rng(0)
    x, asked = (r.normal(size=(*batch, k, 2)).astype(dtype) for k in (5, 4))
    y, answer = (r.choice([-1, 1], size=(*batch, k)).astype(label_dtype or dtype) for k in (5, 4))
    for form in (lambda v: v, torch.from_numpy):
        p = icl.Prompts.from_arrays(form(x), form(y), form(asked), form(answer))
        shape = batch or (1,)
        assert p.x.shape == (*shape, 5, 2)
        assert p.y.shape == (*shape, 5)
        assert p.x.dtype == p.y.dtype == p.y_query.dtype == torch.from_numpy(x).dtype
        for seen, given_ in ((p.x, x), (p.y, y), (p.x_query, asked), (p.y_query, answer)):
            assert np.array_equal(seen.numpy().reshape(given_.shape), given_)


def test_arrays_are_copied():
    x, y = np.ones((3, 2)), np.ones(3)
    for given_x, given_y in ((x, y), (torch.from_numpy(x), torch.from_numpy(y))):
        p = icl.Prompts.from_arrays(given_x, given_y)
        given_x[:], given_y[:] = 7.0, -1.0
        assert torch.equal(p.x, torch.ones(1, 3, 2, dtype=torch.float64))
        assert torch.equal(p.y, torch.ones(1, 3, dtype=torch.float64))
        x[:], y[:] = 1.0, 1.0


def test_reversed_and_foreign_arrays_are_welcome():
    x = np.arange(6.0).reshape(3, 2)
    assert icl.Prompts.from_arrays(x[::-1], np.ones(3)).x[0, 0].tolist() == [4.0, 5.0]
    assert torch.equal(icl.Prompts.from_arrays(x.astype(">f8"), np.ones(3)).x[0], torch.from_numpy(x))


# Laws


def test_laws_have_their_own_shapes():
    x = {
        law: icl.LinearTask(3, law=law).sample(1, 100_000, generator=seeded(0), dtype=torch.float64).x
        for law in ("gaussian", "sphere", "cube", "laplace")
    }
    fourth = {law: float((v**4).mean()) for law, v in x.items()}
    # exact values: 3; 9 * 3/(3 * 5); 9/5; 6; to five standard errors of the widest, sqrt(E x^8 / 3e5) for laplace
    for law, (value, error) in {
        "gaussian": (3, 0.1), "sphere": (1.8, 0.03), "cube": (1.8, 0.03), "laplace": (6, 0.5)
    }.items():  # fmt: skip
        assert abs(fourth[law] - value) < error, law
    assert_same(x["sphere"].norm(dim=-1), torch.full((1, 100_000), 3**0.5, dtype=torch.float64))
    assert x["cube"].abs().max() <= 3**0.5
    assert x["cube"].abs().max() > 3**0.5 - 1e-3


@given(st.integers(1, 6), st.sampled_from(list(icl.LAWS)), st.integers(0, 10**6))
def test_labels_are_the_side_of_the_hyperplane_and_w_star_is_unit(d, law, seed):
    p = icl.LinearTask(d, law=law).sample(4, 6, queries=3, generator=seeded(seed), dtype=torch.float64)
    assert_same(p.w_star.norm(dim=-1), torch.ones(4, dtype=torch.float64))
    assert (icl.margins(p.w_star, p.z) >= 0).all()
    assert ((p.x_query @ p.w_star[..., None])[..., 0] * p.y_query >= 0).all()


@given(st.integers(1, 6), st.sampled_from(list(icl.LAWS)), st.sampled_from([0.01, 0.5, 3.0]), st.integers(0, 10**6))
def test_the_margin_promised_is_kept(d, law, margin, seed):
    task = icl.LinearTask(d, law=law, margin=margin)
    p = task.sample(2, 8, queries=3, generator=seeded(seed), dtype=torch.float64)
    rounding = 1e-12 * float(p.radius.max())
    assert (icl.max_margin(p.z).margin >= margin - rounding).all()
    assert (icl.margins(p.w_star, p.z) >= margin - rounding).all()
    assert ((p.x_query @ p.w_star[..., None])[..., 0] * p.y_query >= margin - rounding).all()


def test_a_margin_moves_points_away_from_the_boundary_and_nowhere_else():
    near, far = (icl.LinearTask(4, margin=m).sample(3, 20, generator=seeded(), dtype=torch.float64) for m in (0.0, 2.0))
    assert_same(far.x, near.x + 2.0 * near.y[..., None] * near.w_star[:, None])
    assert torch.equal(near.y, far.y)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.5, 1.0])
def test_flips_turn_the_promised_share_of_context_labels_and_no_query_label(flip):
    p = icl.LinearTask(3, flip=flip).sample(100, 200, queries=20, generator=seeded(1), dtype=torch.float64)
    share = float((icl.margins(p.w_star, p.z) < 0).double().mean())
    assert abs(share - flip) <= 5 * (flip * (1 - flip) / 20_000) ** 0.5  # five standard errors; exact at 0 and 1
    assert ((p.x_query @ p.w_star[..., None])[..., 0] * p.y_query >= 0).all()


def test_w_star_is_fresh_for_each_prompt_and_points_everywhere():
    w = icl.LinearTask(3).sample(20_000, 1, generator=seeded(0), dtype=torch.float64).w_star
    assert w.mean(0).abs().max() < 5 * (3 * 20_000) ** -0.5
    assert (w.mT @ w / 20_000 - torch.eye(3).double() / 3).abs().max() < 5 * 20_000**-0.5


# A Gaussian mixture with label noise


def mixture(flip=0.2, query_labels="clean", radius=None, seed=0):
    task = icl.MixtureTask(3, radius, flip, query_labels)
    return task.sample(2000, 20, queries=20, generator=seeded(seed), dtype=torch.float64)


def within(share, expected: float, count: int) -> bool:
    """Five binomial standard errors."""
    return abs(float(share) - expected) < 5 * (expected * (1 - expected) / count) ** 0.5


def test_the_clouds_of_a_mixture_have_their_means_and_unit_covariance():
    """Without flips y x is N(mu, I), for context and queries: five standard errors over 80,000 points."""
    p = mixture(flip=0.0, radius=2.5)
    z = torch.cat([p.z, p.y_query[..., None] * p.x_query], 1)
    noise = (z - 2.5 * p.w_star[:, None]).flatten(0, 1)
    N = len(noise)
    assert noise.mean(0).abs().max() < 5 * N**-0.5
    assert (noise.mT @ noise / N - torch.eye(3)).abs().max() < 5 * (2 / N) ** 0.5
    assert_same(p.w_star.norm(dim=-1), torch.ones(2000, dtype=torch.float64))
    assert within((p.y > 0).double().mean(), 0.5, 40_000)
    assert p.w_star.mean(0).abs().max() < 5 * (3 * 2000) ** -0.5


def test_the_best_classifier_of_a_mixture_errs_as_often_as_the_radius_says():
    """On clean labels with chance Phi(-R), on noisy ones with flip + (1 - 2 flip) Phi(-R)."""
    tail = 0.5 * math.erfc(1.5 / math.sqrt(2))
    for query_labels, expected in (("clean", tail), ("noisy", 0.2 + 0.6 * tail)):
        p = mixture(radius=1.5, query_labels=query_labels)
        wrong = icl.error_rate((p.x_query @ p.w_star[..., None])[..., 0], p.y_query).mean()
        assert within(wrong, expected, 40_000)


def test_a_mixture_flips_labels_of_the_context_and_of_queries_only_if_asked():
    """At radius 30 the cloud tells the clean label: a flip is seen, with an error of 1e-197."""
    for query_labels, share in (("clean", 0.0), ("noisy", 0.2)):
        p = mixture(radius=30.0, query_labels=query_labels)
        assert within((icl.margins(p.w_star, p.z) < 0).double().mean(), 0.2, 40_000)
        wrong = (p.x_query @ p.w_star[..., None])[..., 0] * p.y_query < 0
        assert within(wrong.double().mean(), share, 40_000) if share else not wrong.any()


def test_clean_and_noisy_query_labels_belong_to_the_same_prompts():
    clean, noisy = (mixture(query_labels=v) for v in ("clean", "noisy"))
    assert all(torch.equal(getattr(clean, v), getattr(noisy, v)) for v in ("x", "y", "w_star", "x_query"))
    assert not torch.equal(clean.y_query, noisy.y_query)


def test_the_default_radius_is_that_of_the_published_experiment():
    assert icl.MixtureTask(200).radius == 200**0.3
    assert icl.MixtureTask(200) == icl.MixtureTask(200, radius=200**0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 0}, r"^d: got 0, expected a whole number >= 1$"),
        ({"d": None}, r"^d: got None"),
        ({"d": 2, "radius": 0.0}, r"^radius: got 0\.0, expected a finite number > 0$"),
        ({"d": 2, "radius": math.nan}, r"^radius: got nan"),
        ({"d": 2, "flip": 1.1}, r"^flip: got 1\.1, expected a number from 0 to 1$"),
        ({"d": 2, "query_labels": True}, r"^query_labels: got True, expected one of 'clean', 'noisy'$"),
    ],
)
def test_a_bad_mixture_is_refused(arguments, message):
    with pytest.raises(icl.BadInput, match=message):
        icl.MixtureTask(**arguments)


@pytest.mark.parametrize("name", ["batch", "n", "queries"])
def test_a_mixture_refuses_sizes_and_generators_that_do_not_fit(name):
    sizes = {"batch": 1, "n": 1, "queries": 0, "generator": seeded()}
    with pytest.raises(icl.BadInput, match=f"^{name}: got -1, expected a whole number"):
        icl.MixtureTask(2).sample(**sizes | {name: -1})
    with pytest.raises(icl.BadInput, match=r"^generator: got int, expected a torch\.Generator"):
        icl.MixtureTask(2).sample(**sizes | {"generator": 0})


# Randomness, shapes and dtypes, of every kind of task

TASKS = {"linear": icl.LinearTask(4), "mixture": icl.MixtureTask(4, flip=0.2), "data": icl.DatasetTask("iris", (0, 1))}
tasks = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


def parts(p):
    return [v for v in (p.x, p.y, p.w_star, p.x_query, p.y_query) if v is not None]


@tasks
def test_the_same_generator_gives_the_same_prompts(task):
    first, again, other = (task.sample(5, 6, queries=2, generator=seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(parts(first), parts(again), strict=True))
    assert not torch.equal(first.x, other.x)


@tasks
def test_sampling_advances_the_generator_given_and_leaves_the_global_one_alone(task):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    g = seeded(0)
    first, second = (task.sample(2, 4, generator=g) for _ in range(2))
    assert not torch.equal(first.x, second.x)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@tasks
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_prompts_have_the_shapes_and_dtype_asked_for(task, dtype):
    p = task.sample(3, 6, queries=2, generator=seeded(), dtype=dtype)
    d = task.d
    assert (p.x.shape, p.y.shape, p.x_query.shape, p.y_query.shape) == ((3, 6, d), (3, 6), (3, 2, d), (3, 2))
    assert {v.dtype for v in parts(p)} == {dtype}
    assert task.sample(3, 6, generator=seeded()).x.dtype == torch.float32
    without = task.sample(3, 6, generator=seeded())
    assert without.x_query is without.y_query is None


# Real data


def rows_used(name: str, classes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """All rows of the two classes as scikit-learn ships them."""
    from sklearn import datasets as shipped

    x, c = getattr(shipped, f"load_{name}")(return_X_y=True)
    keep = np.isin(c, classes)
    return x[keep], c[keep]


@datasets
def test_prompts_of_real_data_hold_both_classes_evenly_and_an_intercept(name, classes):
    task = icl.DatasetTask(name, classes)
    p = task.sample(20, 9, queries=5, generator=seeded(0), dtype=torch.float64)
    assert task.d == p.x.shape[-1] == rows_used(name, classes)[0].shape[1] + 1
    assert p.y.sum(-1).abs().tolist() == [1.0] * 20
    assert (p.x[..., -1] == 1).all()
    assert (p.x_query[..., -1] == 1).all()


@datasets
def test_context_and_queries_are_different_rows(name, classes):
    """Counted: a row appears in a prompt at most as often as the data set holds it (iris repeats one)."""
    task = icl.DatasetTask(name, classes)
    features = [tuple(row) for row in task._split[0].tolist()]
    p = task.sample(5, 20, queries=10, generator=seeded(0), dtype=torch.float64)
    for context, asked in zip(p.x, p.x_query, strict=True):
        used = [tuple(row) for row in torch.cat([context, asked]).tolist()]
        assert all(used.count(row) <= features.count(row) for row in set(used))


@datasets
def test_labels_follow_the_classes_of_the_data(name, classes):
    """Every row of every prompt is found in the raw data by its features; up to the prompt's coin, labels agree."""
    task = icl.DatasetTask(name, classes)
    features, own = task._split
    label = {tuple(row): float(y) for row, y in zip(features.tolist(), own, strict=True)}
    p = task.sample(10, 8, queries=4, generator=seeded(0), dtype=torch.float64)
    for x, y in zip(torch.cat([p.x, p.x_query], 1), torch.cat([p.y, p.y_query], 1), strict=True):
        turned = {label[tuple(row)] * float(v) for row, v in zip(x.tolist(), y, strict=True)}
        assert len(turned) == 1


def test_labels_are_those_that_the_data_came_with():
    """Iris classes 0 and 1 differ in petal length: every setosa (class 0) is shorter than every versicolor."""
    for classes, setosa in (((0, 1), 1), ((1, 0), -1)):
        features, y = icl.DatasetTask("iris", classes)._split
        assert features[y == setosa, 2].max() < features[y == -setosa, 2].min()


@datasets
def test_features_are_standardised_by_rows_that_never_enter_a_prompt(name, classes):
    """Undo the scaling: the free rows must be two thirds of the raw ones, and the others must give mean and scale."""
    raw, _ = rows_used(name, classes)
    free = icl.DatasetTask(name, classes)._split[0].numpy()
    others = len(raw) - len(free)
    assert others == len(raw) // 3
    order = torch.randperm(len(raw), generator=seeded(0)).numpy()
    held = raw[order[:others]]
    spread = np.where(held.std(0) == 0, 1, held.std(0))
    back = free[:, :-1] * spread + held.mean(0)
    np.testing.assert_allclose(np.sort(back, 0), np.sort(raw[order[others:]], 0), atol=1e-9)


def test_which_class_is_called_plus_one_is_a_coin_flip():
    """400 prompts: the first class is +1 in 200 +- 10 of them (one standard error)."""
    p = icl.DatasetTask("iris", (0, 1)).sample(400, 2, generator=seeded(0))
    setosa_is_plus = (p.x[..., 2].argmin(-1, keepdim=True) == p.y.argmax(-1, keepdim=True)).double().sum()
    assert abs(float(setosa_is_plus) - 200) < 50


def test_the_order_of_the_classes_in_a_context_is_shuffled():
    p = icl.DatasetTask("iris", (0, 1)).sample(200, 8, generator=seeded(0))
    first_label_repeats = (p.y[:, 0] == p.y[:, 1]).double().mean()
    assert 0.2 < float(first_label_repeats) < 0.7  # 3/7 in a shuffled context, 1 in a sorted one


def test_the_largest_prompt_uses_every_row_there_is():
    task = icl.DatasetTask("iris", (0, 1))
    _, y = task._split
    most = 2 * min(int((y == 1).sum()), int((y == -1).sum()))
    p = task.sample(2, most, queries=len(y) - most, generator=seeded())
    assert p.x.shape[1] == most
    with pytest.raises(icl.BadInput, match=r"n: got .*expected n <="):
        task.sample(1, most, queries=len(y) - most + 1, generator=seeded())
