"""The contexts that theorems are attacked with: their margins are known and proven."""

from dataclasses import replace

import pytest
import torch
from strategies import seeded

import icl_lib as icl
from icl_lib.contexts import FAMILIES, Separable, separable

families = pytest.mark.parametrize("family", FAMILIES)


def draws(family, batch=8, count=20):
    return [separable(family, batch, seeded(seed)) for seed in range(count)]


@families
def test_every_context_carries_a_proof_of_its_margin(family):
    """The direction reaches the margin, the dual combination has its length: nothing lies between."""
    for context in draws(family):
        context.certify()
        reached = icl.margins(context.direction, context.z).amin(-1)
        bound = (context.dual[..., None] * context.z).sum(1).norm(dim=-1)
        rounding = 1e-9 * context.margin + 1e-14 * context.radius
        assert ((reached - context.margin).abs() <= rounding).all()
        assert ((bound - context.margin).abs() <= rounding).all()
        assert torch.equal(context.radius, context.z.norm(dim=-1).amax(-1))


@families
def test_a_context_comes_from_the_generator_alone(family):
    before = torch.get_rng_state()
    a, b = (separable(family, 3, seeded(7)) for _ in range(2))
    assert torch.equal(a.z, b.z)
    assert a.z.dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), before)


def shapes(family):
    return [tuple(c.z.shape[1:]) for c in draws(family, batch=1, count=40)]


def test_families_are_what_they_are_called():
    assert {n for n, _ in shapes("one token")} == {1}
    assert {d for _, d in shapes("one dimension")} == {1}
    assert len(set(shapes("random"))) > 20
    for context in draws("duplicates"):
        n = context.z.shape[1]
        assert any(torch.equal(context.z[:, i], context.z[:, j]) for i in range(n) for j in range(i)) or n < 5
    for context in draws("collinear"):
        cosine = icl.margins(context.direction, context.z) / context.z.norm(dim=-1)
        assert ((cosine - 1).abs() < 1e-12).all()
    for context in draws("orthogonal"):
        n = context.z.shape[1]
        assert ((context.z @ context.z.mT - torch.eye(n).double()).abs() < 1e-12).all()
        assert ((context.margin - n**-0.5).abs() < 1e-12).all()
    for context in draws("one against many"):
        first, copies = context.z[:, :1], context.z[:, 1:]
        assert 30 <= copies.shape[1] <= 510
        assert torch.equal(copies, copies[:, :1].expand_as(copies))
        assert ((first * copies).sum(-1).abs() < 1e-12).all()
        assert (first.norm(dim=-1) > copies.norm(dim=-1)).all()
    tiny = torch.cat([context.margin / context.radius for context in draws("tiny margin")])
    assert (tiny < 1e-4).any()
    assert (tiny > 1e-9).all()
    assert min(float(c.radius.min()) for c in draws("huge norms")) > 1e5
    assert max(float(c.radius.max()) for c in draws("tiny norms")) < 1e-4


def test_a_context_of_your_own_gets_its_margin_computed():
    z = icl.LinearTask(3, margin=0.1).sample(4, 6, generator=seeded(), dtype=torch.float64).z
    context = Separable.of(z)
    context.certify()
    assert torch.equal(context.margin, icl.max_margin(z).margin)
    with pytest.raises(icl.NotSeparable, match="prompt 1"):
        Separable.of(torch.stack([z[0], torch.cat([z[1, :3], -z[1, :3]])]))


def test_scaling_scales_tokens_and_margin():
    context = separable("random", 3, seeded())
    scaled = context.scaled(10.0)
    assert torch.equal(scaled.z, 10 * context.z)
    assert torch.equal(scaled.margin, 10 * context.margin)
    scaled.certify()


FORGERIES = {
    "a larger margin": lambda c: replace(c, margin=1.001 * c.margin),
    "a smaller margin": lambda c: replace(c, margin=0.999 * c.margin),
    "a negative margin": lambda c: replace(c, margin=-c.margin),
    "no margin": lambda c: replace(c, margin=0 * c.margin),
    "NaN": lambda c: replace(c, margin=c.margin * torch.nan),
    "another direction": lambda c: replace(c, direction=c.direction.flip(-1)),
    "a long direction": lambda c: replace(c, direction=2 * c.direction),
    "another dual": lambda c: replace(c, dual=torch.full_like(c.dual, 1 / c.dual.shape[1])),
    "half a dual": lambda c: replace(c, dual=c.dual / 2),
    "a dual with a negative weight": lambda c: replace(c, dual=2 * c.dual - c.dual.flip(-1)),
    "one forged prompt of many": lambda c: replace(c, margin=c.margin * torch.tensor([1.0, 1.0, 1.01])),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_forged_certificate_is_refused(forge, scale):
    context = Separable.of(icl.LinearTask(3, margin=0.3).sample(3, 7, generator=seeded(), dtype=torch.float64).z)
    with pytest.raises(icl.BadInput, match=r"margin: got .*, expected the max margin > 0"):
        forge(context.scaled(scale)).certify()


def test_a_dual_that_is_right_but_for_its_signs_is_refused():
    """Of two equal tokens one may have the weight 3/2 and the other -1/2: the sums are right, the proof is not."""
    z = torch.ones(1, 2, 3, dtype=torch.float64)
    context = replace(Separable.of(z), dual=torch.tensor([[1.5, -0.5]], dtype=torch.float64))
    with pytest.raises(icl.BadInput, match="margin: got"):
        context.certify()
