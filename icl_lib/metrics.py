"""What is measured on classifiers: errors, angles, margins, and intervals over seeds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import validate
from .losses import margins


def error_rate(decision: Float[Tensor, "... q"], y: Float[Tensor, "... q"]) -> Float[Tensor, "..."]:
    """Return the share of queries, in [0, 1], whose decision value has the wrong sign; a decision of 0 counts half."""
    validate.shaped("decision", decision, "... q")
    validate.labels("y", y, decision, "decision")
    if decision.shape[-y.ndim :] != y.shape:
        raise validate.fail("y", f"shape {list(y.shape)}", f"the last axes of decision, {list(decision.shape)}")
    return ((1 - torch.sign(decision) * y) / 2).mean(-1)


def angle(u: Float[Tensor, "... d"], v: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """Return the angle between u and v in radians, accurate to rounding even when it is tiny (no arccos)."""
    for name, value in (("u", u), ("v", v)):
        validate.shaped(name, value, "... d")
        if (value == 0).all(-1).any():
            raise validate.fail(name, "a zero vector", "a direction")
    validate.same_kind("v", v, "u", u)
    validate.shaped("v", v, "... d", d=u.shape[-1])
    # first to size 1, as a square may overflow
    u, v = u / u.abs().amax(-1, keepdim=True), v / v.abs().amax(-1, keepdim=True)
    u, v = u / u.norm(dim=-1, keepdim=True), v / v.norm(dim=-1, keepdim=True)
    return 2 * torch.atan2((u - v).norm(dim=-1), (u + v).norm(dim=-1))


def normalized_margin(w: Float[Tensor, "... B d"], z: Float[Tensor, "B n d"]) -> Float[Tensor, "... B"]:
    """Return min_i <w, z_i> / ||w||, the distance from the boundary to the worst point (negative: misclassified).

    At w = 0 there is no boundary, and the margin is 0 by convention.
    """
    smallest = margins(w, z).amin(-1)
    size = w.norm(dim=-1)
    return torch.where(size > 0, smallest / size.where(size > 0, torch.ones_like(size)), torch.zeros_like(size))


class Interval(NamedTuple):
    """A mean with the ends of its confidence interval, each of the same shape."""

    mean: Tensor
    low: Tensor
    high: Tensor


def bootstrap_interval(
    samples: Float[Tensor, "S ..."],
    *,
    generator: torch.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """Return the mean over the first axis (seeds, tasks, prompts) with its percentile-bootstrap interval."""
    validate.finite("samples", validate.floating("samples", samples))
    if samples.ndim < 1 or samples.shape[0] < 2:
        raise validate.fail("samples", f"shape {list(samples.shape)}", "at least 2 samples along the first axis")
    if not samples.numel():
        raise validate.fail("samples", f"shape {list(samples.shape)}", "no axis of length 0")
    validate.between("level", level, 0.0, 1.0)
    validate.whole("resamples", resamples, 1)
    validate.seeded(generator)
    S = samples.shape[0]
    draws = (torch.randint(S, (S,), generator=generator, device=generator.device) for _ in range(resamples))
    means = torch.stack([samples[draw.to(samples.device)].mean(0) for draw in draws])
    tail = (1 - level) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail]).to(samples), dim=0)
    return Interval(samples.mean(0), low, high)
