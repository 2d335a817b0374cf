"""The ways to do the work: loops of the layer, batched Newton, and what scikit-learn and a QP solver offer.

Loops return w [B, d]; solvers take lists of arrays, one prompt at a time, as their libraries do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Arrays = list[tuple[np.ndarray, np.ndarray]]
"""Prompts as scikit-learn wants them: (x [n, d], y [n]) in float64."""


# --- loops of one layer, w_0 = 0, step 1


def sdpa_loop(z: Tensor, step: float, loops: int) -> Tensor:
    """torch's scaled_dot_product_attention as the head: the query is -w, keys and values are the tokens."""
    keys, w = z[:, None], torch.zeros_like(z[:, :1])[:, None]
    for _ in range(loops):
        w = w + step * torch.nn.functional.scaled_dot_product_attention(-w, keys, keys, scale=1.0)
    return w[:, 0, 0]


def view_loop(z: Tensor, step: float, loops: int) -> Tensor:
    """The row form without a transposed copy: w @ Z.mT, a view, reads the bytes that q @ Z reads next."""
    w, turned = torch.zeros_like(z[:, :1]), z.mT
    for _ in range(loops):
        w = w + step * (torch.softmax(-(w @ turned), -1) @ z)
    return w[:, 0]


def naive_loop(z: Tensor, step: float, loops: int) -> Tensor:
    """What one writes first: bmm(Z, w) with w a column, softmax, and the mean of the tokens."""
    w = torch.zeros_like(z[:, 0])
    for _ in range(loops):
        m = torch.bmm(z, w[:, :, None])[:, :, 0]
        w = w + step * torch.bmm(z.mT, torch.softmax(-m, -1)[:, :, None])[:, :, 0]
    return w


def einsum_loop(z: Tensor, step: float, loops: int) -> Tensor:
    """The same in einsum."""
    w = torch.zeros_like(z[:, 0])
    for _ in range(loops):
        q = torch.softmax(-torch.einsum("bnd,bd->bn", z, w), -1)
        w = w + step * torch.einsum("bn,bnd->bd", q, z)
    return w


# --- scikit-learn's objective, C sum_i log(1 + exp(-m_i)) + ||w||^2 / 2, for a whole batch at once


def newton_batch(z: Tensor, C: float = 1.0, steps: int = 8) -> Tensor:
    """Newton's method with full steps, which converges from 0 at this much regularisation."""
    w, eye = torch.zeros_like(z[:, 0]), torch.eye(z.shape[-1]).to(z)
    for _ in range(steps):
        p = torch.sigmoid(-(z @ w[..., None])[..., 0])
        gradient = w - C * (p[:, None] @ z)[:, 0]
        hessian = eye + C * (z.mT * (p * (1 - p))[:, None]) @ z
        w = w - torch.linalg.solve(hessian, gradient)
    return w


# --- one prompt at a time


def quiet(fit: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Arrays], np.ndarray]:
    """Return the function that fits prompt after prompt, w [B, d], scikit-learn's own checks of the input off."""

    def fit_all(prompts: Arrays) -> np.ndarray:
        import sklearn

        with warnings.catch_warnings(), sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
            warnings.simplefilter("ignore")  # a loose tolerance warns that it is loose
            return np.stack([fit(x, y) for x, y in prompts])

    return fit_all


def logistic(C: float = 1.0, solver: str = "liblinear", tol: float = 1e-4) -> Callable:
    """scikit-learn's LogisticRegression without intercept."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, solver=solver, tol=tol, fit_intercept=False, max_iter=10_000)
    return quiet(lambda x, y: model.fit(x, y).coef_[0].copy())


def linear_svc(C: float, tol: float, loss: str = "hinge") -> Callable:
    """scikit-learn's LinearSVC without intercept: liblinear's dual coordinate descent, or its primal Newton."""
    from sklearn.svm import LinearSVC

    dual = loss == "hinge"
    model = LinearSVC(loss=loss, dual=dual, C=C, tol=tol, fit_intercept=False, max_iter=10_000, random_state=0)
    return quiet(lambda x, y: model.fit(x, y).coef_[0].copy())


def svc(C: float, tol: float) -> Callable:
    """scikit-learn's SVC. It insists on an intercept, which is 0 by symmetry on the tokens and their negatives."""
    from sklearn.svm import SVC

    model = SVC(kernel="linear", C=C, tol=tol)

    def fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = y[:, None] * x
        return model.fit(np.concatenate([z, -z]), np.repeat([1, -1], len(z))).coef_[0].copy()

    return quiet(fit)


def one_class(tol: float) -> Callable:
    """scikit-learn's OneClassSVM at nu = 1/n on the folded tokens: the hard margin through the origin, exactly."""
    from sklearn.svm import OneClassSVM

    def fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return OneClassSVM(kernel="linear", nu=1 / len(x), tol=tol).fit(y[:, None] * x).coef_[0].copy()

    return quiet(fit)


def quadprog(prompts: Arrays) -> np.ndarray:
    """The exact quadratic programme, min ||u||^2 / 2 subject to <u, z_i> >= 1, by Goldfarb and Idnani's method."""
    from quadprog import solve_qp

    out = []
    for x, y in prompts:
        n, d = x.shape
        out.append(solve_qp(np.eye(d), np.zeros(d), np.ascontiguousarray((y[:, None] * x).T), np.ones(n))[0])
    return np.stack(out)


def parallel(fit_all: Callable[[Arrays], np.ndarray], jobs: int) -> Callable[[Arrays], np.ndarray]:
    """The same on ``jobs`` processes, each given one slice of the prompts."""
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=jobs)

    def fit(prompts: Arrays) -> np.ndarray:
        size = -(-len(prompts) // jobs)
        slices = [prompts[k : k + size] for k in range(0, len(prompts), size)]
        return np.concatenate(pool(delayed(fit_all)(part) for part in slices))

    return fit
