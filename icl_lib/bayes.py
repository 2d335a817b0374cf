"""The Bayes point: the centre of all directions that agree with a context, by a billiard among them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .algorithms import max_margin
from .laws import unit


class BayesPoint(NamedTuple):
    """centre [B, d]: mean direction of the version space, unit norm; sample [B, d]: one direction drawn from it."""

    centre: Float[Tensor, "B d"]
    sample: Float[Tensor, "B d"]


def bayes_point(z: Float[Tensor, "B n d"], bounces: int, *, generator: torch.Generator) -> BayesPoint:
    """Return centre and a sample of the version space {u : ||u|| = 1, <u, z_i> > 0 for all i}, d >= 2.

    If w_star was uniform on the sphere, then given the context it is uniform here. A ball starts at the max-margin
    direction, rolls along great circles and is reflected by the walls <u, z_i> = 0; the centre is the mean of its path
    (Rujan 1997). At one bounce in 10 d it leaves the wall in a fresh direction, by the cosine law, which leaves the
    uniform law on the version space as it is. Take 40 d bounces or more. Raises NotSeparable.
    """
    d = validate.context(z).shape[2]
    validate.whole("bounces", bounces, 1)
    if d < 2:
        raise validate.fail("z", "points in R^1", "points in R^d with d >= 2, where directions can turn")
    kind = {"generator": validate.seeded(generator), "dtype": z.dtype, "device": generator.device}
    u, walls = max_margin(z).direction, unit(z)
    transposed, prompt = walls.mT.contiguous(), torch.arange(len(z), device=z.device)
    total, sample, elapsed = torch.zeros_like(u), u, torch.zeros_like(u[:, :1])
    height = (u[:, None] @ transposed)[:, 0]
    v = _tangent(u, torch.randn(u.shape, **kind).to(u.device))
    for _ in range(bounces):
        # on u cos(t) + v sin(t) the height above wall i is height_i cos(t) + slope_i sin(t), first 0 at:
        slope = (v[:, None] @ transposed)[:, 0]
        t, wall = torch.atan2(height, -slope).min(-1)
        t, normal = t[:, None], walls[prompt, wall]
        total += u * t.sin() + v * (1 - t.cos())  # the integral of the path
        elapsed += t
        chance, share, afresh = torch.rand(3, len(z), 1, **kind).to(u.device)
        here = u * (share * t).cos() + v * (share * t).sin()
        sample = torch.where(chance * elapsed < t, here, sample)  # in the end, any moment of the path is as likely
        u, v = u * t.cos() + v * t.sin(), v * t.cos() - u * t.sin()
        u = _across(u, normal)  # on the wall, to rounding
        back = v - 2 * (v * normal).sum(-1, keepdim=True) * normal
        v = _tangent(u, torch.where(afresh * 10 * d < 1, _off_the_wall(u, normal, kind), back))
        height = (u[:, None] @ transposed)[:, 0].clamp_min(0)
    return BayesPoint(unit(total), sample)


def _off_the_wall(u: Tensor, normal: Tensor, kind: dict) -> Tensor:
    """Random directions into the version space from points u on walls, with chances like the cosine to the normal."""
    rest = u.shape[-1] - 2  # dimensions of the wall's own directions
    aside = _across(_tangent(u, torch.randn(u.shape, **kind).to(u.device)), normal)
    squared = torch.rand(len(u), 1, **kind).to(u.device) ** (2 / rest) if rest else torch.zeros_like(u[:, :1])
    return (1 - squared).sqrt() * normal + squared.sqrt() * aside


def _across(a: Tensor, b: Tensor) -> Tensor:
    """The vectors a made orthogonal to the unit vectors b, and unit vectors themselves."""
    return unit(a - (a * b).sum(-1, keepdim=True) * b)


def _tangent(u: Tensor, v: Tensor) -> Tensor:
    """A direction to move in from the point u of the sphere: that of v, as far as it leads along the sphere."""
    return _across(v, u)
