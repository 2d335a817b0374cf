"""Figures of chapter 04, "One head, one step": the head as a picture, its matrices, and what disturbs them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..attention import SoftmaxAttention
from ..losses import exponential_weights, log_mean_exp
from .base import COLORS, INK, canvas, styled

EXACT = 1e-20
"""Where a difference of exactly 0 is drawn on a logarithmic axis: far below one rounding error."""


def _arrow(ax: Axes, start: Tensor, end: Tensor, color: str, width: float, alpha: float = 1.0, zorder: int = 3) -> None:
    ax.annotate(
        "",
        end.tolist(),
        start.tolist(),
        arrowprops={
            "width": width,
            "headwidth": 4 + 2 * width,
            "headlength": 7,
            "color": color,
            "alpha": alpha,
            "lw": 0,
        },
        zorder=zorder,
    )


@styled
def head_and_step(z: Float[Tensor, "1 n 2"], w: Float[Tensor, "1 2"], step: float) -> tuple[Figure, str]:
    """What the head reads among the tokens, and the descent step in the plane of classifiers: one and the same arrow.

    The left arrow is the attention-weighted mean of the tokens; the right panel draws the gradient step, by automatic
    differentiation of phi, under the head's.
    """
    at = w.clone().requires_grad_()
    descent = -step * torch.autograd.grad(log_mean_exp(at, z).sum(), at)[0][0]
    q = exponential_weights(w, z)[0]
    read = step * q @ z[0]
    fig, ((left, right),) = canvas(1, 2, width=5.0, height=2.8)

    left.axhline(0, color=INK, lw=0.6, alpha=0.5)
    left.axvline(0, color=INK, lw=0.6, alpha=0.5)
    left.scatter(*z[0].T, s=750 * q, color=COLORS["layer"], alpha=0.35, lw=0)
    left.scatter(*z[0].T, s=6, color=INK, lw=0)
    for i, (point, weight) in enumerate(zip(z[0].tolist(), q.tolist(), strict=True)):
        away = 1 if point[1] >= 0 else -1  # labels above the upper tokens, below the lower ones
        gap = 6 + 12 * weight**0.5
        aside = 9 if point[0] >= 0 else -9  # and to the sides, so that neighbours keep apart
        where = {"xytext": (aside, away * gap), "textcoords": "offset points", "va": "bottom" if away > 0 else "top"}
        left.annotate(f"$z_{i + 1}$: {weight:.2f}", point, ha="center", **where)
    _arrow(left, torch.zeros(2), read, COLORS["layer"], 3)
    left.set_title("the head reads tokens")
    span = 1.6 * float(z[0].abs().max())
    left.set(xlim=(-span, span), ylim=(-span, span), aspect="equal", xlabel="$z$, first entry", ylabel="second entry")

    middle = w[0] + descent / 2  # the same scale as on the left, so that the arrows can be compared
    sides = [torch.linspace(float(c) - span, float(c) + span, 61, dtype=z.dtype) for c in middle]
    grid = torch.cartesian_prod(*sides)
    height = log_mean_exp(grid[:, None], z)[:, 0].reshape(61, 61)
    lines = right.contour(sides[0], sides[1], height.T, 8, colors=INK, linewidths=0.8, alpha=0.7)
    right.clabel(lines, lines.levels[::2], fmt="%.1f", fontsize=8)
    _arrow(right, w[0], w[0] + descent, INK, 12, alpha=0.55)
    _arrow(right, w[0], w[0] + read, COLORS["layer"], 3)
    right.plot(*w[0], "o", color=INK, ms=5)
    right.annotate("$w$", w[0].tolist(), xytext=(-6, -13), textcoords="offset points", ha="center")
    right.set_title(r"descent goes down $\phi$")
    right.set(aspect="equal", xlabel="$w$, first entry", ylabel="")
    alt = (
        f"Two panels. Left: {len(q)} folded tokens in the plane, the area of each disc its attention weight "
        f"({', '.join(f'{v:.2f}' for v in q)}); an arrow from the origin shows what the head reads, "
        f"({read[0]:.2f}, {read[1]:.2f}). Right: level lines of phi over the plane of classifiers; from w two arrows, "
        f"the head's and the gradient step's, lie on each other: ({descent[0]:.2f}, {descent[1]:.2f}), downhill."
    )
    return fig, alt


def _blocks(ax: Axes, matrix: Tensor, title: str, cuts: tuple[int, int], rows: str, columns: str) -> None:
    """A matrix as tinted cells with its non-zero entries written in, cut into context and state after ``cuts``."""
    height, width = matrix.shape
    largest = matrix.abs().max().clamp_min(1e-12)
    for i in range(height):
        for j in range(width):
            value = float(matrix[i, j])
            if value:
                tint = COLORS["+1"] if value > 0 else COLORS["-1"]
                strength = 0.12 + 0.3 * abs(value) / float(largest)
                ax.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], color=tint, alpha=strength, lw=0)
                ax.text(j + 0.5, i + 0.5, f"${value:.2g}$", ha="center", va="center", fontsize=8)
    for k in range(height + 1):
        ax.plot([0, width], [k, k], color=INK, lw=1.4 if k in (0, cuts[0], height) else 0.3)
    for k in range(width + 1):
        ax.plot([k, k], [0, height], color=INK, lw=1.4 if k in (0, cuts[1], width) else 0.3)
    ax.set_title(title)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", anchor="N", xlabel=columns, ylabel=rows)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("bottom")
    ax.set_xticks([cuts[1] / 2, (cuts[1] + width) / 2], ["context", "state"])
    ax.set_yticks([cuts[0] / 2, (cuts[0] + height) / 2], ["context", "state"], rotation=90, va="center")
    ax.tick_params(length=0, labelsize=9)
    ax.spines[:].set_visible(False)


@styled
def head_matrices(tokens: Float[Tensor, "N 2d"], layer: SoftmaxAttention) -> tuple[Figure, str]:
    """One token matrix and the two matrices of a head, entry by entry, cut into context and state blocks."""
    d, n = layer.d, tokens.shape[0] - 1
    fig, (axes,) = canvas(1, 3, width=5.0, height=2.2)
    _blocks(axes[0], tokens, "tokens", (n, d), "", "entries")
    axes[0].set_yticks([n / 2, n + 0.5], ["context", "state"], va="center")
    axes[0].get_yticklabels()[1].set_rotation(0)
    _blocks(axes[1], layer.score, "score $W_{QK}$", (d, d), "key", "query")
    _blocks(axes[2], layer.value, "value $W_V$", (d, d), "written to", "read from")
    filled = {name: m.nonzero().shape[0] for name, m in (("score", layer.score), ("value", layer.value))}
    step = float(layer.value[d, 0])
    alt = (
        f"Three matrices drawn entry by entry. The token matrix has {n} context rows, filled in the first {d} columns "
        f"and zero in the last {d}, and a state row. The score matrix ({2 * d} by {2 * d}) has {filled['score']} "
        f"entries, -1 on the diagonal of the block from the query's state to the key's context. The value matrix has "
        f"{filled['value']} entries, {step:.2g} on the diagonal of the block from context to state. All else is zero."
    )
    return fig, alt


@styled
def layer_error(largest_margin: Float[Tensor, " S"], error: Float[Tensor, " S"]) -> tuple[Figure, str]:
    """Relative difference between the head and automatic differentiation, one dot a random layer, over its margins."""
    fig, ((ax,),) = canvas(height=2.7)
    exact = error == 0
    ax.plot(largest_margin[~exact], error[~exact], "o", ms=3.5, color=COLORS["layer"], alpha=0.7, mew=0)
    ax.plot(largest_margin[exact], torch.full_like(error[exact], EXACT), "|", ms=6, color=COLORS["layer"], alpha=0.5)
    m = torch.logspace(-2, 3, 50, dtype=torch.float64)
    unit = torch.finfo(torch.float64).eps
    ax.plot(m, unit * (1 + m), "--", color=INK, lw=1.2)
    ax.text(6.0, 60 * unit, r"machine epsilon $\times$ (1 + margin)", va="bottom", ha="right")
    ax.axhline(1e-12, color=COLORS["sink"], lw=1.2, ls=":")
    ax.text(1.2e-2, 1.3e-12, "asserted", va="bottom")
    ax.text(1.2e-2, EXACT / 2, "equal to the last bit", va="top", fontsize=9)
    ax.set(xscale="log", yscale="log", xlabel="largest margin in the prompt, max |⟨w, z⟩|", ylabel="relative error")
    ax.set(xlim=(8e-3, 1.3e3), ylim=(EXACT / 30, 1e-11))
    under = int((error <= unit * (1 + largest_margin)).sum())
    alt = (
        f"Scatter of {len(error)} random layers. The largest relative error between the head and automatic "
        f"differentiation is {error.max():.0e}; {int(exact.sum())} layers agree in every bit. {under} of the errors "
        "lie under a line that grows as machine epsilon times the largest margin, and all below the asserted 1e-12."
    )
    return fig, alt


@styled
def sink_in_depth(
    ratio: Float[Tensor, " T"],
    share: Float[Tensor, " T"],
    masked: Float[Tensor, " T+1"],
    seen: Float[Tensor, " T+1"],
) -> tuple[Figure, str]:
    """A head with a masked own token against one that sees it: the length of its steps, and the loss, over depth.

    ratio: measured length of the update over NGD's from the same w; share: S / (1 + S); masked, seen: phi by depth.
    """
    fig, ((left, right),) = canvas(1, 2, width=5.0, height=2.7)
    left.plot(ratio, color=COLORS["sink"], lw=3, alpha=0.55)
    left.plot(share, "--", color=INK, lw=1.2)
    at = len(share) // 3
    left.annotate("measured, and\n$S/(1+S)$", (at, float(share[at])), xytext=(8, 8), textcoords="offset points")
    left.set(xlabel="layer", ylim=(0, 1.05), title="step with sink / NGD step")
    at = int(0.6 * len(masked))
    right.plot(masked, color=COLORS["layer"])
    right.plot(seen, color=COLORS["sink"])
    right.annotate("masked", (at, float(masked[at])), xytext=(-6, -4), textcoords="offset points", ha="right", va="top")
    right.annotate("own token seen", (at, float(seen[at])), xytext=(0, 8), textcoords="offset points", ha="center")
    right.set(xlabel="layer", title=r"$\phi = \log L$")
    alt = (
        "Two panels over depth. Left: the length of the update with a sink, divided by the NGD step's, falls from "
        f"{ratio[0]:.3f} at the first layer to {ratio[-1]:.3f} at layer {len(ratio)}; the prediction S/(1+S) lies on "
        f"it. Right: phi falls in a straight line to {masked[-1]:.1f} where the own token is masked, and flattens at "
        f"{seen[-1]:.1f} where it is seen."
    )
    return fig, alt


@styled
def sigmoid_gap(smallest_margin: Float[Tensor, " S"], gap: Float[Tensor, " S"]) -> tuple[Figure, str]:
    """Distance between sigmoid weights, normalised, and softmax weights, over the smallest margin, with the bounds."""
    fig, ((ax,),) = canvas(height=2.9)
    ax.plot(smallest_margin, gap, ".", ms=4, color=COLORS["logistic"], alpha=0.7, mew=0, rasterized=True)
    first, last = float(smallest_margin.min().floor()), float(smallest_margin.max().ceil())
    m = torch.linspace(first, last, 200, dtype=torch.float64)
    root = torch.sqrt(1 + torch.exp(-m))
    sharp = 2 * (root - 1) / (root + 1)
    ax.plot(m, sharp, "--", color=INK, lw=1.4)
    ax.plot(m, torch.exp(-m) / 2, ":", color=INK, lw=1.4)
    ax.plot([first, last], [0.5, 0.5], lw=0.8, color=INK, alpha=0.5)
    ax.annotate("1/2", (last, 0.5), xytext=(0, 3), textcoords="offset points", ha="right")
    ax.annotate(r"$\epsilon/2$", (-1.5, float(np.exp(1.5) / 2)), xytext=(10, 2), textcoords="offset points")
    ax.annotate("first bound", (5.0, float(np.exp(-5) / 2)), xytext=(6, 4), textcoords="offset points")
    ax.set(yscale="log", xlim=(first, last), ylim=(float(gap.min()) / 2, 6))
    ax.set(xlabel=r"smallest margin in the prompt, $\min_i m_i$", ylabel=r"$\|p-q\|_1$")
    above = float((gap > 0.5).double().mean())
    alt = (
        f"Scatter of {len(gap)} random classifiers and prompts: the distance between normalised sigmoid weights and "
        "softmax weights over the smallest margin, on a logarithmic axis. All points lie under the bound, which "
        "tends to 2 for very negative margins and falls as exp(-margin)/2 for positive ones. "
        f"{above:.0%} of the points exceed 1/2, all of them at negative margins."
    )
    return fig, alt


@styled
def rounding_drift(panels: Mapping[str, Mapping[str, Float[Tensor, " T+1"]]]) -> tuple[Figure, str]:
    """Distance between two correct computations of one path, over the loops: panel title -> label -> distances."""
    fig, (axes,) = canvas(1, len(panels), width=5.0, height=3.0)
    unit, told = torch.finfo(torch.float64).eps, []
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for shade, (label, path) in zip(np.linspace(0.55, 1.0, len(lines)), lines.items(), strict=True):
            T = len(path) - 1
            ax.plot(range(1, T + 1), path[1:].clamp_min(1e-17), color=COLORS["layer"], alpha=float(shade), lw=1.6)
            if float(path[-1]) < 1e-6:
                y, side = 1e-16, "center"
            elif label == list(lines)[-1]:  # the largest step is labelled above its line, others below
                y, side = 3 * float(path[-1]), "bottom"
            else:
                y, side = float(path[-1]) / 30, "top"
            ax.annotate(label, (T, y), xytext=(-4, 0), textcoords="offset points", ha="right", va=side)
            told.append(f"{title}, {label}: {float(path[-1]):.0e}")
        ax.plot(range(1, T + 1), unit * np.arange(1, T + 1), "--", color=INK, lw=1.2)
        ax.set(yscale="log", xlim=(0, T), ylim=(1e-17, 1e4), xlabel="loops", title=title)
    axes[0].set_ylabel(r"$\|w_t - w'_t\|$, worst of the prompts")
    for ax in axes[1:]:
        ax.tick_params(labelleft=False)
    alt = (
        f"Distance between two correct computations of the same path over {T} loops, on a logarithmic axis, after the "
        f"last loop. {'; '.join(told)}. Small steps stay within a few rounding errors a loop (dashed: one); large ones "
        "grow exponentially, then level off at the size of a step."
    )
    return fig, alt
