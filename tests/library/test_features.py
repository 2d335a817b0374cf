"""Features that attention writes, against references that know nothing of attention."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from strategies import seeded, seeds

import icl_lib as icl
from icl_lib.features import knots_of, monomials


def points(seed, *size):
    return 2 * torch.rand(*size, generator=seeded(seed), dtype=torch.float64) - 1


def products(x, degree):
    """1 and all monomials, multiplied out."""
    return torch.stack(
        [torch.ones_like(x[..., 0])] + [x[..., list(m)].prod(-1) for m in monomials(x.shape[-1], degree)], -1
    )


def splines(x, degree, pieces):
    """SciPy's B-splines of one variable, [..., pieces + degree]."""
    knots = np.array(knots_of(degree, pieces, 1.0))
    flat = BSpline.design_matrix(x.reshape(-1).numpy(), knots, degree).toarray()
    return torch.from_numpy(flat).reshape(*x.shape, -1)


@given(st.integers(1, 4), st.integers(1, 5), seeds)
def test_monomials_are_products(d, degree, seed):
    """To 1e-13: a product is at most 1, and is rounded next to a constant C of about 1."""
    x = points(seed, 2, 7, d)
    f = icl.featurizer(d, "polynomial", degree, tokens=9)
    torch.testing.assert_close(f(x), products(x, degree), rtol=0, atol=1e-13)
    assert len(f.layers) == math.ceil(math.log2(degree))
    assert len(f.names) == math.comb(d + degree, degree) == f(x).shape[-1]


@pytest.mark.parametrize(("degree", "pieces", "atol"), [(1, 8, 1e-14), (2, 8, 1e-12), (3, 8, 1e-12), (4, 5, 1e-12)])
@given(seed=seeds)
def test_splines_are_scipys(degree, pieces, atol, seed):
    """A B-spline is a difference of truncated powers of size (16 / 3)^degree and more: digits cancel."""
    x = points(seed, 2, 6, 2)
    f = icl.featurizer(2, "spline", degree, pieces, tokens=6)
    expected = torch.cat([torch.ones(2, 6, 1, dtype=torch.float64), splines(x[..., 0], degree, pieces),
                          splines(x[..., 1], degree, pieces)], -1)  # fmt: skip
    torch.testing.assert_close(f(x), expected, rtol=0, atol=atol)
    assert len(f.layers) == 1 + math.ceil(math.log2(degree))


def test_tensor_splines_are_products_of_splines():
    x = points(0, 2, 6, 2)
    f = icl.featurizer(2, "tensor-spline", 2, 4, tokens=6)
    a, b = (splines(x[..., j], 2, 4) for j in (0, 1))
    expected = torch.einsum("bnk,bnl->bnkl", a, b).flatten(-2)
    torch.testing.assert_close(f(x)[..., 1:], expected, rtol=0, atol=1e-12)  # as for splines
    torch.testing.assert_close(f(x)[..., 1:].sum(-1), torch.ones(2, 6, dtype=torch.float64))  # a partition of unity
    assert f.names[1] == "B0(x0) B0(x1)"


def test_other_tokens_are_silent_even_at_the_bound():
    """Corners of the cube, where products between tokens are as large as they can be."""
    x = torch.tensor(list(itertools.product([-3.0, 3.0], repeat=3)), dtype=torch.float64)[None]
    f = icl.featurizer(3, "polynomial", 4, tokens=8, bound=3.0)
    torch.testing.assert_close(f(x), products(x, 4), rtol=1e-12, atol=0)  # integers up to 81
    alone = torch.cat([f(x[:, k : k + 1]) for k in range(8)], 1)
    torch.testing.assert_close(f(x), alone, rtol=1e-12, atol=0)


def test_a_head_beyond_the_bound_would_hear_others_and_is_refused():
    f = icl.featurizer(1, "polynomial", 2, tokens=2)
    with pytest.raises(icl.BadInput, match="x: got an entry of size 2, expected entries up to 1"):
        f(torch.tensor([[[2.0], [1.0]]]))
    tokens = f.tokens(torch.tensor([[[1.0], [1.0]]]))
    tokens[..., 0] = torch.tensor([2.0, 1.5])
    assert f.layers[0](tokens)[0, 0, 1] > 4.5  # 2 * 2, and some of 2 * 1.5


def test_points_stay_and_so_does_the_order():
    x = points(1, 1, 5, 2)
    f = icl.featurizer(2, "polynomial", 3, tokens=5)
    tokens = f.tokens(x)
    for layer in f.layers:
        after = layer(tokens)
        assert torch.equal(after[..., :2], x)
        assert torch.equal(after[..., f.constant :], tokens[..., f.constant :])
        tokens = after
    order = [3, 1, 4, 0, 2]
    torch.testing.assert_close(f(x[:, order]), f(x)[:, order], rtol=0, atol=1e-15)


def test_prompts_are_mapped_queries_included():
    g = seeded(2)
    prompts = icl.LinearTask(2).sample(3, 8, 4, generator=g, dtype=torch.float64).normalized()
    f = icl.featurizer(2, tokens=8, bound=5.0)
    mapped = prompts.map(f)
    torch.testing.assert_close(mapped.x_query, products(prompts.x_query, 2), rtol=1e-12, atol=1e-13)
    assert mapped.z.shape == (3, 8, 6)


def test_the_dtype_follows_the_points():
    x = points(3, 1, 4, 2).float()
    assert icl.featurizer(2, tokens=4)(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: icl.featurizer(0, tokens=3), "^d: got 0"),
        (lambda: icl.featurizer(2, "fourier", tokens=3), "^kind: got 'fourier'"),
        (lambda: icl.featurizer(2, degree=0, tokens=3), "^degree: got 0"),
        (lambda: icl.featurizer(2, "spline", pieces=0, tokens=3), "^pieces: got 0"),
        (lambda: icl.featurizer(2, tokens=0), "^tokens: got 0"),
        (lambda: icl.featurizer(2, tokens=3, bound=-1.0), "^bound: got -1.0"),
        (lambda: icl.featurizer(2, tokens=3)(torch.zeros(1, 4, 2)), "^x: got 4 points, expected at most 3"),
        (lambda: icl.featurizer(2, tokens=3)(torch.zeros(1, 3, 3)), "^x: got shape"),
        (lambda: icl.featurizer(2, tokens=3)(torch.full((1, 3, 2), torch.nan)), "^x: got"),
        (lambda: icl.ReLUAttention(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)), "^score: got shape"),
        (lambda: icl.ReLUAttention(torch.zeros(1, 2, 2), torch.zeros(2, 2, 2)), "^value: got shape"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(icl.BadInput, match=message):
        call()
