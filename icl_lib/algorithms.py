"""The explicit algorithms that attention is held against, each as plain as it can be written.

All act on folded contexts z [B, n, d], start at w = 0 unless told otherwise, and return the whole path
[T+1, B, d]. Writing g(w) = sum_i q_i z_i with q = softmax(-m) for the *normalised* descent direction -grad phi(w).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from . import validate

Context = Float[Tensor, "B n d"]
Path = Float[Tensor, "T+1 B d"]
Step = float | Float[Tensor, " B"]


def _start(z: Tensor, steps: int, w0: Tensor | None) -> Tensor:
    validate.context(z)
    validate.whole("steps", steps)
    if w0 is None:
        return torch.zeros_like(z[:, 0])
    validate.shaped("w0", w0, "B d", B=z.shape[0], d=z.shape[2])
    validate.same_kind("w0", w0, "z", z)
    return w0


def _path(w: Tensor, steps: int, update: Callable[[Tensor, int], Tensor]) -> Tensor:
    path = [w]
    for t in range(steps):
        path.append(path[-1] + update(path[-1], t))
    path = torch.stack(path)
    if not torch.isfinite(path).all():
        first = int((~torch.isfinite(path)).flatten(1).any(-1).nonzero()[0])
        raise validate.fail("step", f"a path that overflows at step {first}", "a smaller step")
    return path


def _normalized_direction(w: Tensor, z: Tensor) -> Tensor:
    """g(w) = sum_i q_i z_i, q = softmax(-<w, z_i>)."""
    q = torch.softmax(-torch.einsum("bd,bnd->bn", w, z), -1)
    return torch.einsum("bn,bnd->bd", q, z)


def ngd(z: Context, step: Step, steps: int, w0: Float[Tensor, "B d"] | None = None) -> Path:
    """Return the path of normalized gradient descent, w <- w - step * grad L(w) / L(w), L the exponential loss.

    Raises BadInput for step <= 0, steps < 0 or a malformed z. Source: Theorem "one head, one step".
    """
    w0, step = _start(z, steps, w0), validate.step(step, z)
    return _path(w0, steps, lambda w, t: step * _normalized_direction(w, z))


def gd(z: Context, step: Step, steps: int, w0: Float[Tensor, "B d"] | None = None, loss: str = "exponential") -> Path:
    """Return the path of plain gradient descent on the exponential or the logistic loss (``loss``), means over i.

    Raises BadInput, besides the usual, where the path overflows: the exponential loss has unbounded curvature.
    """
    w0, step = _start(z, steps, w0), validate.step(step, z)
    weight = {"exponential": lambda m: torch.exp(-m), "logistic": lambda m: torch.sigmoid(-m)}
    weight = weight[validate.one_of("loss", loss, weight)]

    def update(w: Tensor, t: int) -> Tensor:
        m = torch.einsum("bd,bnd->bn", w, z)
        return step * torch.einsum("bn,bnd->bd", weight(m), z) / z.shape[1]

    return _path(w0, steps, update)


def norm_gd(z: Context, step: Step, steps: int, w0: Float[Tensor, "B d"] | None = None) -> Path:
    """Return the path of gradient descent normalised by the gradient's length: every update has length ``step``.

    A gradient of exactly 0 (the minimiser of a non-separable context) is left at 0.
    """
    w0, step = _start(z, steps, w0), validate.step(step, z)

    def update(w: Tensor, t: int) -> Tensor:
        g = _normalized_direction(w, z)
        length = g.norm(dim=-1, keepdim=True)
        return step * g / length.where(length > 0, torch.ones_like(length))

    return _path(w0, steps, update)


def ngd_decaying(z: Context, step: Step, steps: int, w0: Float[Tensor, "B d"] | None = None) -> Path:
    """Return the path of NGD whose t-th step (t = 0, 1, ...) is step / sqrt(t + 1).

    Source: Theorem "decaying steps".
    """
    w0, step = _start(z, steps, w0), validate.step(step, z)
    return _path(w0, steps, lambda w, t: step / (t + 1) ** 0.5 * _normalized_direction(w, z))


def momentum_ngd(z: Context, step: Step, steps: int, w0: Float[Tensor, "B d"] | None = None) -> Path:
    """Return the path of NGD with momentum: v <- t/(t+1) (v + g), then w <- w + step (v + g), from v = 0.

    The acceleration of Ji, Srebro and Telgarsky (2021) for separable data.
    """
    w0, step = _start(z, steps, w0), validate.step(step, z)
    v = torch.zeros_like(w0)

    def update(w: Tensor, t: int) -> Tensor:
        nonlocal v
        g = _normalized_direction(w, z)
        v = t / (t + 1) * (v + g)
        return step * (v + g)

    return _path(w0, steps, update)


def _regression(phi: Tensor, y: Tensor) -> tuple[int, int, int]:
    B, n, F = validate.shaped("phi", phi, "B n F").shape
    validate.shaped("y", y, "B n", B=B, n=n)
    validate.same_kind("y", y, "phi", phi)
    return B, n, F


def gd_least_squares(
    phi: Float[Tensor, "B n F"],
    y: Float[Tensor, "B n"],
    step: Step,
    steps: int,
    c0: Float[Tensor, "B F"] | None = None,
) -> Float[Tensor, "T+1 B F"]:
    """Return the path of gradient descent on the squared loss (1/2n) sum_i (y_i - <c, phi_i>)^2, from c = 0 or c0.

    Raises BadInput where it overflows: it diverges for steps above 2 / lambda_max of the second moment of phi.
    """
    n = _regression(phi, y)[1]
    c0, step = _start(phi, steps, c0), validate.step(step, phi)
    return _path(
        c0, steps, lambda c, t: step * torch.einsum("bn,bnf->bf", y - torch.einsum("bf,bnf->bn", c, phi), phi) / n
    )


def least_squares(phi: Float[Tensor, "B n F"], y: Float[Tensor, "B n"]) -> Float[Tensor, "B F"]:
    """Return the coefficients of least squares, those of least norm where there are many (n < F, say)."""
    _regression(phi, y)
    return torch.linalg.lstsq(phi, y[..., None], driver="gelsd").solution[..., 0]


def ridge(phi: Float[Tensor, "B n F"], y: Float[Tensor, "B n"], penalty: float) -> Float[Tensor, "B F"]:
    """Return the minimiser of (1/n) sum_i (y_i - <c, phi_i>)^2 + penalty ||c||^2, penalty > 0.

    For y_i = <c, phi_i> + noise of variance s^2 and c ~ N(0, v I) it is the mean of c given the prompt, the best
    possible answer, at penalty = s^2 / (n v).
    """
    _, n, F = _regression(phi, y)
    moment = phi.mT @ phi / n + validate.positive("penalty", penalty) * torch.eye(F).to(phi)
    return torch.linalg.solve(moment, torch.einsum("bn,bnf->bf", y, phi) / n)


def kernel_gd(
    gram: Float[Tensor, "B n n"], y: Float[Tensor, "B n"], step: Step, steps: int
) -> Float[Tensor, "T+1 B n"]:
    """Return the path of functional gradient descent, a <- a + (step / n) (y - gram a) from a = 0.

    The function is sum_i a_i k(x_i, .), and gram the kernel between all pairs of points.
    """
    n = _regression(gram, y)[1]
    if gram.shape[-1] != n:
        raise validate.fail("gram", f"shape {list(gram.shape)}", f"shape [B, {n}, {n}]")
    a0, step = _start(gram, steps, None), validate.step(step, gram)
    return _path(a0, steps, lambda a, t: step * (y - torch.einsum("bij,bj->bi", gram, a)) / n)


def newton_schulz(x: Float[Tensor, "B n F"], steps: int) -> Float[Tensor, "T+1 B n F"]:
    """Return the tokens x after 0 to ``steps`` iterations of x <- 1.5 x - 0.5 S x, S = (1/n) sum_i x_i x_i^T.

    S tends to the identity on the span of x if its eigenvalues lie below 3. Raises BadInput where it overflows.
    Source: Theorem "Newton-Schulz".
    """
    validate.shaped("x", x, "B n F")
    validate.whole("steps", steps)
    return _path(x, steps, lambda x, t: 0.5 * x - 0.5 * x @ (x.mT @ x) / x.shape[1])


class MaxMargin(NamedTuple):
    """The hard-margin separator of each context: direction [B, d] (unit norm), margin [B], dual [B, n].

    ``dual`` lies in the simplex, is 0 off the support vectors, and sum_i dual_i z_i = margin * direction.
    """

    direction: Float[Tensor, "B d"]
    margin: Float[Tensor, " B"]
    dual: Float[Tensor, "B n"]


def max_margin(z: Context, tol: float = 1e-6) -> MaxMargin:
    """Return the exact max-margin separator through the origin, by quadratic programming.

    Solves min ||u||^2 / 2 subject to <u, z_i> >= 1, its dual first, and certifies the answer: the margin reached and
    the norm of the dual combination bracket the true margin, and must agree to ``tol``.
    Raises NotSeparable, naming the prompt, where no direction separates a context or none can be certified in
    floating point. Computes in float64; returns the dtype of z.
    """
    validate.context(z)
    validate.positive("tol", tol)
    solved = [_one_max_margin(points, index, tol) for index, points in enumerate(z.detach().cpu().double().numpy())]
    direction, margin, dual = (torch.tensor(np.stack(part)).to(z) for part in zip(*solved, strict=True))
    return MaxMargin(direction, margin, dual)


def _one_max_margin(z: np.ndarray, index: int, tol: float) -> tuple[np.ndarray, np.float64, np.ndarray]:
    def refuse(seen: str) -> validate.NotSeparable:
        return validate.NotSeparable(f"z: prompt {index} {seen}, expected a direction u with <u, z_i> > 0 for all i")

    radius = np.linalg.norm(z, axis=1).max()
    if radius == 0:
        raise refuse("holds only zeros")
    unit, best, found = z / radius, np.inf, None
    for u, dual in _candidates(unit):
        size, total = np.linalg.norm(u), dual.sum()
        if not (np.isfinite(size) and np.isfinite(total) and size > 0 and total > 0 and dual.min() >= 0):
            continue
        direction, dual = u / size, dual / total
        reached, bound = (unit @ direction).min(), np.linalg.norm(dual @ unit)
        gap = (bound - reached) / bound if bound > 0 else np.inf
        if gap < best:
            best, found = gap, (reached, bound, direction, dual)
        if gap < 1e-10:
            break
    if found is None:
        raise refuse("is not separable through the origin")
    reached, bound, direction, dual = found
    if not reached > 0 or best > tol:
        raise refuse(f"has no certified separator (margin / R between {reached:.3g} and {bound:.3g})")
    return direction, reached * radius, dual


def _candidates(unit: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Answers (u, dual) to min ||u||^2 / 2 subject to <u, z_i> >= 1, to be certified; norms are at most 1.

    First the dual as non-negative least squares: it always ends, but tiny margins (below 1e-3 or so) are beyond it.
    Then Goldfarb-Idnani, which finds those, but on ties at the level of rounding may add and drop the same
    constraints for ever: hence constraints that differ by 1e-8. An answer is made exact on its support.
    """
    import quadprog  # both loaded only where an exact solution is asked for
    from scipy.optimize import nnls

    n, d = unit.shape

    def on(support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, dual = np.linalg.lstsq(unit[support], np.ones(support.sum()), rcond=None)[0], np.zeros(n)
        dual[support] = np.linalg.lstsq(unit[support].T, u, rcond=None)[0]
        return u, dual

    with suppress(RuntimeError):  # too many iterations
        dual, _ = nnls(np.vstack([unit.T, np.ones(n)]), np.append(np.zeros(d), 1.0))
        yield on(dual > 0)
    apart = 1 + 1e-8 * (np.arange(1, n + 1) * 0.6180339887498949 % 1)  # the golden ratio: no two alike
    with suppress(ValueError):  # inconsistent: not separable
        u, _, _, _, dual, _ = quadprog.solve_qp(np.eye(d), np.zeros(d), unit.T.copy(), apart)
        yield on(dual > 0)
        yield u, dual
