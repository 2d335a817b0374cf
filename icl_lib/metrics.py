"""What is measured on classifiers: errors, angles, margins, and intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from . import laws, validate
from .losses import margins


def error_rate(decision: Float[Tensor, "... q"], y: Float[Tensor, "... q"]) -> Float[Tensor, "..."]:
    """Return the share of queries, in [0, 1], whose decision value has the wrong sign; a decision of 0 counts half."""
    validate.shaped("decision", decision, "... q")
    validate.labels("y", y, decision, "decision")
    if decision.shape[-y.ndim :] != y.shape:
        raise validate.fail("y", f"shape {list(y.shape)}", f"the last axes of decision, {list(decision.shape)}")
    return ((1 - torch.sign(decision) * y) / 2).mean(-1)


def exact_error(
    w: Float[Tensor, "... B d"], w_star: Float[Tensor, "B d"], law: str | laws.Law = "gaussian"
) -> Float[Tensor, "... B"]:
    """Return the chance, in [0, 1], that sign <w, x> is not sign <w_star, x>: the angle between them over pi.

    Exact for a point x of a rotation-invariant ``law`` and margin 0; raises BadInput for other laws. Proof: signs
    differ where x, projected onto the plane of w and w_star, lies in one of two opposite wedges as wide as the angle;
    the projection has a uniform direction, so the chance is 2 angle / (2 pi). At w = 0 it is 1/2, as in error_rate.
    """
    validate.shaped("w", w, "... B d")
    validate.shaped("w_star", w_star, "B d", B=w.shape[-2], d=w.shape[-1])
    validate.same_kind("w_star", w_star, "w", w)
    if (w_star == 0).all(-1).any():
        raise validate.fail("w_star", "a zero vector", "a direction")
    if not laws.of(law).rotation_invariant:
        known = ", ".join(repr(name) for name, known in laws.LAWS.items() if known.rotation_invariant)
        raise validate.fail("law", repr(law), f"a rotation-invariant law ({known}); else use error_rate")
    undecided = (w == 0).all(-1, keepdim=True)
    error = angle(torch.where(undecided, torch.ones_like(w), w), w_star) / torch.pi
    return torch.where(undecided[..., 0], torch.full_like(error, 0.5), error)


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
    """A mean (or a slope) with the ends of its confidence interval, each of the same shape."""

    mean: Tensor
    low: Tensor
    high: Tensor


def bootstrap_interval(
    samples: Float[Tensor, "S ..."],
    *,
    generator: torch.Generator,
    level: float = 0.95,
    resamples: int = 1000,
    axes: int = 1,
) -> Interval:
    """Return the mean over the first axis (seeds, tasks, prompts) with its percentile-bootstrap interval.

    axes=2: over the first two axes, for samples that come in groups: ``samples[s, k]`` is task k of training seed s,
    say, and tasks of one seed are alike. Groups are resampled first, then the members of each (nested bootstrap); the
    interval is somewhat too wide where groups are small, while axes=1 on a flattened array would be far too narrow.
    Where all groups share their members (the same prompts for every seed) it is too narrow: draw both axes anew.
    """
    validate.finite("samples", validate.floating("samples", samples))
    if validate.whole("axes", axes, 1) > 2:
        raise validate.fail("axes", axes, "1 or 2")
    if samples.ndim < axes or min(samples.shape[:axes]) < 2:
        where = "the first axis" if axes == 1 else "each of the first two axes"
        raise validate.fail("samples", f"shape {list(samples.shape)}", f"at least 2 samples along {where}")
    if not samples.numel():
        raise validate.fail("samples", f"shape {list(samples.shape)}", "no axis of length 0")
    return _interval(lambda v: v.mean(tuple(range(axes))), samples, generator, level, resamples, axes)


def _interval(
    statistic: Callable[[Tensor], Tensor],
    samples: Tensor,
    generator: torch.Generator,
    level: float,
    resamples: int,
    axes: int = 1,
) -> Interval:
    """A statistic of all samples, between quantiles of the statistic of resampled ones."""
    validate.between("level", level, 0.0, 1.0)
    validate.whole("resamples", resamples, 1)
    kind = {"generator": validate.seeded(generator), "device": generator.device}
    S, values = samples.shape[0], []
    for _ in range(resamples):
        draw = torch.randint(S, (S,), **kind).to(samples.device)
        if axes == 2:
            members = torch.randint(samples.shape[1], samples.shape[:2], **kind).to(samples.device)
            values.append(statistic(samples[draw[:, None], members]))
        else:
            values.append(statistic(samples[draw]))
    tail = (1 - level) / 2
    low, high = torch.quantile(torch.stack(values), torch.tensor([tail, 1 - tail]).to(samples), dim=0)
    return Interval(statistic(samples), low, high)


def fit_slope(
    x: Float[Tensor, " K"],
    y: Float[Tensor, "S K"],
    *,
    generator: torch.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """Return the slope of log(mean of y over its S rows) against log x by least squares, with a bootstrap interval.

    x: K >= 2 sizes > 0, not all equal; y >= 0: an error for each of S >= 2 seeds (or tasks) at each size. Whole rows
    are resampled, so a seed may use the same prompts at all sizes. The mean comes before the logarithm, as an error
    may be 0. Raises BadInput where a mean, of all rows or of resampled ones, is 0: its logarithm is infinite.
    """
    K = validate.shaped("x", x, "K").shape[0]
    validate.shaped("y", y, "S K", K=K)
    validate.same_kind("y", y, "x", x)
    if not (x > 0).all() or not (x != x[0]).any():
        raise validate.fail("x", x.tolist(), "numbers > 0, at least two of them different")
    if not (y >= 0).all() or y.shape[0] < 2:
        raise validate.fail("y", f"shape {list(y.shape)}, least {float(y.min()):g}", "at least 2 rows of numbers >= 0")
    centred = x.log() - x.log().mean()

    def slope(rows: Tensor) -> Tensor:
        mean = rows.mean(0)
        if not (mean > 0).all():
            raise validate.fail("y", "a (resampled) mean of 0", "more rows, or sizes at which few rows are 0")
        return (centred * mean.log()).sum() / centred.square().sum()

    return _interval(slope, y, generator, level, resamples)
