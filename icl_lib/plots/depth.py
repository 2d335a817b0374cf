"""Figures of the chapter "Depth is optimisation": bounds over measurements, attention on the support vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from .. import validate
from ..algorithms import max_margin
from ..looped import Stacked
from ..tasks import Prompts
from .base import COLORS, INK, canvas, styled

PALE = LinearSegmentedColormap.from_list("clear_to_layer", [(*to_rgba(COLORS["layer"])[:3], 0.04), COLORS["layer"]])


def sparse(depths: int, points: int = 120) -> Tensor:
    """At most ``points`` depths of 1 .. depths, evenly spaced on a log axis: enough for a smooth curve."""
    return torch.unique(torch.logspace(0, math.log10(max(depths, 1)), points, dtype=torch.float64).round().long())


def band(ax: Axes, t: Tensor, values: Float[Tensor, "T B"], color: str, shade: float = 0.18, **style: object) -> Tensor:
    """Draw the median over the prompts and shade the middle half; return the median."""
    low, mid, high = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75]).to(values), dim=-1)
    if values.shape[-1] > 1:
        ax.fill_between(t, low, high, color=color, alpha=shade, lw=0)
    ax.plot(t, mid, color=color, **style)
    return mid


def _spoken(title: str) -> str:
    """The title without its TeX marks, for the alternative text."""
    return title.replace("$", "").replace("\\", "")


@styled
def support_by_depth(
    model: Stacked, prompts: Prompts, depths: Sequence[int] = (1, 10, 100, 1000)
) -> tuple[Figure, str]:
    """Return the folded tokens of a 2-d prompt, each drawn as large as the attention that the layer pays to it.

    The weights are those of the layer at each of ``depths``, counted from 1; the solid line is the boundary that this
    layer starts from, the dashed one the max-margin boundary, whose support vectors are ringed.
    """
    if prompts.x.shape[-1] != 2:
        raise validate.fail("prompts", f"points in R^{prompts.x.shape[-1]}", "points in R^2, which can be drawn")
    if not all(1 <= depth <= model.depth for depth in depths):
        raise validate.fail("depths", list(depths), f"layers of the model, 1 to {model.depth}")
    best = max_margin(prompts.z[:1])
    z, u, support = prompts.z[0], best.direction[0], best.dual[0] > 1e-9
    weights, path = model.attention(prompts)[:, 0], model.iterates(prompts)[:, 0]
    low, high = z.amin(0).clamp_max(0) - 0.13, z.amax(0).clamp_min(0) + 0.13
    rows = -(-len(depths) // 2)
    fig, axes = canvas(rows, 2, height=rows * (0.3 + 2.4 * float((high - low)[1] / (high - low)[0])))
    told = []
    for ax, depth in zip(axes.flat, depths, strict=False):
        q, w = weights[depth - 1], path[depth - 1]
        _line(ax, u, color=COLORS["svm"], ls="--", lw=1.6)
        if w.any():
            _line(ax, w, color=COLORS["layer"], lw=1.4, alpha=0.8)
        ax.scatter(*z.T, s=3, color=INK, linewidths=0, zorder=2)
        ax.scatter(*z.T, s=700 * q, color=COLORS["layer"], alpha=0.75, linewidths=0, zorder=3)
        ax.scatter(
            *z[support].T,
            s=90 + 700 * q[support],
            facecolors="none",
            edgecolors=COLORS["svm"],
            linewidths=1.4,
            zorder=4,
        )
        ax.scatter(0, 0, s=30, c=INK, marker="+", linewidths=1.2, zorder=2)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set(visible=True, alpha=0.5)
        share = 100 * float(q[support].sum())
        ax.set_title(f"layer {depth}: {share:.0f} % on the ringed")
        told.append(f"in layer {depth} {share:.0f} percent")
    for ax in axes.flat[len(depths) :]:
        ax.set_axis_off()
    alt = (
        f"{len(z)} folded tokens in the plane, each a disc with the area of its attention weight. Of all attention the "
        f"{int(support.sum())} support vectors, ringed, get {'; '.join(told)}. The boundary turns to the dashed "
        "max-margin boundary."
    )
    return fig, alt


def _line(ax: Axes, w: Tensor, **style: object) -> None:
    """Draw the line <w, x> = 0."""
    along = torch.stack([-w[1], w[0]]) / w.norm()
    ax.plot(*torch.stack([-4 * along, 4 * along]).T, **style)


@styled
def bound_by_depth(
    panels: Mapping[str, tuple[Float[Tensor, "T B"], Float[Tensor, "T B"]]],
    slope: str = "",
    floor: float | None = None,
    above: bool = True,
) -> tuple[Figure, str]:
    """Return measurements with their proven bounds at depths 1 .. T, log-log, one panel each.

    panels: title -> (measured, bound), both [T, B]. Solid: the median over the B prompts, the middle half shaded;
    dashed: the median bound, with ``slope`` written beside it. ``above`` tells on which side of the measurement a
    bound lies; values below ``floor`` are off the panel.
    """
    fig, axes = canvas(1, len(panels), height=2.9)
    told = []
    for ax, (title, (measured, bound)) in zip(axes[0], panels.items(), strict=True):
        t = sparse(len(measured))
        dashed = bound[t - 1].median(-1).values
        mid = band(ax, t, measured[t - 1], COLORS["layer"])
        ax.plot(t, dashed, color=INK, ls="--", lw=1.5)
        ax.set(xscale="log", yscale="log", xlabel="layers $T$")
        ax.set_title(title, pad=10)  # room for what stands under a min
        if floor is not None:
            ax.set_ylim(bottom=floor)
        ax.grid(True)
        ax.yaxis.set_minor_formatter(NullFormatter())
        at = len(t) // 3
        where = (float(t[at]), float(dashed[at]))
        offset, va = ((5, 4), "bottom") if above else ((6, -4), "top")
        ax.annotate(f"bound{slope}", where, xytext=offset, textcoords="offset points", va=va)
        told.append(
            f"{_spoken(title)}: measured {float(mid[0]):.2g} at depth 1, {float(mid[-1]):.2g} at depth {int(t[-1])}; "
            f"the bound {float(dashed[0]):.2g} and {float(dashed[-1]):.2g}"
        )
    word = "above" if above else "below"
    return fig, f"Log-log plots against depth, the proven bound dashed {word} the measurement. {'; '.join(told)}."


@styled
def rate_constants(cases: Mapping[str, tuple[Float[Tensor, "T B"], Float[Tensor, "T B"], float]]) -> tuple[Figure, str]:
    """Return the gap times gamma eta T against depth: the constant in front of 1/T, measured, explained and proven.

    cases: title -> (constant [T, B], entropy gap [T, B], the bound's constant).
    """
    fig, axes = canvas(1, len(cases), height=2.8)
    told = []
    for ax, (title, (constant, entropy, ceiling)) in zip(axes[0], cases.items(), strict=True):
        t = sparse(len(constant))
        mid = band(ax, t, constant[t - 1], COLORS["layer"])
        explained = entropy[t - 1].median(-1).values
        ax.plot(t, explained, color=COLORS["svm"], ls=":", lw=1.8)
        ax.axhline(ceiling, color=INK, ls="--", lw=1.5)
        ax.text(1, ceiling * 0.985, "bound", va="top")
        at = int(explained.argmax())
        where = (float(t[at]), float(explained[at]) + 0.03 * ceiling)
        ax.text(*where, "entropy gap", va="bottom", ha="center")
        if mid[-1] > 0.3 * ceiling:
            ax.text(float(t[-1]), float(mid[-1]) - 0.04 * ceiling, "measured", va="top", ha="right")
        ax.set(xscale="log", title=title, xlabel="layers $T$", ylim=(-0.02 * ceiling, 1.06 * ceiling))
        told.append(
            f"{title}: {float(mid[-1]):.2f} at depth {int(t[-1])}, where the entropy gap is {float(explained[-1]):.2f} "
            f"and the bound allows {ceiling:.2f}"
        )
    axes[0, 0].set_ylabel(r"margin gap $\times\ \gamma \eta T$")
    return fig, f"The margin gap times gamma eta T against depth. {'; '.join(told)}."


@styled
def attention_by_depth(
    weights: Float[Tensor, "T n"],
    dual: Float[Tensor, " n"],
    norm: Float[Tensor, " T"],
    bound: Float[Tensor, " T"],
    gamma: float,
) -> tuple[Figure, str]:
    """Return one prompt's attention weights by depth as a map beside the SVM's dual weights, over the output's norm.

    norm, bound: the length of what the layer reads, and the proven bound on it, at depths 1 .. T.
    """
    t = sparse(len(weights), 60)
    order = torch.argsort(dual + 1e-6 * weights[-1], descending=True)
    fig = Figure(figsize=(5.0, 4.6), layout="constrained")
    grid = fig.add_gridspec(2, 2, width_ratios=(12, 1), height_ratios=(1.5, 1))
    ax, beside, below = (fig.add_subplot(grid[cell]) for cell in ((0, 0), (0, 1), (1, 0)))
    top = float(dual.max())
    edges = np.concatenate([[t[0] / 1.05], (t[1:] * t[:-1]).double().sqrt(), [t[-1] * 1.05]])
    kind = {"cmap": PALE, "vmin": 0.0, "vmax": top, "linewidth": 0, "rasterized": True}
    ax.pcolormesh(edges, np.arange(len(order) + 1), weights[t - 1][:, order].T, **kind)
    beside.pcolormesh([0, 1], np.arange(len(order) + 1), dual[order][:, None], **kind)
    ax.set(xscale="log", ylabel="tokens", yticks=[], title="attention weights")
    beside.set(xticks=[], yticks=[], title="SVM")
    for axis in (ax, beside):
        axis.invert_yaxis()
        axis.spines[:].set_visible(False)
        axis.axhline(int((dual > 1e-9).sum()), color=COLORS["svm"], lw=1.4)
    below.plot(t, norm[t - 1], color=COLORS["layer"])
    below.plot(t, bound[t - 1], color=INK, ls="--", lw=1.5)
    below.axhline(gamma, color=COLORS["svm"], ls=":", lw=1.8)
    below.text(1.05, gamma, r"max margin $\gamma$", va="bottom")
    below.text(float(t[10]) * 1.3, float(bound[t[10] - 1]), "bound", va="bottom")
    below.set(xscale="log", yscale="log", xlabel="layer", ylabel="output norm", ylim=(0.7 * gamma, 3))
    below.yaxis.set_minor_formatter(NullFormatter())
    below.sharex(ax)
    support = dual > 1e-9
    early, late = (100 * float(weights[k][support].sum()) for k in (0, -1))
    away = float((weights[-1] - dual).abs().sum()) / 2
    alt = (
        f"Top: the attention weights of {len(dual)} tokens by layer, support vectors above a line, beside the SVM's "
        f"dual weights. The {int(support.sum())} support vectors hold {early:.0f} percent of the attention at depth 1 "
        f"and {late:.1f} percent at depth {len(weights)}, where {100 * away:.1f} percent of the attention would have "
        f"to move to match the dual. Bottom: the norm of what the layer reads falls from {float(norm[0]):.3f} to "
        f"{float(norm[-1]):.4f}; the max margin is {gamma:.4f}; the bound stays above."
    )
    return fig, alt


@styled
def race_to_margin(runs: Mapping[str, tuple[str, Float[Tensor, "T+1 B"]]], level: float = 0.9) -> tuple[Figure, str]:
    """Return the share of the max margin reached against the step, a line an algorithm: name -> (color, share)."""
    fig, axes = canvas(height=3.7)
    ax = axes[0, 0]
    told = []
    dashes = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (1, 1.2)))
    for k, (name, (color, share)) in enumerate(runs.items()):
        t = sparse(len(share) - 1)
        mid = band(ax, t, share[t], COLORS[color], shade=0.1, label=name, ls=dashes[k % len(dashes)])
        told.append(f"{name} {float(mid[-1]):.3f}")
    ax.axhline(level, color=INK, ls=":", lw=1.2)
    ax.text(1.08, level + 0.005, f"{100 * level:.0f} %", va="bottom")
    last = len(share) - 1
    ax.set(
        xscale="log", xlabel="layers (steps)", ylabel=r"margin / max margin $\gamma$", xlim=(1, last), ylim=(0.3, 1.02)
    )
    fig.legend(loc="outside lower center", ncols=2, handlelength=2.8)
    ax.grid(True)
    alt = f"Share of the max margin against depth on a log axis, medians over prompts. After {last:,} steps: "
    return fig, alt + "; ".join(told) + "."
