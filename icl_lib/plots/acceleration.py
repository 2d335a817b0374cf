"""Figures of the chapter on momentum: gaps by depth and by length, safe steps, rounding, learned coefficients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from .base import COLORS, INK, canvas, styled
from .depth import band, sparse

Gap = Float[Tensor, "T B"]
ENDS = {"layer": "o", "momentum": "^"}
"""What stands at the end of a line, full where it is solid: colour alone tells no two lines apart."""


def _log_log(ax: Axes, **labels: str) -> None:
    ax.set(xscale="log", yscale="log", **labels)
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(True)


def _end(color: str, style: str) -> dict[str, object]:
    fill = {} if style == "-" else {"mfc": "none"}
    return {"marker": ENDS.get(color, "s"), "ms": 5, "markevery": [-1], **fill}


def _guide(ax: Axes, x: tuple[float, float], y: float, slope: int, side: str) -> None:
    """A short dashed line of this slope from (x[0], y), named at its left or its right end."""
    ends = (y, y * (x[1] / x[0]) ** slope)
    ax.plot(x, ends, color=INK, ls="--", lw=1.2)
    where, shift, ha = ((x[0], ends[0]), -3, "right") if side == "left" else ((x[1], ends[1]), 3, "left")
    ax.annotate(f"slope ${slope}$", where, xytext=(shift, 0), textcoords="offset points", ha=ha, va="center")


@styled
def gaps_by_depth(
    runs: Mapping[str, tuple[str, str, Gap]],
    guides: Mapping[int, tuple[float, float, float, str]] | None = None,
    floor: float | None = None,
) -> tuple[Figure, str]:
    """Return how much of the max margin is missing, at depths 1 .. T, a line a run, log-log.

    runs: name -> (color, line style, missing share [T, B]), medians over the B prompts, the middle half shaded where
    the line is solid. guides: slope -> (from depth, to depth, height,
    the side of its name). Values below ``floor`` are off the figure.
    """
    fig, axes = canvas(height=3.5)
    ax, told = axes[0, 0], []
    for name, (color, style, gap) in runs.items():
        t = sparse(len(gap))
        solid = style == "-"
        look = {"ls": style, "label": name, **_end(color, style)}
        mid = band(ax, t, gap[t - 1], COLORS.get(color, color), shade=0.16 if solid else 0.0, **look)
        told.append(f"{name} {float(mid[0]):.2g} at depth 1, {float(mid[-1]):.1e} at depth {int(t[-1]):,}")
    for slope, (start, end, height, side) in (guides or {}).items():
        _guide(ax, (start, end), height, slope, side)
    _log_log(ax, xlabel="layers $T$", ylabel=r"missing share of $\gamma$")
    if floor is not None:
        ax.set_ylim(bottom=floor)
    fig.legend(loc="outside lower center", ncols=2)
    return fig, f"The missing share of the max margin against depth, log-log, medians: {'; '.join(told)}."


@styled
def gaps_by_length(runs: Mapping[str, tuple[str, str, Gap, Gap]]) -> tuple[Figure, str]:
    """Return the length of w against depth, and the missing share of the max margin against that length.

    runs: name -> (color, line style, missing share [T, B], length of w [T, B]), depths 1 .. T, medians over prompts.
    """
    fig, (axes,) = canvas(1, 2, height=3.1)
    left, right = axes
    told = []
    for name, (color, style, gap, length) in runs.items():
        t = sparse(len(gap))
        far, missing = (part[t - 1].quantile(0.5, dim=-1) for part in (length, gap))
        left.plot(t, far, color=COLORS[color], ls=style, label=name, **_end(color, style))
        right.plot(far, missing, color=COLORS[color], ls=style, **_end(color, style))
        told.append(f"{name} is {float(far[-1]):.3g} long at depth {int(t[-1]):,} and misses {float(missing[-1]):.1e}")
    _log_log(left, xlabel="layers $T$", title=r"length $\|w_T\|$")
    _log_log(right, xlabel=r"length $\|w_T\|$", title=r"missing share of $\gamma$")
    right.set_ylim(top=1)
    right.set_xlim(left=1)
    fig.legend(loc="outside lower center", ncols=2)
    return fig, (
        "Left: the length of w against depth; right: the missing share of the max margin against that length, "
        f"log-log, medians: {'; '.join(told)}."
    )


@styled
def safe_steps(runs: Mapping[str, tuple[str, str, Gap, Float[Tensor, "T B"]]]) -> tuple[Figure, str]:
    """Return the missing share of the max margin, and the quantity that must stay below 1 for the proof, by depth.

    runs: name -> (color, line style, missing share [T, B], test ratio [T, B]). Left the median; right the largest
    ratio over the prompts.
    """
    fig, (axes,) = canvas(1, 2, height=3.1)
    left, right = axes
    told = []
    for name, (color, style, gap, ratio) in runs.items():
        t = sparse(len(gap))
        mid, top = gap[t - 1].quantile(0.5, dim=-1), ratio[t - 1].amax(-1)
        left.plot(t, mid, color=COLORS[color], ls=style, label=name)
        right.plot(t, top, color=COLORS[color], ls=style)
        told.append(f"{name} misses {float(mid[-1]):.1e} at depth {int(t[-1]):,}, largest ratio {float(top.max()):.2f}")
    right.axhline(1, color=INK, ls="--", lw=1.5)
    right.text(float(t[-1]), 0.85, "proven below", va="top", ha="right")
    _log_log(left, xlabel="layers $T$", title=r"missing share of $\gamma$")
    _log_log(right, xlabel="layer", title=r"$\eta \|\Delta g\|^2 /\, 2\,$KL")
    left.set_ylim(top=2)
    fig.legend(loc="outside lower center", ncols=4)
    return fig, (
        "Left: the missing share of the max margin against depth, medians; right: the ratio that must stay below 1, "
        f"the largest over the prompts: {'; '.join(told)}."
    )


@styled
def coefficients(
    copied: Float[Tensor, " K"], formula: Float[Tensor, " K"], learned: Mapping[str, Float[Tensor, " T"]]
) -> tuple[Figure, str]:
    """Return the carry that training finds, layer by layer: from single steps (left), from final answers (right).

    copied, formula: the coefficient read off each trained layer, and t/(t+1); learned: name -> coefficients of a run
    that was trained through all its layers (at most three).
    """
    fig, (axes,) = canvas(1, 2, height=3.0)
    left, right = axes
    t = torch.arange(len(formula))
    left.plot(t, formula, color=INK, ls="--", lw=1.5)
    left.plot(t, copied, color=COLORS["momentum"], marker="o", ms=4, ls="none")
    left.annotate("$t/(t+1)$", (float(t[2]), float(formula[2])), xytext=(8, -8), textcoords="offset points", va="top")
    left.set(xlabel="layer $t$", title="taught single steps")
    told = [f"from single steps at most {float((copied - formula).abs().max()):.0e} off t/(t+1)"]
    looks = iter((("o", "-"), ("s", "--"), ("^", ":")))
    for name, beta in learned.items():
        s = torch.arange(len(beta))
        marker, style = next(looks)
        right.plot(s, beta, color=COLORS["momentum"], marker=marker, ls=style, ms=4, lw=1.2, label=name)
        told.append(
            f"{name}: between {float(beta.min()):.2f} and {float(beta.max()):.2f}, mean {float(beta.mean()):.2f}"
        )
    s = torch.arange(max(len(beta) for beta in learned.values()))
    right.plot(s, s / (s + 1), color=INK, ls="--", lw=1.5)
    right.set(xlabel="layer $t$", title="taught final margins")
    for ax in axes:
        ax.grid(True)
    left.set_ylabel(r"carry $\hat\beta_t$")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig, f"The coefficient of the carry by layer, t/(t+1) dashed. {'; '.join(told)}."


@styled
def bounds_on_momentum(panels: Mapping[str, tuple[Gap, Float[Tensor, "T B"], float]]) -> tuple[Figure, str]:
    """Return what momentum does under what is proved of it, log-log against depth, one panel each.

    panels: title -> (measured, bound, floor), [T, B] each; values below ``floor`` are off the panel. Solid: the median
    over the B prompts, the middle half shaded; dashed: the median bound.
    """
    fig, (axes,) = canvas(1, len(panels), height=2.9)
    told = []
    for ax, (title, (measured, bound, floor)) in zip(axes, panels.items(), strict=True):
        t = sparse(len(measured))
        mid, dashed = band(ax, t, measured[t - 1], COLORS["momentum"]), bound[t - 1].quantile(0.5, dim=-1)
        ax.plot(t, dashed, color=INK, ls="--", lw=1.5)
        at = len(t) // 3
        where = (float(t[at]), float(dashed[at]))
        ax.annotate("bound", where, xytext=(5, 2), textcoords="offset points", va="bottom")
        _log_log(ax, xlabel="layers $T$", title=title)
        ax.set_ylim(bottom=floor)
        spoken = title.replace("$", "").replace("\\", "")
        told.append(
            f"{spoken}: {float(mid[0]):.2g} at depth 1, {float(mid[-1]):.1e} at depth {int(t[-1]):,}, "
            f"the bound {float(dashed[-1]):.1e}"
        )
    return fig, f"Measurements under dashed bounds against depth, log-log. {'; '.join(told)}."
