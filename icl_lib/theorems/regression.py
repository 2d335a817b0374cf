"""Linear attention as regression: one step, its error, many steps, whitening. Chapter 14."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..algorithms import least_squares
from ..looped import Looped
from ..regression import RegressionPrompts
from ..regressors import least_squares_layer, newton_schulz_layer
from .base import Instance, Sides, Theorem

LAYERS = 5
"""How many layers of Newton-Schulz the check follows."""
ATOMS, DRAWS = 5, 3
"""The error of one step is averaged over all contexts of DRAWS points out of ATOMS: 125 of them."""


def _examples(i: Instance) -> RegressionPrompts:
    """Features z / R with labels that no coefficients explain: <w, z>, and a wave across the max-margin direction."""
    phi = i.context.z / i.context.radius[:, None, None]
    linear = torch.einsum("bnd,bd->bn", phi, i.w * i.context.radius[:, None])
    count = torch.arange(phi.shape[1]).to(phi)
    return RegressionPrompts(phi, linear + torch.sin(7 * torch.einsum("bnd,bd->bn", phi, i.context.direction) + count))


def _one_step(i: Instance) -> Sides:
    """The layer on its explicit token matrix, at c = u*, against automatic differentiation of the loss."""
    p, step, c = _examples(i), i.relative_step, i.context.direction.clone().requires_grad_()
    loss = (p.y - torch.einsum("bnd,bd->bn", p.x, c)).square().mean(-1) / 2
    gradient = torch.autograd.grad(loss.sum(), c)[0]
    layer = least_squares_layer(p.x.shape[-1], step)
    after = layer(layer.tokens(c.detach(), p))[:, -1, layer.d + 1 : -1]
    error = (after - (c - step[:, None] * gradient).detach()).norm(dim=-1)
    return Sides(error, torch.zeros_like(error), 1 + p.y.abs().amax(-1))


def orthonormal(z: Float[Tensor, "B n d"]) -> Float[Tensor, "B N r"]:
    """Return features of the first ATOMS tokens (or fewer) that are orthonormal for the uniform law on these."""
    atoms = z[:, :ATOMS]
    return torch.linalg.svd(atoms, full_matrices=False)[0] * atoms.shape[1] ** 0.5


def _one_step_error(i: Instance) -> Sides:
    """Every context of DRAWS points, with replacement, is as likely as any other: the mean is a finite sum."""
    phi, y = orthonormal(i.context.z), _examples(i).y[:, :ATOMS]
    B, N, r = phi.shape
    drawn = torch.cartesian_prod(*[torch.arange(N)] * DRAWS)
    contexts = RegressionPrompts(phi[:, drawn].flatten(0, 1), y[:, drawn].flatten(0, 1))
    first = Looped(least_squares_layer(r, 1.0), 1).final(contexts).reshape(B, -1, r)
    c = least_squares(phi, y)  # the best coefficients for the law
    measured = (first - c[:, None]).square().sum(-1).mean(-1)
    stated = ((y.square() * phi.square().sum(-1)).mean(-1) - c.square().sum(-1)) / DRAWS
    return Sides((measured - stated).abs(), torch.zeros_like(stated), 1 + N * y.square().amax(-1))


def _residual_steps(i: Instance) -> Sides:
    """The loop against the geometric sum in each eigenvector, at every depth."""
    p, step = _examples(i), 3 * i.relative_step  # any step will do; eigenvalues are at most 1 here
    path = Looped(least_squares_layer(p.x.shape[-1], step), i.steps).iterates(p)[1:]
    values, vectors = torch.linalg.eigh(p.x.mT @ p.x / p.x.shape[1])
    b = torch.einsum("bnd,bn->bd", p.x, p.y) / p.x.shape[1]
    factors = (1 - step[:, None] * values).expand(i.steps, *values.shape)
    powers = torch.cat([torch.ones_like(factors[:1]), factors[1:].cumprod(0)])
    along = step[:, None] * powers.cumsum(0) * torch.einsum("bdk,bd->bk", vectors, b)
    error = (path - torch.einsum("bdk,tbk->tbd", vectors, along)).norm(dim=-1)
    size = step * (1 + p.y.abs().amax(-1)) * powers.abs().amax(-1).clamp_min(1.0).cumsum(0)
    return Sides(error, torch.zeros_like(error), i.steps * size)


def _newton_schulz(i: Instance) -> Sides:
    """From tokens whose S has norm 3c: each layer is the cubic, and from the first on squares what is missing to 1."""
    p = _examples(i)
    moment = p.x.mT @ p.x / p.x.shape[1]
    largest = torch.linalg.matrix_norm(moment, 2)
    layer = newton_schulz_layer(p.x.shape[-1])
    scaled = RegressionPrompts(p.x * (3 * i.relative_step / largest).sqrt()[:, None, None], p.y)
    tokens = layer.tokens(layer.init(scaled), scaled)
    moments = []
    for _ in range(LAYERS + 1):
        u = tokens[:, :-1, :-1]
        moments.append(u.mT @ u / u.shape[1])
        tokens = layer(tokens)
    S = torch.stack(moments)
    three = 3 * torch.eye(S.shape[-1]).to(S) - S[:-1]
    equal = (S[1:] - S[:-1] @ three @ three / 4).flatten(2).norm(dim=-1)
    short = (1 - torch.linalg.eigvalsh(S[1:])).clamp_min(0.0)  # eigenvalues in ascending order
    over = (torch.linalg.eigvalsh(S[1:])[..., -1] - 1).clamp_min(0.0)
    smaller = torch.cat([equal, over, short[1:].amax(-1)])
    larger = torch.cat([torch.zeros_like(equal), torch.zeros_like(over), short[:-1].square().amax(-1)])
    return Sides(smaller, larger, torch.full_like(smaller, 10.0 * S.shape[-1]))


STATEMENTS = (
    Theorem(
        "thm-linear-head",
        "One linear head, one gradient step",
        r"Context tokens $[\varphi_i, y_i, 0, 0]$, state token $[0, 0, c, 1]$. The head of linear attention with score "
        r"$y_i - \langle \varphi_i, c \rangle$ and value $\eta \varphi_i$, averaged over the context, maps $c$ to "
        r"$c - \eta \nabla \ell(c)$, $\ell(c) = \frac{1}{2n} \sum_i (y_i - \langle c, \varphi_i \rangle)^2$, exactly.",
        "ours",
        "sure",
        _one_step,
        rounding=1e-13,
    ),
    Theorem(
        "thm-one-step-error",
        "The error of one step",
        r"Points i.i.d. from a law for which the features are orthonormal, $\mathbb{E}\, \varphi \varphi^\top = I$, "
        r"and $\mathbb{E}\, y^2 \lVert \varphi \rVert^2 < \infty$; $c = \mathbb{E}\, y \varphi$ are the best "
        r"coefficients. One step of size 1 from 0 has $\mathbb{E} \lVert c_1 - c \rVert^2 = "
        r"\frac1n \left( \mathbb{E}\, y^2 \lVert \varphi \rVert^2 - \lVert c \rVert^2 \right)$.",
        "ours",
        "sure",
        _one_step_error,
    ),
    Theorem(
        "thm-residual-steps",
        "When stacked steps converge",
        r"Let $M = \frac1n \sum_i \varphi_i \varphi_i^\top$ and $b = \frac1n \sum_i y_i \varphi_i$. From $c_0 = 0$ the "
        r"layers give $c_T = \eta \sum_{s<T} (I - \eta M)^s b$. They converge if and only if $\eta \lambda < 2$ for "
        r"every eigenvalue $\lambda$ of $M$ whose eigenspace is not orthogonal to $b$, and then to the least squares "
        r"solution of least norm.",
        "standard",
        "sure",
        _residual_steps,
    ),
    Theorem(
        "thm-newton-schulz",
        "Newton-Schulz",
        r"If every token does $u \leftarrow \frac32 u - \frac12 S u$, $S = \frac1n \sum_i u_i u_i^\top$, then $S$ "
        r"becomes $\frac14 S (3I - S)^2$. If its eigenvalues were at most 3, they are at most 1 from the first layer "
        r"on, and every further layer replaces $1 - \lambda$ by at most its square.",
        "standard",
        "sure",
        _newton_schulz,
    ),
)
