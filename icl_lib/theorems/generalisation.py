"""Theorems on the error on fresh points: for every consistent classifier, and for the max-margin one."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .. import validate
from ..algorithms import max_margin, ngd
from ..losses import margins
from .base import Sides
from .realizable import WORLDS, Sample
from .statistical import Statistical

DELTA = 0.05
LOOPS = 100


def vc_bound(n: int, d: int, delta: float = DELTA) -> float:
    """Return what the error of every consistent classifier stays below, with probability 1 - delta; may exceed 1.

    (2 / n) (growth + log2(2 / delta)), growth = min(d log2(2 e n / d), 2 n) where 2 n >= d, and 2 n elsewhere.
    Source: thm-vc.
    """
    validate.whole("n", n, 1)
    validate.whole("d", d, 1)
    if validate.between("delta", delta, 0.0, 1.0) == 0:
        raise validate.fail("delta", delta, "a number > 0")
    growth = min(d * math.log2(2 * math.e * n / d), 2 * n) if 2 * n >= d else 2 * n
    return 2 / n * (growth + math.log2(2 / delta))


def leave_one_out_bound(z: Float[Tensor, "B N d"]) -> Float[Tensor, " B"]:
    """Return (R / gamma)^2 / N, with radius and max margin of all N tokens. Raises NotSeparable.

    Its mean bounds the expected error of the max-margin classifier of N - 1 of them. Source: thm-leave-one-out.
    """
    radius = z.norm(dim=-1).amax(-1)
    return (radius / max_margin(z).margin).square() / z.shape[1]


def _on_the_edge(z: Tensor, w_star: Tensor, probe: Tensor, inside: Tensor) -> Tensor:
    """A classifier w [d] that is right on all tokens and lies as far from w_star along ``probe`` as they let it.

    A linear programme: maximise <w, probe> with <w, z_i> >= 0, <w, w_star> = 1; then a little way inside.
    """
    from scipy.optimize import linprog  # loaded only where it is needed

    rows, right = -z.numpy(), torch.zeros(len(z)).numpy()
    found = linprog(-probe.numpy(), rows, right, w_star.numpy()[None], [1.0], bounds=(-100, 100))
    if found.x is None:
        return inside
    w = torch.from_numpy(found.x)
    return w + 1e-3 * w.norm() * inside


def consistent(s: Sample) -> list[Float[Tensor, "B d"]]:
    """Return classifiers that are right on every token: max margin, one far from w_star, and the loop.

    Tokens are first made unit vectors, which changes no side. Where the loop has not separated the context after
    LOOPS steps, or the second is not right to rounding, the max-margin classifier stands in.
    """
    z = s.z / s.z.norm(dim=-1, keepdim=True)
    best = max_margin(z).direction
    edge = torch.stack([_on_the_edge(*each) for each in zip(z, s.w_star, s.probe, best, strict=True)])
    made = [best, edge, ngd(z, 1.0, LOOPS)[-1]]
    return [torch.where((margins(w, z) > 0).all(-1, keepdim=True), w, best) for w in made]


def _vc(s: Sample) -> Sides:
    error = torch.stack([s.error(w) for w in consistent(s)]).amax(0)
    return Sides(error, torch.full_like(error, vc_bound(*s.z.shape[1:])), torch.ones_like(error))


def _leave_one_out(s: Sample) -> Sides:
    error = s.error(max_margin(s.z[:, :-1]).direction)
    return Sides(error, leave_one_out_bound(s.z), torch.ones_like(error))


STATEMENTS = (
    Statistical(
        "thm-vc",
        "Every consistent classifier generalises",
        r"Tokens i.i.d. from any law on $\mathbb{R}^d$, $0 < \delta \le 1$. With probability at least $1 - \delta$, "
        r"every $w$ with $\langle w, z_i \rangle > 0$ for $i = 1, \dots, n$ has "
        r"$P(\langle w, z \rangle \le 0) \le \frac2n (G + \log_2 \frac2\delta)$ on a fresh token $z$, where "
        r"$G = \min(d \log_2 \frac{2en}{d}, 2n)$ if $2n \ge d$ and $G = 2n$ if not.",
        "standard",
        "high-probability",
        _vc,
        tuple(WORLDS),
        (60, 300),  # with fewer tokens most bounds exceed 1 and say nothing
        delta=DELTA,
    ),
    Statistical(
        "thm-leave-one-out",
        "Leave one out",
        r"Tokens $z_1, \dots, z_{n+1}$ i.i.d., $n \ge 1$, almost surely separable, with radius $R$ and max margin "
        r"$\gamma$. The max-margin separator of $n$ of them errs on a fresh token with a probability whose mean is at "
        r"most $\mathbb{E}[R^2 / \gamma^2] / (n + 1)$.",
        "standard",
        "expectation",
        _leave_one_out,
        tuple(name for name in WORLDS if name != "heavy tails"),  # there R^2 has no mean, and the bound is empty
        (5, 65),
        least_d=5,  # for d <= 4 the Gaussian R^2 / gamma^2 has no variance, and intervals mean nothing
    ),
)
