"""Shifts move what they say, leave the rest, and never touch their input."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, normal, seeded, seeds

import icl_lib as icl
from icl_lib import shifts

P = icl.LinearTask(3).sample(4, 10, queries=6, generator=seeded(), dtype=torch.float64)
NAMES = ("x", "y", "w_star", "x_query", "y_query")
SHIFTS = {
    "rotate_queries": lambda p, g=None: shifts.rotate_queries(p, generator=g or seeded(1)),
    "scale_queries": lambda p, g=None: shifts.scale_queries(p, 3.0),
    "flip_orthant": lambda p, g=None: shifts.flip_orthant(p, generator=g or seeded(1)),
    "flip_labels": lambda p, g=None: shifts.flip_labels(p, 0.3, generator=g or seeded(1)),
    "hijack": lambda p, g=None: shifts.hijack(p, 2.0),
}
CHANGES = {
    "rotate_queries": {"x_query", "y_query"},
    "scale_queries": {"x_query"},
    "flip_orthant": {"x_query", "y_query"},
    "flip_labels": {"y"},
    "hijack": {"x", "y"},
}
every_shift = pytest.mark.parametrize("name", SHIFTS)
drawn = [name for name in SHIFTS if name not in ("scale_queries", "hijack")]


def sides(p: icl.Prompts) -> torch.Tensor:
    return torch.where((p.x_query @ p.w_star[..., None])[..., 0] >= 0, 1.0, -1.0).double()


@every_shift
def test_a_shift_changes_what_it_says_and_never_its_input(name):
    kept = {part: getattr(P, part).clone() for part in NAMES}
    shifted = SHIFTS[name](P)
    for part in NAMES:
        assert torch.equal(getattr(P, part), kept[part])
        assert torch.equal(getattr(shifted, part), kept[part]) is (part not in CHANGES[name]), part
        assert getattr(shifted, part).dtype == torch.float64


@every_shift
def test_a_shift_has_no_state_but_its_generator(name):
    before = torch.get_rng_state()
    first, again = SHIFTS[name](P), SHIFTS[name](P)
    assert all(torch.equal(getattr(first, part), getattr(again, part)) for part in NAMES)
    assert torch.equal(torch.get_rng_state(), before)
    if name in drawn:
        other = SHIFTS[name](P, seeded(2))
        assert any(not torch.equal(getattr(first, part), getattr(other, part)) for part in NAMES)


@every_shift
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_folded_tokens_follow_and_dtypes_stay(name, dtype):
    p = icl.LinearTask(3).sample(4, 10, queries=6, generator=seeded(), dtype=dtype)
    p.z, p.zt  # noqa: B018  (cached: a shift must not hand on a stale copy)
    shifted = SHIFTS[name](p)
    assert {getattr(shifted, part).dtype for part in NAMES} == {dtype}
    assert torch.equal(shifted.z, shifted.y[..., None] * shifted.x)


@given(st.integers(1, 6), seeds)
def test_rotated_queries_keep_lengths_and_angles_and_get_the_labels_of_w_star(d, seed):
    p = icl.LinearTask(d).sample(3, 2, queries=5, generator=seeded(seed), dtype=torch.float64)
    q = shifts.rotate_queries(p, generator=seeded(seed + 1))
    assert_same(q.x_query @ q.x_query.mT, p.x_query @ p.x_query.mT)
    assert torch.equal(q.y_query, sides(q))


def test_each_prompt_is_rotated_on_its_own_and_anywhere():
    """20,000 copies of e_1: its images have mean 0 and second moments I/3, to five standard errors."""
    e = torch.eye(3, dtype=torch.float64)[:1].expand(20_000, 1, 3)
    p = icl.Prompts(e, torch.ones(20_000, 1, dtype=torch.float64), e[:, 0], e)
    v = shifts.rotate_queries(p, generator=seeded(0)).x_query[:, 0]
    assert v.mean(0).abs().max() < 5 * (3 * 20_000) ** -0.5
    assert (v.mT @ v / 20_000 - torch.eye(3) / 3).abs().max() < 5 * 20_000**-0.5


@pytest.mark.parametrize("factor", [1e-3, 1, 7.5])
def test_scaled_queries_are_scaled(factor):
    q = shifts.scale_queries(P, factor)
    assert torch.equal(q.x_query, P.x_query * factor)
    assert torch.equal(q.y_query, sides(q))
    unlabelled = replace(P, w_star=None, y_query=None)
    assert shifts.scale_queries(unlabelled, factor).y_query is None


def test_queries_that_left_their_orthant_are_in_every_orthant():
    """800 prompts of 10 queries: each of 4 orthants gets its quarter, to five standard errors."""
    p = icl.LinearTask(2, law="orthant").sample(800, 5, queries=10, generator=seeded(), dtype=torch.float64)
    q = shifts.flip_orthant(p, generator=seeded(1))
    assert torch.equal(q.x_query.abs(), p.x_query.abs())
    assert torch.equal(q.y_query, sides(q))
    assert torch.equal(q.x, p.x)
    _, counts = (q.x_query.sign() * p.x[:, :1].sign()).flatten(0, 1).unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert (counts - 2000).abs().max() < 5 * (8000 * 3 / 16) ** 0.5
    alone = (q.x_query.sign() == q.x_query[:, :1].sign()).all(-1).all(-1)
    assert alone.sum() == 0, "queries of a prompt part ways: all ten in one orthant happens once in 4^9 prompts"


@given(st.integers(1, 12), st.floats(0, 1), seeds)
def test_exactly_the_share_of_labels_asked_for_is_flipped_in_each_prompt(n, share, seed):
    p = icl.LinearTask(2).sample(5, n, queries=2, generator=seeded(seed))
    q = shifts.flip_labels(p, share, generator=seeded(seed))
    assert (q.y != p.y).sum(-1).tolist() == [round(share * n)] * 5
    assert torch.equal(q.y.abs(), torch.ones(5, n))


def test_every_label_is_as_likely_to_be_flipped_as_any_other():
    p = icl.LinearTask(1).sample(20_000, 5, generator=seeded())
    q = shifts.flip_labels(p, 0.4, generator=seeded(1))
    share = (q.y != p.y).double().mean(0)
    assert (share - 0.4).abs().max() < 5 * (0.24 / 20_000) ** 0.5


@given(st.integers(0, 10), st.sampled_from([0.1, 1.0, 50.0]), seeds)
def test_a_hijacking_token_stands_where_and_points_whither_it_was_told(position, strength, seed):
    q = shifts.hijack(P, strength, position=position)
    assert q.x.shape == (4, 11, 3)
    assert_same(q.z[:, position], -strength * P.radius[:, None] * P.w_star)
    rest = [i for i in range(11) if i != position]
    assert torch.equal(q.x[:, rest], P.x)
    assert torch.equal(q.y[:, rest], P.y)
    u = normal(4, 3, seed=seed)
    r = shifts.hijack(P, strength, position=position, direction=u)
    assert_same(r.z[:, position], strength * P.radius[:, None] * u / u.norm(dim=-1, keepdim=True))


def test_a_hijacking_token_comes_last_by_default_and_breaks_what_w_star_had_right():
    q = shifts.hijack(P, 1.0)
    assert torch.equal(q.x[:, :-1], P.x)
    wrong = icl.margins(P.w_star, q.z) < 0
    assert wrong.sum(-1).tolist() == [1] * 4
    assert wrong[:, -1].all()
    without = replace(P, w_star=None)
    assert shifts.hijack(without, 1.0, direction=P.w_star).x.shape == (4, 11, 3)


BARE = icl.Prompts(P.x, P.y)
REFUSED = {
    "no prompts": (lambda: shifts.scale_queries(P.x, 2.0), r"^prompts: got Tensor, expected Prompts$"),
    "no w_star": (
        lambda: shifts.rotate_queries(replace(P, w_star=None), generator=seeded()),
        r"^w_star: got None, expected prompts that know the direction of their labels$",
    ),
    "no w_star, orthant": (
        lambda: shifts.flip_orthant(replace(P, w_star=None), generator=seeded()),
        r"^w_star: got None",
    ),
    "no w_star, hijack": (lambda: shifts.hijack(BARE, 1.0), r"^w_star: got None"),
    "no query to rotate": (
        lambda: shifts.rotate_queries(icl.Prompts(P.x, P.y, P.w_star), generator=seeded()),
        r"^x_query: got None, expected prompts with queries >= 1$",
    ),
    "no query to scale": (lambda: shifts.scale_queries(BARE, 2.0), r"^x_query: got None"),
    "direction of another batch": (lambda: shifts.hijack(P, 1.0, direction=P.w_star[:2]), r"^direction: got .*B = 4"),
    "direction in float32": (lambda: shifts.hijack(P, 1.0, direction=P.w_star.float()), r"^direction: got torch.f"),
    "zero direction": (
        lambda: shifts.hijack(P, 1.0, direction=0 * P.w_star),
        r"^direction: got a zero vector, expected a direction$",
    ),
    "position beyond the end": (lambda: shifts.hijack(P, 1.0, position=11), r"^position: got 11, .* at most n = 10$"),
    "position from the end": (lambda: shifts.hijack(P, 1.0, position=-1), r"^position: got -1, .* whole number >= 0$"),
    **{
        f"strength {bad!r}": (lambda b=bad: shifts.hijack(P, b), r"^strength: .*expected a finite number > 0$")
        for bad in (0, -1.0, math.nan, math.inf, "1", None)
    },
    **{
        f"factor {bad!r}": (lambda b=bad: shifts.scale_queries(P, b), r"^factor: .*expected a finite number > 0$")
        for bad in (0, -2.0, math.nan, True)
    },
    **{
        f"share {bad!r}": (
            lambda b=bad: shifts.flip_labels(P, b, generator=seeded()),
            r"^share: .*expected a number from 0 to 1$",
        )
        for bad in (-0.1, 1.1, math.nan, True, "0.1")
    },
    **{
        f"generator of {name}": (
            lambda n=name: SHIFTS[n](P, 0.5),
            r"^generator: got float, expected a torch\.Generator",
        )
        for name in drawn
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(icl.BadInput, match=message):
        call()
