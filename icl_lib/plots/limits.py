"""More figures of "Depth is optimisation": steps beyond the proofs, early stopping, the infinite context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from ..metrics import Interval
from .base import COLORS, INK, canvas, styled
from .depth import band, sparse


@styled
def large_steps(runs: Mapping[str, tuple[str, Tensor, Tensor, Tensor]], gamma: float) -> tuple[Figure, str]:
    """Return what steps below and above 2/R^2 do on one context: attention output and angle to the max margin.

    runs: name -> (line style, norm of the attention output [T], angle in radians [T], its bound [T]), depths 1 .. T.
    """
    fig, axes = canvas(1, 2, height=2.9)
    left, right = axes[0]
    told = []
    for name, (style, norm, turn, bound) in runs.items():
        t = sparse(len(norm))
        left.plot(t, norm[t - 1], color=COLORS["layer"], ls=style)
        right.plot(t, turn[t - 1], color=COLORS["layer"], ls=style, label=name)
        right.plot(t, bound[t - 1], color=INK, ls="--", lw=1.2)
        left.text(float(t[-1]) / 1.3, float(norm[-1]) * 1.08, name, ha="right", va="bottom")
        told.append(
            f"{name}: norm {float(norm[-1]):.3f} and angle {float(turn[-1]):.1e} in the last of {len(norm)} layers"
        )
    left.axhline(gamma, color=COLORS["svm"], ls=":", lw=1.8)
    left.text(1.1, gamma * 0.9, r"max margin $\gamma$", va="top")
    left.set(xscale="log", yscale="log", title="norm of the attention output", xlabel="layers $T$", ylim=(gamma / 2, 3))
    right.set(xscale="log", yscale="log", title="angle to $u^*$ (radians)", xlabel="layers $T$")
    for (name, (_, _, turn, _)), high in zip(runs.items(), (False, True), strict=True):
        at = t[len(t) // 2]
        side = {"xytext": (4, 6), "va": "bottom"} if high else {"xytext": (-2, -8), "va": "top", "ha": "right"}
        right.annotate(name, (float(at), float(turn[at - 1])), textcoords="offset points", **side)
    right.annotate("bounds", (1.2, float(bound[0])), xytext=(0, -4), textcoords="offset points", va="top")
    for ax in axes[0]:
        ax.yaxis.set_minor_formatter(NullFormatter())
    return fig, f"Two panels against depth, for two step sizes. {'; '.join(told)}. The max margin is {gamma:.3f}."


@styled
def stopping_early(depths: Sequence[int], cases: Mapping[str, tuple[Interval, Tensor, float]]) -> tuple[Figure, str]:
    """Return the error on new points, and the context margin, against depth: a column a case.

    cases: title -> (error interval and share of the max margin at each of ``depths``, error of the max margin itself).
    """
    fig, axes = canvas(2, len(cases), height=3.9)
    told = []
    for column, (title, (error, share, limit)) in zip(axes.T, cases.items(), strict=True):
        top, bottom = column
        mean, low, high = (100 * part for part in error)
        top.fill_between(depths, low, high, color=COLORS["layer"], alpha=0.18, lw=0)
        top.plot(depths, mean, color=COLORS["layer"])
        top.axhline(100 * limit, color=COLORS["svm"], ls=":", lw=1.8)
        k = int(mean.argmin())
        top.plot(depths[k], mean[k], marker="o", ms=5, color=COLORS["layer"])
        bottom.plot(depths, share, color=COLORS["layer"])
        bottom.axhline(1, color=COLORS["svm"], ls=":", lw=1.8)
        top.set(title=title, xscale="log", xticklabels=[])
        bottom.set(xscale="log", xlabel="layers", ylim=(-0.05, 1.08))
        told.append(
            f"{title}: error {float(mean[0]):.1f} percent at depth {depths[0]}, lowest {float(mean[k]):.1f} at depth "
            f"{depths[k]}, {float(mean[-1]):.1f} at depth {depths[-1]}, max margin {100 * limit:.1f}; "
            f"share of the margin reached {float(share[-1]):.2f}"
        )
    axes[0, 0].set_ylabel("error on new points, %")
    axes[1, 0].set_ylabel(r"margin / $\gamma$")
    return fig, f"Test error (top) and context margin (bottom) against depth. {'. '.join(told)}."


@styled
def infinite_context(
    exact: tuple[Float[Tensor, " T+1"], Float[Tensor, " T+1"]],
    runs: Mapping[int, tuple[Float[Tensor, "T+1 B"], Float[Tensor, "T+1 B"]]],
) -> tuple[Figure, str]:
    """Return w along and across w_star by depth: the recursion for an infinite context over contexts of n points.

    exact: (alpha, norm of the orthogonal part) of the recursion; runs: n -> the same, measured on B prompts.
    """
    fig, axes = canvas(1, 2, height=3.2)
    along, across = axes[0]
    layers, told = len(exact[0]) - 1, []
    t, early = sparse(layers), torch.arange(61)
    for fade, (n, (alpha, orth)) in zip((0.5, 0.75, 1.0), runs.items(), strict=True):
        name = f"$n = {n:,}$".replace(",", "{,}")
        ratio = alpha[t] / exact[0][t, None]
        mid = band(along, t, ratio, COLORS["layer"], alpha=fade, shade=0.12)
        floor = band(across, early, orth[early], COLORS["layer"], alpha=fade, shade=0.12)
        across.text(59, float(floor[-1]) * 1.12, name, ha="right", va="bottom")
        if abs(mid[-1] - 1) > 0.05:
            along.annotate(name, (float(t[-1]), float(mid[-1])), xytext=(-6, 6), textcoords="offset points", ha="right")
        told.append(f"n = {n}: {float(mid[-1]):.2f} times the recursion, orthogonal part {float(floor[-1]):.3f}")
    along.axhline(1, color=INK, ls="--", lw=1.5)
    across.plot(early, exact[1][early], color=INK, ls="--", lw=1.5)
    along.set(xscale="log", title=r"along $w^*$: $\alpha$ / recursion", xlabel="layers $T$")
    across.set(yscale="log", title=r"across: $\|w_\perp\|$", xlabel="layers $T$", xlim=(0, 60), ylim=(5e-3, 3))
    across.annotate(r"$n = \infty$", (22, float(exact[1][22])), xytext=(-6, -4), textcoords="offset points", ha="right")
    across.yaxis.set_minor_formatter(NullFormatter())
    alt = (
        f"Left: alpha, the component of w along w_star, as a multiple of what the recursion says; it stays near 1, and "
        f"the shortest contexts leave it upwards. Right: the orthogonal part over 60 layers falls geometrically, then "
        f"stays at a floor set by n. After {layers} and after 60 layers: {'; '.join(told)}."
    )
    return fig, alt
