"""Theorems on depth: descent, separation, margin, attention weights. Chapter "Depth is optimisation".

Depth runs along the first axis, t = 1 .. T; lengths are in units of R.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..algorithms import ngd, ngd_decaying
from ..losses import exponential_weights, log_mean_exp, margins
from ..metrics import normalized_margin
from .base import Instance, Sides, Theorem


def _depths(i: Instance) -> Tensor:
    return torch.arange(1, i.steps + 1, dtype=i.context.z.dtype)[:, None]


def _rate(i: Instance) -> Tensor:
    """eta (1 - eta R^2 / 2) gamma^2, what every step takes off the potential at least."""
    c = i.relative_step
    return c * (1 - c / 2) * (i.context.margin / i.context.radius) ** 2


def _log_n(i: Instance) -> Tensor:
    return torch.tensor(i.context.z.shape[1], dtype=i.context.z.dtype).log()


def _descent(i: Instance) -> Sides:
    phi = log_mean_exp(ngd(i.context.z, i.step, i.steps)[1:], i.context.z)
    return Sides(_rate(i) * _depths(i), -phi, 1 + phi.abs())


def _separation(i: Instance) -> Sides:
    m = margins(ngd(i.context.z, i.step, i.steps)[1:], i.context.z)
    return Sides(_rate(i) * _depths(i), m.amin(-1) + _log_n(i), 1 + m.abs().amax(-1))


def _margin_rate(i: Instance) -> Sides:
    w, gamma = ngd(i.context.z, i.step, i.steps)[1:], i.context.margin / i.context.radius
    gap = gamma - normalized_margin(w, i.context.z) / i.context.radius
    c = i.relative_step
    bound = (_log_n(i) + c / 2) / (gamma * c * _depths(i))
    return Sides(gap, bound, torch.ones_like(gap))


def _read(i: Instance) -> tuple[Tensor, Tensor]:
    """Attention weights [T, B, n] and what the head reads, sum_i q_i z_i / R [T, B, d], at depths 1 .. T."""
    q = exponential_weights(ngd(i.context.z, i.step, i.steps)[1:], i.context.z)
    return q, torch.einsum("tbn,bnd->tbd", q, i.context.z) / i.context.radius[:, None]


def _attention_norm(i: Instance) -> Sides:
    square = _read(i)[1].square().sum(-1)
    bound = (i.context.margin / i.context.radius) ** 2 + 2 * _log_n(i) / (i.relative_step * _depths(i))
    return Sides(square, bound, 1 + square)


def _support(i: Instance) -> Sides:
    read = torch.einsum("tbd,bd->tb", _read(i)[1], i.context.direction)
    gamma = i.context.margin / i.context.radius
    bound = _log_n(i) / (i.relative_step * _depths(i) * gamma)
    return Sides(read - gamma, bound, torch.ones_like(read))


def _direction(i: Instance) -> Sides:
    v = i.w / i.w.norm(dim=-1, keepdim=True)
    gamma, radius = i.context.margin, i.context.radius
    shortfall = 1 - normalized_margin(v, i.context.z) / gamma
    half_square = (v - i.context.direction).square().sum(-1) / 2  # = 1 - <v, u*>, without cancellation
    return Sides(half_square, shortfall, radius / gamma)


def _scheduled(i: Instance) -> Sides:
    z = i.context.z / i.context.radius[:, None, None]
    gamma, w, path = i.context.margin / i.context.radius, torch.zeros_like(z[:, 0]), []
    for step in i.schedule:
        w = ngd(z, step, 1, w)[-1]
        path.append(w)
    gap = gamma - normalized_margin(torch.stack(path), z)
    bound = (_log_n(i) + i.schedule[0] / 2) / (gamma * i.schedule.cumsum(0))
    return Sides(gap, bound, torch.ones_like(gap))


def _inverse_root(i: Instance) -> Sides:
    z = i.context.z / i.context.radius[:, None, None]
    gamma = i.context.margin / i.context.radius
    gap = gamma - normalized_margin(ngd_decaying(z, 1.0, i.steps)[1:], z)
    bound = (1 + 2 * _log_n(i)) / (gamma * (4 * (_depths(i) + 1).sqrt() - 4))
    return Sides(gap, bound, torch.ones_like(gap))


def _certificate(i: Instance) -> Sides:
    """Below gamma: the margin reached. Above: what the head reads, and the mean of all that it has read."""
    w, gamma = ngd(i.context.z, i.step, i.steps)[1:], i.context.margin / i.context.radius
    reached = normalized_margin(w, i.context.z) / i.context.radius
    mean = w.norm(dim=-1) / (i.step * _depths(i) * i.context.radius)
    gamma = gamma.expand_as(reached)
    larger = torch.cat([gamma, _read(i)[1].norm(dim=-1), mean])
    return Sides(torch.cat([reached, gamma, gamma]), larger, torch.ones_like(larger))


STATEMENTS = (
    Theorem(
        "thm-descent",
        "Descent",
        r"For $0 < \eta < 2/R^2$: $\phi(w_T) \le -\eta (1 - \eta R^2/2) \gamma^2 T$.",
        "ours",
        "sure",
        _descent,
        largest_step=2.0,
        open_end=True,
    ),
    Theorem(
        "thm-separation",
        "Separation depth",
        r"For $0 < \eta < 2/R^2$: $\min_i m_i(w_T) \ge \eta (1 - \eta R^2/2) \gamma^2 T - \log n$, so every point "
        r"of the context is classified correctly once $T > \log n / (\eta (1 - \eta R^2/2) \gamma^2)$.",
        "ours",
        "sure",
        _separation,
        largest_step=2.0,
        open_end=True,
    ),
    Theorem(
        "thm-margin-rate",
        "Margin rate",
        r"For $\eta = c/R^2$, $0 < c \le 1$, $T \ge 1$: "
        r"$\min_i \langle w_T, z_i \rangle / \|w_T\| \ge \gamma - R^2 (\log n + c/2) / (\gamma c T)$.",
        "standard",
        "sure",
        _margin_rate,
    ),
    Theorem(
        "thm-attention-norm",
        "The attention output tends to the margin",
        r"For $\eta = c/R^2$, $0 < c \le 1$, $T \ge 1$: "
        r"$\|\sum_i q_i z_i\|^2 \le \gamma^2 + 2 R^2 \log n / (c T)$ at depth $T$.",
        "ours",
        "sure",
        _attention_norm,
    ),
    Theorem(
        "thm-support",
        "Attention finds the support vectors",
        r"For $\eta = c/R^2$, $0 < c \le 1$, $T \ge 1$: "
        r"$\sum_i q_i (\langle z_i, u^* \rangle - \gamma) \le R^2 \log n / (c T \gamma)$ at depth $T$.",
        "ours",
        "sure",
        _support,
    ),
    Theorem(
        "thm-direction",
        "Margin to direction",
        r"A unit vector $v$ with margin at least $\gamma - \varepsilon$ has "
        r"$\|v - u^*\|^2 \le 2 \varepsilon / \gamma$.",
        "ours",
        "sure",
        _direction,
    ),
    Theorem(
        "thm-decaying",
        "Decaying steps",
        r"For $R = 1$ and non-increasing steps $0 < \eta_t \le 1$ and $T \ge 1$, the margin of $w_T$ falls "
        r"short of $\gamma$ by at most $(\log n + \eta_0/2) / (\gamma \sum_{s<T} \eta_s)$.",
        "ours",
        "sure",
        _scheduled,
    ),
    Theorem(
        "thm-inverse-root",
        "Steps that decay like one over root t",
        r"For $R = 1$ and $\eta_t = 1/\sqrt{t+1}$ the shortfall is at most "
        r"$(1 + 2 \log n) / (\gamma (4 \sqrt{T+1} - 4))$, $T \ge 1$.",
        "ours",
        "sure",
        _inverse_root,
    ),
    Theorem(
        "thm-certificate",
        "Depth certifies itself",
        r"For every step $\eta > 0$ and depth $T \ge 1$: $\min_i \langle w_T, z_i \rangle / \|w_T\| \le \gamma$; "
        r"and $\gamma \le \|\sum_i q_i z_i\|$, with the attention weights $q$ at depth $T$; "
        r"and $\gamma \le \|w_T\| / (\eta T)$.",
        "ours",
        "sure",
        _certificate,
        largest_step=64.0,
    ),
)
