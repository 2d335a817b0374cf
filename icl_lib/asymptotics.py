"""Test errors of halfspace learners on Gaussian points, from theory: limits at a fixed n/d, and one bound for all n, d.

Points are N(0, I_d), labels sign <w_star, x>, and the error of w is its angle to w_star over pi. ``ratio`` is n/d, with
n and d both large. Chapter: "Generalisation", which derives what it can and says where the rest is proved.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from . import validate


def averaging_limit(ratio: float) -> float:
    """Return the limiting error, in (0, 1/2), of the average of the folded tokens: arctan(sqrt(pi / (2 ratio))) / pi.

    It is the error of one attention layer from w = 0, which averages, and of Hebb's rule. Source: prp-averaging.
    """
    return math.atan(math.sqrt(math.pi / (2 * validate.positive("ratio", ratio)))) / math.pi


class MaxMarginLimit(NamedTuple):
    """error: in (0, 1/2); margin: the limit of the max margin, for points that are not normalised."""

    error: float
    margin: float


def max_margin_limit(ratio: float) -> MaxMarginLimit:
    """Return the limiting error and margin of the max-margin separator.

    The margin k is the largest with ``ratio * E[(k - cos(theta) |s| - sin(theta) g)_+^2] <= sin(theta)^2`` for some
    angle theta, s and g standard normal; that angle over pi is the error. Source: Gaussian min-max comparison, see the
    chapter.
    """
    from scipy.optimize import brentq, minimize_scalar  # loaded only where they are needed

    validate.positive("ratio", ratio)

    def margin(theta: float) -> float:
        def excess(k: float) -> float:
            return ratio * _squared_shortfall(k, theta) - math.sin(theta) ** 2

        low, high = -1.0, 1.0
        while excess(low) > 0:
            low *= 2
        while excess(high) < 0:
            high *= 2
        return brentq(excess, low, high, xtol=1e-13)

    guess = math.pi * min(0.49, 0.5 / ratio)  # the angle is close to this where ratio is large
    reach = (math.log(guess / 4), math.log(min(math.pi / 2, 4 * guess)))
    found = minimize_scalar(lambda v: -margin(math.exp(v)), bounds=reach, method="bounded", options={"xatol": 1e-9})
    return MaxMarginLimit(math.exp(found.x) / math.pi, float(-found.fun))


def _squared_shortfall(k: float, theta: float) -> float:
    """E[(k - cos(theta) |s| - sin(theta) g)_+^2]: over g in closed form, over s by quadrature."""
    from scipy.integrate import quad
    from scipy.special import ndtr

    rho, sigma = math.cos(theta), math.sin(theta)

    def at(s: float) -> float:
        a = (k - rho * s) / sigma
        given_s = (a * a + 1) * ndtr(a) + a * _density(a)
        return 2 * _density(s) * sigma**2 * given_s

    end = min(12.0, max(k + 12 * sigma, 0.0) / rho) if rho > 1e-3 else 12.0  # nothing but rounding lies beyond
    return quad(at, 0.0, end, limit=200, epsabs=0, epsrel=1e-11)[0]


def bayes_limit(ratio: float) -> float:
    """Return the limiting error of the best predictor there is, for w_star uniform on the sphere.

    arccos(sqrt(q)) / pi with q = (ratio / pi) E[exp(-u^2) / Phi(-u)], u ~ N(0, q / (1 - q)). Source: see the chapter.
    """
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.special import expit, log_ndtr

    validate.positive("ratio", ratio)

    def excess(logit: float) -> float:
        variance = 1 / (math.exp(-logit) + 2)  # of the product of exp(-u^2) and the density of u
        scale = math.sqrt(variance)

        def at(t: float) -> float:
            return math.exp(-t * t / 2 - log_ndtr(-scale * t)) / math.sqrt(2 * math.pi)

        mean = scale * math.exp(-logit / 2) * quad(at, -38, 38, points=[0], limit=300)[0]
        return ratio / math.pi * mean - expit(logit)

    logit = brentq(excess, -40.0, 40.0, xtol=1e-12)
    return math.atan(math.exp(-logit / 2)) / math.pi


def bayes_constant() -> float:
    """Return the limit of ratio * bayes_limit(ratio) for large ratios: sqrt(2 pi) / integral of exp(-u^2) / Phi(-u)."""
    from scipy.integrate import quad
    from scipy.special import log_ndtr

    return math.sqrt(2 * math.pi) / quad(lambda u: math.exp(-u * u - log_ndtr(-u)), -38, 38, points=[0], limit=300)[0]


def max_margin_constant() -> float:
    """Return the limit of ratio * max_margin_limit(ratio).error: 3 / (sqrt(2 pi) E[(k + g)_+^3]).

    k > 0 maximises k / E[(k + g)_+^3], g standard normal.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import ndtr

    def cubed(k: float) -> float:
        return (k**3 + 3 * k) * ndtr(k) + (k**2 + 2) * _density(k)  # E[(k + g)_+^3]

    k = minimize_scalar(lambda k: -k / cubed(k), bounds=(0.01, 5.0), method="bounded", options={"xatol": 1e-10}).x
    return 3 / (math.sqrt(2 * math.pi) * cubed(k))


def counting_bound(n: int, d: int) -> float:
    """Return what the mean error of no halfspace learner is below, whatever the law of x, w_star uniform; 0 for d = 1.

    The mean is over w_star and the context, the error is the angle over pi. n points have at most
    C(n, d) = 2 sum_{i < d} binomial(n - 1, i) labelings, hence a learner gives at most that many answers, and each is
    within the angle theta of at most sin(theta)^(d-1) / 2 of all directions. Source: prp-counting.
    """
    validate.whole("n", n)
    if validate.whole("d", d, 1) == 1:
        return 0.0
    log_cells = math.log(2 * sum(math.comb(n - 1, i) for i in range(min(d, n)))) if n else 0.0
    least = math.asin(math.exp(min(0.0, (math.log(2) - log_cells) / (d - 1))))  # where the caps may fill the sphere
    from scipy.integrate import quad

    def filled(theta: float) -> float:
        return math.exp(log_cells - math.log(2) + (d - 1) * math.log(math.sin(theta))) if theta > 0 else 0.0

    return (least - quad(filled, 0.0, least, points=[0.9 * least], limit=200)[0]) / math.pi


def _density(a: float) -> float:
    """The standard normal density."""
    return math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
