"""The Bayes answer to a query: the chance that its label is +1, given the context and that w_star was uniform.

Given a separable context, w_star is uniform on the version space: the directions that agree with all its labels.
:mod:`icl_lib.bayes` has the centre of that space, one linear classifier; here is the whole prediction, which is not
linear in the query. Chapter "Trained end to end".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .algorithms import max_margin
from .laws import unit


class BayesPrediction(NamedTuple):
    """probability [B, q]: that the label is +1, in [0, 1]; gradient [B, q, d]: its derivative in the query."""

    probability: Float[Tensor, "B q"]
    gradient: Float[Tensor, "B q d"]


def version_space(z: Float[Tensor, "B n d"], samples: int, *, generator: torch.Generator) -> Float[Tensor, "B S d"]:
    """Return vectors w ~ N(0, I) given <w, z_i> > 0 for all i, ``samples`` a prompt; their directions are uniform.

    Hit and run: from the max-margin separator every chain moves along 20 d random lines, on each to a fresh point of
    the normal law on that line, cut at the walls <w, z_i> = 0. Raises NotSeparable.
    """
    B, _, d = validate.context(z).shape
    size = (B, validate.whole("samples", samples, 1), d)
    kind = {"generator": validate.seeded(generator), "dtype": z.dtype, "device": generator.device}
    w = (max_margin(z).direction * d**0.5)[:, None].expand(size)
    for _ in range(20 * d):
        line = unit(torch.randn(size, **kind).to(z.device))
        along, low, high = _walls(w, line, z)
        low_share, high_share = torch.special.ndtr(low), torch.special.ndtr(high)
        share = torch.rand(size[:2], **kind).to(z.device)
        fresh = torch.special.ndtri(low_share + share * (high_share - low_share))
        fresh = fresh.clamp(low, high).where(fresh.isfinite(), along)  # rounding, far out in the tails
        w = w + (fresh - along)[..., None] * line
    return w


def _walls(w: Tensor, line: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """<w, line>, and between which values it may lie if w moves along ``line`` and stays in the version space."""
    along = (w * line).sum(-1)
    height, slope = (torch.einsum("bsd,bnd->bsn", v, z) for v in (w, line))
    wall = along[..., None] - height / slope
    low = wall.masked_fill(slope <= 0, -torch.inf).amax(-1)
    high = wall.masked_fill(slope >= 0, torch.inf).amin(-1)
    return along, torch.minimum(low, along), torch.maximum(high, along)


def bayes_prediction(
    z: Float[Tensor, "B n d"], x_query: Float[Tensor, "B q d"], samples: int, *, generator: torch.Generator
) -> BayesPrediction:
    """Return P(<w, x> > 0) and its gradient for each query x, w ~ N(0, I) given that it agrees with the context.

    Each sample of the version space stands for its whole line in the direction of x: on it <w, x> / ``||x||`` is
    normal, cut at the walls, so the chance and the density at 0 are known there, and are averaged over the samples.
    The gradient is E[w; <w, x> = 0]. Where all lines lie on one side, it is 0. Raises NotSeparable.
    """
    B, _, d = validate.context(z).shape
    validate.shaped("x_query", x_query, "B q d", B=B, d=d)
    validate.same_kind("x_query", x_query, "z", z)
    w = version_space(z, samples, generator=generator)
    answers = []
    for x in x_query.unbind(1):
        line = unit(x)[:, None].expand_as(w)
        along, low, high = _walls(w, line, z)
        zero, below, above = (torch.special.ndtr(t) for t in (torch.zeros_like(low), low, high))
        mass = (above - below).clamp_min(1e-12)
        chance = ((above - torch.maximum(below, zero)) / mass).clamp(0, 1)
        density = ((low < 0) & (high > 0)) / (mass * (2 * torch.pi) ** 0.5)
        crossing = w - along[..., None] * line
        answers.append((chance.mean(-1), (density[..., None] * crossing).mean(1) / x.norm(dim=-1, keepdim=True)))
    return BayesPrediction(*(torch.stack(part, 1) for part in zip(*answers, strict=True)))
