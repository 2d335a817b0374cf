"""Laws of x: their moments, what is shared within a prompt, and what they refuse."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, seeded, seeds

import icl_lib as icl
from icl_lib import laws

PARAMETRISED = {
    "student-t, df=9": laws.StudentT(df=9),
    "anisotropic, condition=1": laws.Anisotropic(condition=1),
    "clusters, spread=0": laws.Clusters(count=2, spread=0.0),
    "clusters, spread=1": laws.Clusters(count=1, spread=1.0),
    "subspace, rank=2": laws.Subspace(rank=2),
}
ALL = icl.LAWS | PARAMETRISED
every_law = pytest.mark.parametrize("law", ALL.values(), ids=ALL.keys())


def draw(law, batch: int, n: int, d: int, seed: int = 0) -> torch.Tensor:
    g = seeded(seed)
    return laws.of(law)(
        (batch, n, d),
        lambda size: torch.randn(size, generator=g, dtype=torch.float64),
        lambda size: torch.rand(size, generator=g, dtype=torch.float64),
    )


@pytest.mark.parametrize("name", ALL)
def test_over_prompts_a_law_has_mean_zero_and_covariance_one(name):
    """One point in each of 100,000 prompts; five standard errors, estimated from the sample."""
    N, d = 100_000, 3
    law = laws.StudentT(df=9) if name == "student-t" else ALL[name]  # of 3, products have infinite variance
    x = draw(law, N, 1, d)[:, 0]
    products = x[:, :, None] * x[:, None]
    assert (x.mean(0).abs() < 5 * x.std(0) / N**0.5).all()
    # a sphere in one dimension, say, has products without any spread: hence a rounding error more
    assert ((products.mean(0) - torch.eye(d)).abs() < 5 * products.std(0) / N**0.5 + 1e-12).all()


@pytest.mark.parametrize("df", [3, 5])
def test_student_coordinates_have_student_quantiles(df):
    """Scaled back to unit scale: shares of 200,000 points beyond exact quantiles, to five standard errors."""
    from scipy.stats import t

    x = draw(laws.StudentT(df), 1, 200_000, 2)[0] * (df / (df - 2)) ** 0.5
    for p in (0.01, 0.25, 0.5, 0.9, 0.999):
        share = (x <= t.ppf(p, df)).double().mean(0)
        assert ((share - p).abs() < 5 * (p * (1 - p) / 200_000) ** 0.5).all()
    size = x.abs()  # one length for all coordinates: large ones come together, as they would not independently
    together = ((size > t.ppf(0.99, df)).all(-1)).double().mean()
    assert float(together) > 5 * 0.02**2


@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_anisotropic_eigenvalues_are_log_spaced_with_trace_d(condition):
    """n = 40,000 points in a prompt: an eigenvalue is off by sqrt(2/n) relative (one standard error)."""
    n, d = 40_000, 4
    x = draw(laws.Anisotropic(condition), 3, n, d)
    expected = condition ** -torch.linspace(0, 1, d, dtype=torch.float64)
    expected = (d * expected / expected.sum()).flip(0)
    values, vectors = torch.linalg.eigh(x.mT @ x / n)
    # equal eigenvalues repel each other in a sample, by a few standard errors more
    assert ((values / expected - 1).abs() < 10 * (2 / n) ** 0.5).all()
    if condition > 1:
        assert abs(float(vectors[0, :, -1] @ vectors[1, :, -1])) < 0.99, "each prompt has axes of its own"


@given(st.integers(1, 6), st.data(), seeds)
def test_random_frames_are_orthonormal(d, data, seed):
    rank, g = data.draw(st.integers(1, d)), seeded(seed)
    q = laws.frames(3, d, rank, lambda size: torch.randn(size, generator=g, dtype=torch.float64))
    assert q.shape == (3, d, rank)
    assert_same(q.mT @ q, torch.eye(rank, dtype=torch.float64).expand(3, rank, rank), scale=1.0)


def test_random_frames_are_uniform():
    """Over 50,000 rotations of R^3 every entry has mean 0 and variance 1/3, and entries are uncorrelated (Haar)."""
    N, g = 50_000, seeded(0)
    q = laws.frames(N, 3, 3, lambda size: torch.randn(size, generator=g, dtype=torch.float64)).flatten(1)
    assert q.mean(0).abs().max() < 5 * (3 * N) ** -0.5
    assert (q.mT @ q / N - torch.eye(9) / 3).abs().max() < 5 * N**-0.5  # |products| <= 1
    assert 0.45 < float((torch.linalg.det(q.view(N, 3, 3)) > 0).double().mean()) < 0.55


def test_clusters_without_spread_are_their_centres_equally_often():
    x = draw(laws.Clusters(count=4, spread=0.0), 3, 4000, 2)
    for prompt in x:
        _, counts = prompt.unique(dim=0, return_counts=True)
        assert len(counts) == 4
        assert (counts - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5
    assert len(x.flatten(0, 1).unique(dim=0)) == 12, "each prompt has centres of its own"


def test_clusters_have_the_spread_asked_for_about_a_centre_shared_by_the_prompt():
    """2000 prompts of one cluster of 50 points in R^3; variances have relative standard error sqrt(2 / degrees)."""
    B, n, d = 2000, 50, 3
    x = draw(laws.Clusters(count=1, spread=0.3), B, n, d)
    assert abs(float(x.var(1).mean()) / 0.09 - 1) < 5 * (2 / (B * (n - 1) * d)) ** 0.5
    assert abs(float(x.mean(1).var()) / (0.91 + 0.09 / n) - 1) < 5 * (2 / (B * d)) ** 0.5


@pytest.mark.parametrize(("rank", "d", "seen"), [(None, 7, 3), (None, 1, 1), (1, 4, 1), (4, 4, 4), (2, 5, 2)])
def test_a_subspace_holds_context_and_queries_and_has_its_rank(rank, d, seen):
    p = icl.LinearTask(d, law=laws.Subspace(rank)).sample(4, 20, queries=20, generator=seeded(), dtype=torch.float64)
    assert torch.linalg.matrix_rank(p.x).tolist() == [seen] * 4
    assert torch.linalg.matrix_rank(torch.cat([p.x, p.x_query], 1)).tolist() == [seen] * 4
    if seen < d:
        assert torch.linalg.matrix_rank(p.x.flatten(0, 1)) > seen, "each prompt has a subspace of its own"


def test_an_orthant_holds_context_and_queries():
    p = icl.LinearTask(3, law="orthant").sample(800, 5, queries=5, generator=seeded(), dtype=torch.float64)
    signs = torch.cat([p.x, p.x_query], 1).sign()
    assert (signs == signs[:, :1]).all()
    _, counts = signs[:, 0].unique(dim=0, return_counts=True)
    assert len(counts) == 8
    assert (counts - 100).abs().max() < 5 * (800 * 7 / 64) ** 0.5


@pytest.mark.parametrize("name", icl.LAWS)
def test_angle_over_pi_is_the_error_for_exactly_the_laws_that_say_so(name):
    """20 prompts, 40,000 queries each: five binomial standard errors, per prompt, at 45 degrees from w_star."""
    q, law = 40_000, icl.LAWS[name]
    p = icl.LinearTask(2, law=law).sample(20, 1, queries=q, generator=seeded(3), dtype=torch.float64)
    w = p.w_star + torch.stack([-p.w_star[:, 1], p.w_star[:, 0]], -1)
    seen = icl.error_rate((p.x_query @ w[..., None])[..., 0], p.y_query)
    agrees = (seen - 0.25).abs() < 5 * (0.25 * 0.75 / q) ** 0.5
    if law.rotation_invariant:
        assert agrees.all()
        assert_same(icl.exact_error(w, p.w_star, law), torch.full((20,), 0.25, dtype=torch.float64))
    else:
        assert not agrees.all()
        with pytest.raises(icl.BadInput, match=r"^law: got .*, expected a rotation-invariant law \('gaussian', 's"):
            icl.exact_error(w, p.w_star, name)


@every_law
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_law_gives_finite_points_of_the_dtype_asked_for_from_the_generator_alone(law, dtype, d):
    d = max(d, 2) if law == laws.Subspace(rank=2) else d
    before = torch.get_rng_state()
    task = icl.LinearTask(d, law=law)
    first, again, other = (task.sample(3, 4, queries=2, generator=seeded(s), dtype=dtype) for s in (1, 1, 2))
    assert first.x.dtype == first.x_query.dtype == dtype
    assert first.x.shape == (3, 4, d)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)
    assert torch.equal(torch.get_rng_state(), before)


@every_law
def test_random_numbers_that_are_exactly_zero_make_no_infinite_point(law):
    """torch.rand gives 0 once in 2^24 float32 draws, and torch.randn too: rare, and sure to happen."""
    assert torch.isfinite(law((2, 3, 2), lambda s: torch.zeros(s), lambda s: torch.zeros(s))).all()


def test_a_uniform_number_next_to_one_picks_the_last_cluster():
    x = laws.Clusters(count=3)((1, 2, 2), torch.ones, lambda s: torch.full(s, 1 - 2**-24))
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("name", icl.LAWS)
def test_a_name_stands_for_the_law_with_its_defaults(name):
    law = icl.LAWS[name]
    assert type(law)() == law
    assert eval(repr(law), vars(laws)) == law
    by_name, by_law = (icl.LinearTask(4, law=v).sample(2, 5, generator=seeded()) for v in (name, law))
    assert torch.equal(by_name.x, by_law.x)
    assert hash(icl.LinearTask(4, law=law)) == hash(icl.LinearTask(4, law=law))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: laws.StudentT(df=2), r"^df: got 2, expected a whole number >= 3$"),
        (lambda: laws.StudentT(df=3.5), r"^df: got 3\.5, expected a whole number"),
        (lambda: laws.Anisotropic(0.5), r"^condition: got 0\.5, expected a number from 1 to"),
        (lambda: laws.Anisotropic(math.nan), r"^condition: got nan"),
        (lambda: laws.Anisotropic(math.inf), r"^condition: got inf"),
        (lambda: laws.Clusters(count=0), r"^count: got 0, expected a whole number >= 1$"),
        (lambda: laws.Clusters(spread=1.5), r"^spread: got 1\.5, expected a number from 0 to 1$"),
        (lambda: laws.Clusters(spread=True), r"^spread: got True"),
        (lambda: laws.Subspace(rank=0), r"^rank: got 0, expected a whole number >= 1$"),
        (lambda: icl.LinearTask(3, law=laws.Subspace(rank=4)), r"^rank: got 4, expected at most d = 3$"),
        (lambda: icl.LinearTask(3, law=laws.StudentT), r"^law: got <class .*, expected one of 'anisotropic'"),
        (lambda: icl.LinearTask(3, law=None), r"^law: got None, expected one of"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(icl.BadInput, match=message):
        make()


RECORDED = {
    "gaussian": (
        [-0.22823012237858023, -0.4316859147763389, -1.4835693461989992],
        [0.3478013335425886, -1.4124421417245172, 0.5809948121272263],
    ),
    "sphere": (
        [-0.297811578374084, -0.5601902083091632, -1.752773869866407],
        [0.4657282527728057, -1.7437964456334105, 0.6741930357127552],
    ),
    "cube": (
        [-1.3470757074304607, -1.3861131175502381, 1.3383719117000745],
        [-0.05172829298412505, -1.6430447875807708, 0.029628565612807606],
    ),
    "laplace": (
        [-1.002146608169965, -1.0276935982068849, 0.9521851150571534],
        [-0.07748260687455097, -1.5198684938218516, 0.1433580150039261],
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_seed_gives_the_prompts_that_it_always_gave(name):
    """Notebooks' outputs depend on it. Recorded as numbers, since another CPU may round the last digit otherwise."""
    task = icl.LinearTask(3, law=name, margin=0.3, flip=0.2)
    p = task.sample(2, 3, queries=1, generator=seeded(12), dtype=torch.float64)
    point, asked = (torch.tensor(v, dtype=torch.float64) for v in RECORDED[name])
    assert_same(p.x[1, 0], point)
    assert_same(p.x_query[1, 0], asked)
    w = torch.tensor([0.31880370872479147, 0.5548178318576888, -0.7684668950293511], dtype=torch.float64)
    assert_same(p.w_star[1], w)
    first = [1.0, 1.0 if name in ("cube", "laplace") else -1.0, 1.0]
    assert p.y.tolist() == [first, [1.0 if name in ("cube", "laplace") else -1.0, -1.0, 1.0]]
