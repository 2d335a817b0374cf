"""Figures of the chapter "Four layers, two roads": losses, sinks and normalisations side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from ..losses import margins
from ..metrics import Interval
from ..tasks import Prompts
from .base import COLORS, INK, canvas, styled

DASHES = {"layer": "-", "sink": (0, (4, 3)), "length": (0, (1, 1.5)), "logistic": (0, (6, 1.5, 1.2, 1.5))}
"""Line styles of the four layers, so that lines on one another can still be told apart."""


def _sparse(depths: int, points: int = 100) -> Tensor:
    """At most ``points`` depths of 1 .. depths, evenly spaced on a log axis."""
    return torch.unique(torch.logspace(0, math.log10(max(depths, 1)), points, dtype=torch.float64).round().long())


def _band(ax: Axes, x: Tensor, values: Float[Tensor, "T B"], color: str, style: object = "-") -> Tensor:
    """Draw the median over the prompts, shade the middle half, and return the median."""
    low, mid, high = torch.nanquantile(values, torch.tensor([0.25, 0.5, 0.75]).to(values), dim=-1)
    ax.fill_between(x, low, high, color=COLORS[color], alpha=0.16, lw=0)
    ax.plot(x, mid, color=COLORS[color], ls=style)
    return mid


@styled
def roads(
    prompts: Prompts, runs: Mapping[str, tuple[str, Float[Tensor, "T+1 1 2"]]], outlier: int
) -> tuple[Figure, str]:
    """Return the paths of several layers in the plane of classifiers, and the boundaries on which they end.

    runs: name -> (color, path). The prompt's point number ``outlier`` is ringed.
    """
    fig, ((left, right),) = canvas(1, 2, height=2.9)
    x, y = prompts.x[0], prompts.y[0]
    low, high = x.amin(0).clamp_max(0) - 0.12, x.amax(0).clamp_min(0) + 0.12
    for label, marker in ((1, "o"), (-1, "s")):
        here = x[y == label]
        right.scatter(*here.T, s=22, marker=marker, color=COLORS["+1" if label > 0 else "-1"], lw=0, zorder=3)
    right.scatter(*x[outlier], s=120, facecolors="none", edgecolors=INK, linewidths=1.3, zorder=4)
    said = []
    for k, (name, (color, path)) in enumerate(runs.items()):
        style = {"color": COLORS[color], "ls": DASHES[color], "lw": 2.6 - 0.2 * k}
        w = path[-1, 0]
        across = 3 * torch.stack([-w[1], w[0]]) / w.norm()
        right.plot(*torch.stack([-across, across]).T, **style)
        left.plot(*path[:, 0].T, label=name, **style)
        left.plot(*w, "o", color=COLORS[color], ms=9 - 2 * k if k < 3 else 5)
        wrong = int((margins(path[-1], prompts.z)[0] < 0).sum())
        said.append(f"{name} at ({w[0]:.2f}, {w[1]:.2f}) with {wrong} {'point' if wrong == 1 else 'points'} wrong")
    left.plot(0, 0, "+", color=INK, ms=7)
    left.legend(loc="best", handlelength=2.2, borderaxespad=0.1)
    left.set(title="paths of $w$ from 0", xlabel="$w_1$", ylabel="$w_2$", aspect="equal", adjustable="datalim")
    right.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    right.set_title("where they end")
    right.spines[:].set_visible(False)
    alt = (
        f"Left: paths of {len(runs)} layers in the plane of classifiers, all from 0. Right: {len(y)} points of two "
        f"classes, one of them far out on the wrong side and ringed, with the boundaries at the ends: "
        f"{'; '.join(said)}."
    )
    return fig, alt


@styled
def slotted(named: Mapping[str, Float[Tensor, "N 3d"]], d: int, cols: int, height: float) -> tuple[Figure, str]:
    """Return matrices as tinted cells, ruled off after every d columns: point, w and slot.

    A matrix of 3d rows is ruled in rows too and has its non-zero entries written in; one of fewer rows holds tokens.
    """
    fig, axes = canvas(-(-len(named) // cols), cols, height=height)
    said = []
    for ax, (title, matrix) in zip(axes.flat, named.items(), strict=True):
        N, M = matrix.shape
        square, largest = N == M, float(matrix.abs().max())
        for i, j in matrix.nonzero().tolist():
            value = float(matrix[i, j])
            tint = COLORS["+1"] if value > 0 else COLORS["-1"]
            strength = 0.4 if square else 0.75 * abs(value) / largest
            ax.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], color=tint, alpha=strength, lw=0)
            if square:
                ax.text(j + 0.5, i + 0.53, f"${value:.2g}$", ha="center", va="center", fontsize=9)
        for k in range(M + 1):
            ax.plot([k, k], [0, N], color=INK, lw=1.2 if k % d == 0 else 0.3)
        for k in range(N + 1):
            ax.plot([0, M], [k, k], color=INK, lw=1.2 if k in (0, N) or (k % d == 0 if square else k == N - 1) else 0.3)
        names, centres = ("point", "$w$", "slot"), [(b + 0.5) * d for b in range(3)]
        ax.set(xlim=(0, M), ylim=(N, 0), title=title, aspect="equal")
        ax.set_xticks(centres, names)
        if square:
            ax.set_yticks(centres, names)
        elif ax is axes[0, 0]:
            ax.set_yticks([(N - 1) / 2, N - 0.5], ["context", "sink"])
        else:
            ax.set_yticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        blocks = ("point", "w", "slot")
        filled = [
            f"{blocks[a]}-{blocks[b]} ({float(block.diagonal()[0]):.2g} on the diagonal)"
            for a, band in enumerate(matrix.split(d, 0) if square else ())
            for b, block in enumerate(band.split(d, 1))
            if block.any()
        ]
        empty = [n for n, block in zip(blocks, matrix.split(d, 1), strict=True) if not block.any()]
        said.append(
            f"{title}: only block {', '.join(filled)}" if square else f"{title}: empty columns {empty or 'none'}"
        )
    for ax in axes.flat[len(named) :]:
        ax.set_axis_off()
    return fig, f"Matrices as tables of cells, in blocks point, w and slot (row-column). {'; '.join(said)}."


@styled
def clocks(
    runs: Mapping[str, tuple[str, Float[Tensor, "T+1 B"], Float[Tensor, "T+1 B"]]], floor: float = -1.0
) -> tuple[Figure, str]:
    """Return the share of the max margin by layer, and by the length of w: name -> (color, share, length).

    On the right each prompt's share is read off at common lengths, as far as three quarters of the prompts have come.
    """
    fig, ((left, right),) = canvas(1, 2, height=3.1)
    said, along = [], []
    shared = min(float(length[-1].quantile(0.25)) for _, _, length in runs.values())
    for name, (color, share, length) in runs.items():
        t = _sparse(len(share) - 1)
        mid = _band(left, t, share[t], color, DASHES[color])
        far = float(length[-1].quantile(0.25))
        common = torch.logspace(0, math.log10(far), 60, dtype=length.dtype)
        at = torch.searchsorted(length.T.contiguous(), common.expand(length.shape[1], -1).contiguous())
        reached = torch.gather(share.T, 1, at.clamp_max(len(length) - 1)).T.clone()
        reached[(at >= len(length)).T] = math.nan
        road = _band(right, common, reached, color, DASHES[color])
        along.append(f"{name} {float(road[common <= 1.0001 * shared][-1]):.2f}")
        said.append(f"{name} {float(mid[-1]):.2f} at length {float(length[-1].median()):.0f}")
    left.set(xscale="log", xlabel="layers", ylabel=r"margin / max margin $\gamma$", ylim=(floor, 1.05))
    right.set(xscale="log", xlabel=r"length of $w$", ylim=(floor, 1.05), yticklabels=[])
    left.set_title("same number of layers")
    right.set_title("same length of road")
    for ax in (left, right):
        ax.axhline(1, color=COLORS["svm"], ls=":", lw=1.5)
        ax.grid(True)
    lines = [line for line in left.get_lines() if len(line.get_xdata()) > 2]
    right.legend(lines, list(runs), loc="lower right", handlelength=2.2, borderaxespad=0)
    alt = (
        "Share of the max margin, medians over prompts with the middle half shaded, on a log axis. Left against the "
        f"layer; after {len(share) - 1} layers: {'; '.join(said)}. Right against the length of w, as far as each has "
        f"come; at length {shared:.0f}: {'; '.join(along)}."
    )
    return fig, alt


@styled
def step_race(
    panels: Mapping[str, Mapping[str, tuple[str, Sequence[float], Float[Tensor, "S B"]]]], floor: float = -1.0
) -> tuple[Figure, str]:
    """Return the share of the max margin by step size, a panel a depth: title -> name -> (color, steps, share)."""
    fig, axes = canvas(1, len(panels), height=3.0)
    said = []
    for ax, (title, runs) in zip(axes[0], panels.items(), strict=True):
        for name, (color, steps, share) in runs.items():
            mid = _band(ax, torch.tensor(steps), share, color, DASHES[color])
            k = int(mid.argmax())
            ax.plot(steps[k], mid[k], "o", ms=6, color=COLORS[color])
            said.append(f"{title}, {name}: best {float(mid[k]):.2f} at step {steps[k]:g}")
        ax.axhline(1, color=COLORS["svm"], ls=":", lw=1.5)
        ax.set(xscale="log", xlabel=r"step $\eta$", title=title, ylim=(floor, 1.05))
        ax.grid(True)
    axes[0, 0].set_ylabel(r"margin / max margin $\gamma$")
    for ax in axes[0, 1:]:
        ax.set_yticklabels([])
    lines = [line for line in axes[0, -1].get_lines() if len(line.get_xdata()) > 2]
    axes[0, -1].legend(lines[: len(runs)], list(runs), loc="lower right", handlelength=2.4)
    return fig, f"Share of the max margin against the step size, one line a layer. {'; '.join(said)}."


@styled
def update_lengths(runs: Mapping[str, tuple[str, object, Float[Tensor, "T B"]]], step: float) -> tuple[Figure, str]:
    """Return the length of the update against the layer, in units of the step: name -> (color, line style, length)."""
    fig, ((ax,),) = canvas(height=2.8)
    said, ends = [], []
    for name, (color, style, length) in runs.items():
        t = _sparse(len(length))
        mid = _band(ax, t, length[t - 1] / step, color, style)
        ends.append((math.log10(float(mid[-1])), name))
        plain = name.replace("$", "").replace("\\varepsilon", "epsilon").replace("{", "").replace("}", "")
        said.append(f"{plain}: {float(mid[-1]):.2g}")
    ax.set(xscale="log", yscale="log", xlabel="layer", ylabel=r"length of the update / $\eta$", ylim=(None, 1.6))
    ax.yaxis.set_minor_formatter(NullFormatter())
    low, high = (math.log10(v) for v in ax.get_ylim())
    spot = math.inf
    for value, name in sorted(ends, reverse=True):
        spot = min(value, spot - 0.085 * (high - low))
        where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        ax.annotate(name, (1.0, 10**spot), xytext=(5, 0), va="center", **where)
    ax.grid(True)
    return fig, f"Length of the update over the step size against the layer; in layer {int(t[-1])}: {'; '.join(said)}."


@styled
def roads_meet(
    gap: Float[Tensor, "T B"], bound: Float[Tensor, "T B"], turn: Float[Tensor, "T B"]
) -> tuple[Figure, str]:
    """Return the distance ||p - q||_1 of sigmoid and softmax weights by layer, and the angle of the roads."""
    fig, ((left, right),) = canvas(1, 2, height=2.8)
    t = _sparse(len(gap))
    mid = _band(left, t, gap[t - 1], "layer")
    left.plot(t, bound[t - 1].median(-1).values, color=INK, ls="--", lw=1.5)
    at = len(t) // 4
    left.annotate("bound", (float(t[at]), float(bound[t[at] - 1].median())), xytext=(3, 4), textcoords="offset points")
    left.set(xscale="log", yscale="log", xlabel="layers", title=r"weights: $\|p - q\|_1$", ylim=(None, 6))
    left.yaxis.set_minor_formatter(NullFormatter())
    ends = _band(right, t, turn[t - 1], "logistic", DASHES["logistic"])
    right.set(xscale="log", xlabel="layers", title="angle of the roads, degrees", ylim=(0, None))
    for ax in (left, right):
        ax.grid(True)
    alt = (
        f"Left: along the path of the head the weights differ by {float(mid[0]):.2g} in layer 1, at most by "
        f"{float(mid.max()):.2g}, and by {float(mid[-1]):.1g} in layer {int(t[-1])}; the dashed bound stays above. "
        f"Right: the angle between the two roads rises to {float(ends.max()):.2g} degrees and falls to "
        f"{float(ends[-1]):.2g}."
    )
    return fig, alt


@styled
def outlier_error(
    panels: Mapping[str, tuple[str, Sequence[float], Mapping[str, tuple[str, Interval]]]],
) -> tuple[Figure, str]:
    """Return the error on new points against the size of a fault: title -> (axis, values, name -> (color, error))."""
    fig, axes = canvas(1, len(panels), height=3.0)
    said = []
    for ax, (title, (axis, values, runs)) in zip(axes[0], panels.items(), strict=True):
        for name, (color, error) in runs.items():
            mean, low, high = (100 * part for part in error)
            ax.fill_between(values, low, high, color=COLORS[color], alpha=0.16, lw=0)
            ax.plot(values, mean, color=COLORS[color], ls=DASHES[color], label=name)
            said.append(
                f"{title}, {name}: {float(mean[0]):.1f} percent at {values[0]:g}, "
                f"{float(mean[-1]):.1f} at {values[-1]:g}"
            )
        ax.set(title=title, xlabel=axis, ylim=(0, None))
        ax.grid(True)
    axes[0, 0].set_ylabel("error on new points, %")
    axes[0, 0].legend(loc="upper left", borderaxespad=0.1, handlelength=2.4)
    return fig, f"Error on new points. {'; '.join(said)}. Shaded: 95 percent intervals over prompts."


@styled
def one_way_open(runs: Mapping[str, tuple[str, Float[Tensor, "T+1 2"]]]) -> tuple[Figure, str]:
    """Return both coordinates of w against the layer, for a context with one direction that costs nothing."""
    fig, axes = canvas(1, 2, height=2.7)
    said = []
    for name, (color, path) in runs.items():
        for k, ax in enumerate(axes[0]):
            t = torch.arange(31) if k else _sparse(len(path) - 1)
            ax.plot(t, path[t, k], color=COLORS[color], ls=DASHES[color], label=name)
        said.append(f"{name}: ({float(path[-1, 0]):.1f}, {float(path[-1, 1]):.2f})")
    for k, ax in enumerate(axes[0]):
        ax.set(xscale="linear" if k else "log", xlabel="layers", title=f"$w_{k + 1}$")
        ax.grid(True)
    axes[0, 0].legend(loc="upper left", borderaxespad=0.1, handlelength=2.4)
    alt = (
        "The two coordinates of w against the layer, the second for the first 30 layers. "
        f"After {len(path) - 1} layers: {'; '.join(said)}."
    )
    return fig, alt
