"""Figures of the chapter on attention: the weighted mean, the soft maximum, matrices of tokens, sinks, reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .base import COLORS, INK, canvas, frame, styled


def _hull(points: Float[Tensor, "N 2"]) -> np.ndarray:
    """The corners of the convex hull, in order and closed (Andrew's monotone chain)."""
    rows = sorted(map(tuple, points.tolist()))

    def chain(ordered: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for x, y in ordered:
            while len(kept) > 1:
                (a, b), (c, d) = kept[-2:]
                if (c - a) * (y - b) > (d - b) * (x - a):
                    break
                kept.pop()
            kept.append((x, y))
        return kept

    return np.array(chain(rows) + chain(rows[::-1])[1:])


@styled
def reading(
    tokens: Float[Tensor, "N 2"],
    query: Float[Tensor, " 2"],
    temperatures: Sequence[float],
) -> tuple[Figure, str]:
    """Draw tokens in the plane, sized by their attention weight, and what the query reads, one panel a temperature."""
    fig, axes = canvas(1, len(temperatures), height=1.9)
    hull, said = _hull(tokens), []
    scores = tokens @ query
    sweep = torch.logspace(2, -2, 80, dtype=tokens.dtype)[:, None]
    trail = torch.softmax(scores / sweep, -1) @ tokens
    for ax, temperature in zip(axes[0], temperatures, strict=True):
        weights = torch.softmax(scores / temperature, -1)
        read = weights @ tokens
        ax.fill(*hull.T, color=INK, alpha=0.12, lw=0)
        ax.plot(*trail.T, color=COLORS["sink"], lw=1)
        ax.scatter(
            *tokens.T,
            s=650 * weights + 3,
            color=COLORS["layer"],
            alpha=0.75,
            linewidths=0,
        )
        ax.scatter(*tokens.T, s=9, color=INK, linewidths=0, zorder=3)
        ax.plot(*read, marker="*", ms=13, color=COLORS["sink"], mec=INK, mew=0.6, zorder=4)
        ax.annotate(
            "",
            query.tolist(),
            (0, 0),
            arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.3},
        )
        frame(ax, torch.cat([tokens, query[None]]), air=0.35)
        ax.set_title(rf"$\tau = {temperature:g}$")
        said.append(f"at temperature {temperature:g} the largest weight is {float(weights.max()):.2f}")
    alt = (
        f"{len(tokens)} tokens in the plane, drawn {len(temperatures)} times, each token as a disc whose area is its "
        "attention weight; an arrow from the origin is the query, a star what it reads. The star moves, along a curve "
        f"drawn in every panel for temperatures from {float(sweep[0]):g} down to {float(sweep[-1]):g}, from near the "
        "mean of all tokens to the token that lies furthest along the arrow, inside the shaded convex hull: "
        f"{', '.join(said)}."
    )
    return fig, alt


@styled
def soft_maximum(temperatures: Sequence[float], reach: float = 4.0) -> tuple[Figure, str]:
    """Draw tau log(exp(a / tau) + exp(0)) against a, and beside it its slope, for several tau."""
    a = torch.linspace(-reach, reach, 200, dtype=torch.float64)
    fig, axes = canvas(1, 2, height=2.8)
    left, right = axes[0]
    left.plot(a, a.clamp_min(0), color=INK, ls="--", lw=1.4, label="max")
    right.plot(a, (a > 0).double(), color=INK, ls="--", lw=1.4, drawstyle="steps-mid")
    for k, temperature in enumerate(temperatures):
        share = k / max(len(temperatures) - 1, 1)
        style = {
            "color": COLORS["layer"],
            "alpha": 0.55 + 0.45 * share,
            "lw": 3 - 2 * share,
        }
        soft = temperature * torch.nn.functional.softplus(a / temperature)
        left.plot(a, soft, label=rf"$\tau = {temperature:g}$", **style)
        right.plot(a, torch.sigmoid(a / temperature), **style)
    left.legend(loc="upper left", handlelength=1.4)
    left.set(
        xlabel="score $a$, the other is 0",
        title="log-sum-exp",
        ylim=(-0.2, reach + 0.6),
    )
    right.set(
        xlabel="score $a$, the other is 0",
        title="its slope: a weight",
        ylim=(-0.03, 1.03),
    )
    at_zero = ", ".join(f"{t * math.log(2):.2f} for tau = {t:g}" for t in temperatures)
    alt = (
        "Two panels against a score a, the other score being 0. Left: the maximum of a and 0, dashed, with a corner at "
        f"0, and smooth curves above it, whose height at a = 0 is {at_zero}. Right: their slopes, which rise from 0 to "
        "1 through one half at a = 0, the more gently the larger tau."
    )
    return fig, alt


@styled
def matrices(
    named: Mapping[str, Float[Tensor, "N M"]],
    hidden: Mapping[str, Tensor] | None = None,
    rows: Sequence[str] = (),
    split: int | None = None,
    height: float = 2.2,
) -> tuple[Figure, str]:
    """Draw matrices side by side as coloured tables with their numbers; 0 is an exact 0, 1e-4 a small number.

    named: title -> matrix; hidden: title -> boolean mask of entries to cross out; rows: names of the rows; split: draw
    a line before this column (where a token's state block begins).
    """
    widths = [matrix.shape[1] for matrix in named.values()]
    fig, _ = canvas(height=height)
    fig.clear()
    axes = fig.subplots(1, len(named), width_ratios=widths, squeeze=False)[0]
    for k, (ax, (title, matrix)) in enumerate(zip(axes, named.items(), strict=True)):
        N, M = matrix.shape
        crossed = (hidden or {}).get(title, torch.zeros(N, M, dtype=torch.bool))
        scale = float(matrix[~crossed].abs().max())
        for i in range(N):
            for j in range(M):
                value = float(matrix[i, j])
                tint = COLORS["layer"] if value > 0 else COLORS["sink"]
                share = 0.0 if crossed[i, j] or scale == 0 else abs(value) / scale
                ax.add_patch(Rectangle((j, i), 1, 1, facecolor=tint, alpha=0.5 * share, lw=0))
                ax.add_patch(Rectangle((j, i), 1, 1, facecolor="none", edgecolor=INK, lw=0.4, clip_on=False))
                text = "x" if crossed[i, j] else _number(value)
                ax.text(j + 0.5, i + 0.53, text, ha="center", va="center", fontsize=9)
        if split is not None and split < M:
            ax.plot([split, split], [0, N], color=INK, lw=2)
        ax.set(xlim=(0, M), ylim=(N, 0), xticks=[], yticks=[], title=title)
        if k == 0 and rows:
            ax.set_yticks(np.arange(N) + 0.5, rows)
        ax.tick_params(length=0)
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
    said = "; ".join(
        f"{title.replace('$', '')}: {_spoken(matrix, (hidden or {}).get(title))}" for title, matrix in named.items()
    )
    return fig, f"Tables of numbers, row by row. {said}."


def _number(value: float) -> str:
    """One decimal; where that would hide a number behind a 0, its order of magnitude, as 1e-4."""
    if value == 0:
        return "0"
    if abs(value) >= 0.05:
        return f"{value:.1f}"
    digits, power = f"{value:.0e}".split("e")
    return f"{digits}e{int(power)}"


def _spoken(matrix: Tensor, crossed: Tensor | None) -> str:
    def entry(i: int, j: int) -> str:
        if crossed is not None and crossed[i, j]:
            return "not seen"
        return _number(float(matrix[i, j]))

    return " / ".join(", ".join(entry(i, j) for j in range(matrix.shape[1])) for i in range(matrix.shape[0]))


@styled
def sink_share(counts: Sequence[int], reach: float = 6.0) -> tuple[Figure, str]:
    """Draw the total weight on n tokens of equal score a, beside a sink of score 0."""
    a = torch.linspace(-reach, reach, 200, dtype=torch.float64)
    fig, axes = canvas(height=2.9)
    ax = axes[0, 0]
    ax.axhline(1, color=COLORS["layer"], lw=1.8)
    ax.text(0.15 - reach, 0.97, "no sink, any $n$", va="top")
    said = []
    for n in counts:
        ax.plot(a, torch.sigmoid(a + math.log(n)), color=COLORS["sink"])
        ax.annotate(f"$n={n}$", (-math.log(n), 0.5), xytext=(5, -9), textcoords="offset points")
        said.append(f"one half at a = {0.0 - math.log(n):.1f} for n = {n}")
    ax.set(
        xlabel="score $a$ of every token",
        ylabel="weight on the tokens",
        ylim=(0, 1.05),
        xlim=(-reach, reach),
    )
    alt = (
        "Total attention weight on n tokens against their common score a. Without a sink it is 1 at every score. With "
        f"a sink it rises from 0 to 1 along a logistic curve: {', '.join(said)}."
    )
    return fig, alt


@styled
def reach_of_a_head(
    values: Float[Tensor, "N 2"],
    reads: Float[Tensor, "Q 2"],
    outside: Mapping[str, Tensor],
) -> tuple[Figure, str]:
    """Draw values (rings) with their convex hull, what many queries read (dots), and points that no query reads."""
    fig, axes = canvas(height=3.4)
    ax = axes[0, 0]
    ax.fill(*_hull(values).T, color=INK, alpha=0.12, lw=0)
    ax.scatter(
        *reads.T,
        s=6,
        color=COLORS["layer"],
        alpha=0.6,
        linewidths=0,
        rasterized=len(reads) > 500,
    )
    ax.scatter(*values.T, s=90, facecolor="none", edgecolor=INK, linewidths=1.3, zorder=3)  # rings hide no dot
    rightmost = max(float(point[0]) for point in outside.values())
    for name, point in outside.items():
        ax.plot(*point, marker="X", ms=9, color=COLORS["sink"], ls="", zorder=3)
        side, align = (-9, "right") if float(point[0]) == rightmost else (9, "left")
        ax.annotate(name, point.tolist(), xytext=(side, 0), textcoords="offset points", va="center", ha=align)
    frame(ax, torch.cat([values, *(p[None] for p in outside.values())]), air=0.25)
    alt = (
        f"{len(values)} values in the plane, ringed, with their shaded convex hull, and {len(reads)} small dots, what "
        f"random queries read: the dots lie in the hull, some of them close to its corners. Crosses: "
        f"{', '.join(outside)}."
    )
    return fig, alt
