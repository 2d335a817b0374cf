"""Figures of the chapter "Attention as featurizer": regions of a plane, splines from hinges, leaks, errors, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..metrics import Interval
from ..tasks import Prompts
from .base import COLORS, INK, canvas, styled
from .boundaries import MARKERS

Decide = Callable[[Float[Tensor, "M 2"]], Float[Tensor, " M"]]


@styled
def regions(panels: Sequence[tuple[str, Prompts, Decide]], columns: int = 2, grid: int = 51) -> tuple[Figure, str]:
    """Draw, a panel each, the first prompt of a task in [-1, 1]^2 and the two regions in which ``decide`` differs."""
    rows = -(-len(panels) // columns)
    side = 5.0 / columns
    fig, axes = canvas(rows, columns, height=rows * (side + 0.12) + 0.3)
    along = torch.linspace(-1, 1, grid, dtype=torch.float64)
    points = torch.cartesian_prod(along, along)
    small, told = columns > 2, []
    for ax, (title, prompts, decide) in zip(axes.flat, panels, strict=False):
        x, y = prompts.x[0], prompts.y[0]
        value = decide(points).reshape(grid, grid).T
        wrong = y * decide(x) <= 0
        tints = [COLORS["-1"], COLORS["+1"]]
        ax.contourf(along, along, value.sign(), levels=[-2, 0, 2], colors=tints, alpha=0.16)
        if bool((value > 0).any() & (value < 0).any()):
            ax.contour(along, along, value, levels=[0], colors=INK, linewidths=1.4 if small else 2, linestyles="-")
        for sign, marker in MARKERS.items():
            chosen = x[y == sign]
            ax.scatter(*chosen.T, s=8 if small else 16, c=COLORS[f"{sign:+d}"], marker=marker, linewidths=0, zorder=3)
        if not small:
            ax.scatter(*x[wrong].T, s=60, facecolors="none", edgecolors=INK, linewidths=1.1, zorder=4)
        count = f"{int(wrong.sum())} of {len(y)} wrong"
        ax.set_title(f"{title}\n{count}", fontsize=9 if small else 10)
        ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set(visible=True, alpha=0.5)
        told.append(f"{' '.join(title.split())}: {count}, +1 is answered on {_share(value)} of the square")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return fig, "Labelled points in a square, and the regions of the two answers. " + "; ".join(told) + "."


def _share(value: Tensor) -> str:
    return f"{100 * float((value > 0).double().mean()):.0f} percent"


@styled
def spline_from_hinges(
    x: Float[Tensor, " M"],
    knots: Sequence[float],
    terms: Float[Tensor, "M K"],
    splines: Float[Tensor, "M F"],
    reference: Float[Tensor, "M F"],
) -> tuple[Figure, str]:
    """Draw one B-spline as the sum of its weighted truncated powers, and all of them over a reference (dots)."""
    fig, axes = canvas(2, 1, height=4.6)
    top, bottom = axes[:, 0]
    reach = 2.0
    for k in range(terms.shape[1]):
        top.plot(x, terms[:, k].clamp(-9, 9), color=COLORS["sink"], lw=1, alpha=0.8)
    total = terms.sum(-1)
    top.plot(x, total, color=COLORS["layer"], lw=2.6)
    at = len(x) * 9 // 10  # the bump itself is crossed by its terms
    top.annotate("their sum", (float(x[at]), float(total[at])), xytext=(0, 5), ha="center",
                 textcoords="offset points", color=COLORS["layer"])  # fmt: skip
    top.set(title=f"{terms.shape[1]} truncated powers, weighted; cut off at ±2", ylim=(-reach, reach), xlim=(-1, 1))
    bottom.plot(x, splines, color=COLORS["layer"], lw=1.4)
    every = slice(None, None, max(len(x) // 40, 1))
    for k in range(reference.shape[1]):
        own = reference[every, k] > 0
        bottom.plot(x[every][own], reference[every, k][own], ls="", marker=".", ms=4, color=INK)
    inside = [knot for knot in knots if -1 <= knot <= 1]
    bottom.plot(inside, [0] * len(inside), ls="", marker="|", ms=9, color=INK)
    bottom.set(
        title=f"all {splines.shape[1]} B-splines; dots: reference", xlabel="$x$", xlim=(-1, 1), ylim=(-0.04, None)
    )
    alt = (
        f"Top: {terms.shape[1]} weighted truncated powers of x, of alternating sign, each 0 up to its own knot, then "
        f"growing beyond the figure, up to {float(terms.abs().max()):.0f} in size; their sum is a bump of height "
        f"{float(total.max()):.2f} that is 0 outside of its knots. Bottom: {splines.shape[1]} such bumps side by side "
        f"between -1 and 1, and dots of the reference, which lie on the curves: the largest difference is "
        f"{float((splines - reference).abs().max()):.0e}."
    )
    return fig, alt


@styled
def leak_by_threshold(ratio: Float[Tensor, " K"], errors: Mapping[int, Float[Tensor, "S K"]]) -> tuple[Figure, str]:
    """Draw the largest error of a product against C over the C that is needed, a line for each number of tokens.

    errors: number of tokens -> the largest error in each of S prompts; the line is their mean.
    """
    fig, axes = canvas(height=3.1)
    ax, told = axes[0, 0], []
    middle = int((ratio - 0.1).abs().argmin())
    means = {count: error.mean(0) for count, error in errors.items()}
    for k, (count, error) in enumerate(means.items()):
        share = k / max(len(errors) - 1, 1)
        ax.plot(ratio, error, color=COLORS["sink"], alpha=0.5 + 0.5 * share, lw=1.2 + share)
        where = (float(ratio[middle]), float(error[middle]))
        below = k == 0 and len(means) > 1  # above it the next line comes down
        ax.annotate(f"{count} tokens", where, xytext=(2, -13 if below else 6), textcoords="offset points")
        told.append(
            f"{count} tokens: {float(error[0]):.2g} at ratio {float(ratio[0]):g}, {where[1]:.2g} at {where[0]:.2g}, "
            f"at most {float(error[ratio >= 1].max()):.0e} from ratio 1 on"
        )
    ax.axvline(1, color=INK, ls="--", lw=1.4)
    ax.annotate("enough,\nproved", (1, 0.4 * float(max(e.max() for e in means.values()))), xytext=(5, 0),
                textcoords="offset points")  # fmt: skip
    ax.set(xlabel="$C$ / largest product between two tokens", ylabel="largest error")
    ax.set(xlim=(float(ratio[0]), float(ratio[-1])), ylim=(0, None))
    ax.grid(True)
    return fig, f"Largest error of the written product against C, means over prompts. {'; '.join(told)}."


@styled
def shape_errors(depths: Sequence[int], errors: Mapping[str, Mapping[str, Interval]]) -> tuple[Figure, str]:
    """Draw the error on new points against depth, in percent: a panel a task, a line a method.

    errors: task -> name of the method ("linear", "NGD", "momentum") -> interval, one entry for each depth.
    """
    looks = {"linear": (INK, "s", "-"), "NGD": (COLORS["layer"], "o", "-"), "momentum": (COLORS["momentum"], "D", "-")}
    names = {"linear": "points themselves, momentum", "NGD": "features, NGD", "momentum": "features, momentum"}
    fig, axes = canvas(1, len(errors), height=3.2)
    told = []
    for ax, (task, lines) in zip(axes.flat, errors.items(), strict=True):
        for method, interval in lines.items():
            color, marker, style = looks[method]
            mean, low, high = (100 * part for part in interval)
            ax.fill_between(depths, low, high, color=color, alpha=0.18, lw=0)
            ax.plot(depths, mean, color=color, marker=marker, ms=3.5, ls=style, label=names[method])
            told.append(f"{task}, {names[method]}: {float(mean[0]):.1f} at depth {depths[0]}, "
                        f"{float(mean[-1]):.1f} at depth {depths[-1]}")  # fmt: skip
        ax.set(xscale="log", yscale="log", title=task, xlabel="layers", ylim=(0.7, 65))
        ax.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
        marks = [depth for depth in depths if depth in (1, 10, 100, 400)]
        ax.set_xticks(marks, [str(depth) for depth in marks])
        ax.minorticks_off()
        ax.grid(True)
    axes[0, 0].set_ylabel("error on new points, %")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return fig, f"Error on new points against depth, both axes logarithmic, in percent. {'; '.join(told)}."


@styled
def feature_counts(dimensions: Sequence[int], degrees: Sequence[int], n: int) -> tuple[Figure, str]:
    """Draw the number of monomials up to a degree, in several dimensions; a dashed line at n, the examples."""
    fig, axes = canvas(height=3.2)
    ax, told = axes[0, 0], []
    for k, d in enumerate(dimensions):
        count = [math.comb(d + p, p) for p in degrees]
        ax.plot(degrees, count, color=COLORS["layer"], marker="o", ms=3.5, alpha=0.45 + 0.55 * k / len(dimensions))
        _named(ax, degrees[-1], count[-1], f"$d = {d}$")
        told.append(f"d = {d}: {count[0]:,} to {count[-1]:,}")
    ax.axhline(n, color=INK, ls="--", lw=1.4)
    ax.annotate(f"dashed: $n = {n}$ examples", (0.04, 0.92), xycoords="axes fraction", va="top")
    ax.set(yscale="log", xlabel="degree $p$", ylabel=r"features, $\binom{d + p}{p}$", xticks=list(degrees))
    ax.grid(True)
    alt = f"Number of monomials up to degree {degrees[0]} to {degrees[-1]}, log scale: {'; '.join(told)}."
    return fig, alt + f" A dashed line marks {n} examples."


def _named(ax: Axes, x: float, y: float, text: str) -> None:
    ax.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", va="center", annotation_clip=False)
