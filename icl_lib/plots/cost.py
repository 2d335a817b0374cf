"""Figures of the chapter "Cost and scale": routes to a margin, roofline, growth, formats, certificates, who wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from torch import Tensor

from .base import COLORS, INK, canvas, styled
from .depth import band, sparse

Spread = tuple[float, float, float]
"""A median and the two ends of its interval."""


def _plain(value: float, _: object = None) -> str:
    return f"{value:g}"


@styled
def routes(rows: Mapping[str, tuple[str, str, Spread]], label: str = "milliseconds a prompt") -> tuple[Figure, str]:
    """Return how long each route takes, a line each, the fastest on top, on a log axis.

    rows: name -> (colour, marker, (median, low, high)).
    """
    names = sorted(rows, key=lambda name: rows[name][2][0])
    fig, axes = canvas(height=0.6 + 0.33 * len(names))
    ax = axes[0, 0]
    ends = [end for name in names for end in rows[name][2]]
    for y, name in enumerate(names):
        color, marker, (mid, low, high) = rows[name]
        shade = COLORS.get(color, color)
        ax.plot([low, high], [y, y], color=shade, lw=3, alpha=0.45, solid_capstyle="butt")
        ax.plot([mid], [y], color=shade, marker=marker, ms=6)
        ax.annotate(f"{mid:.2g}", (high, y), xytext=(5, 0), textcoords="offset points", va="center", color=shade)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel=label, xlim=(min(ends) / 1.5, max(ends) * 2.2))
    ax.grid(True, axis="x")
    ax.tick_params(axis="y", length=0)
    told = "; ".join(f"{name} {rows[name][2][0]:.2g}" for name in names)
    return fig, f"{label}, log axis, the fastest first: {told}."


@styled
def roofline(
    top: float, bandwidths: Mapping[str, float], points: Mapping[str, tuple[str, str, float, float]]
) -> tuple[Figure, str]:
    """Return what the machine allows at each arithmetic intensity (dashed), and where the loops stand.

    top: GFLOP/s of a large matrix product; bandwidths: name -> GB/s, a slanted roof each;
    points: name -> (colour, marker, FLOP per byte, GFLOP/s).
    """
    fig, axes = canvas(height=3.6)
    ax = axes[0, 0]
    at, ridge = [x for _, _, x, _ in points.values()], top / min(bandwidths.values())
    x = np.geomspace(min([0.1, *at]) / 1.2, max([ridge, *at]) * 4, 200)
    for (name, rate), style in zip(bandwidths.items(), ("--", ":", "-."), strict=False):
        ax.plot(x, np.minimum(top, rate * x), color=INK, ls=style, lw=1.4, label=f"roof: {name}")
    ax.annotate("large matrix product", (x[-1], top), xytext=(0, 4), textcoords="offset points", ha="right")
    for name, (color, marker, intensity, rate) in points.items():
        ax.plot([intensity], [rate], color=COLORS.get(color, color), marker=marker, ms=7, ls="none", label=name)
    low = min(min(r for *_, r in points.values()), min(bandwidths.values()) * x[0])
    ax.set(xscale="log", yscale="log", xlabel="operations per byte moved", ylabel="GFLOP/s", ylim=(low / 2, top * 2.5))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True)
    fig.legend(loc="outside lower center", ncols=2)
    told = "; ".join(f"{name} at {i:.2g} reaches {rate:.3g} GFLOP/s" for name, (_, _, i, rate) in points.items())
    roofs = ", ".join(f"{name} {rate:.3g} GB/s" for name, rate in bandwidths.items())
    return fig, f"Rate against operations per byte, log-log. Roofs: {top:.3g} GFLOP/s, {roofs}. {told}."


@styled
def error_by_cost(errors: Mapping[int, Float[Tensor, " T"]], d: int) -> tuple[Figure, str]:
    """Return the error on new points against the cost of the loops, 4 n d T operations, a line for each n.

    errors: number of examples n -> error after T = 1, 2, ... layers; dots mark one layer. Dashed: the root law,
    error proportional to operations^(-1/2), through the dots.
    """
    fig, axes = canvas(height=3.6)
    ax, told = axes[0, 0], []
    styles = ("-", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
    for k, (n, error) in enumerate(errors.items()):
        t = sparse(len(error))
        cost = 4 * n * d * t.double()
        ax.plot(cost, error[t - 1], color=COLORS["momentum"], ls=styles[k % len(styles)], lw=1.5)
        ax.plot(cost[:1], error[:1], color=COLORS["momentum"], marker="o", ms=4)
        below = {"xytext": (-3, -3), "ha": "right", "va": "top"}
        ax.annotate(f"{n:,}", (float(cost[0]), float(error[0])), textcoords="offset points", fontsize=9, **below)
        best = int(error.argmin())
        told.append(f"n = {n}: {float(error[0]):.3g} after one layer, least {float(error[best]):.3g} after {best + 1}")
    ends = np.array([4 * d * min(errors), 4 * d * max(n * len(error) for n, error in errors.items())], dtype=float)
    level = np.exp(np.mean([np.log(float(error[0]) * (4 * n * d) ** 0.5) for n, error in errors.items()]))
    ax.plot(ends, level / ends**0.5, color=INK, ls="--", lw=1.3)
    ax.set(xscale="log", yscale="log", xlabel="operations a prompt, $4ndT$", ylabel="error on new points")
    ax.set_xlim(left=ends[0] / 3)
    ax.yaxis.set_major_locator(FixedLocator([0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]))
    ax.yaxis.set_major_formatter(FuncFormatter(_plain))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(True)
    return fig, (
        f"Error on new points against operations, log-log, a line for each n. {'; '.join(told)}. Dashed: one over the "
        "root of the operations, through the ends of one layer; the deep ends of the lines lie along it, too."
    )


@styled
def growth(axes_of: Mapping[str, tuple[str, Sequence[float], Sequence[Spread], float]]) -> tuple[Figure, str]:
    """Return seconds a call against each size, log-log, two panels a row; dashed the fitted power law.

    axes_of: title -> (axis label, sizes, (median, low, high) seconds, exponent).
    """
    rows = -(-len(axes_of) // 2)
    fig, axes = canvas(rows, 2, height=2.3 * rows)
    told = []
    for ax, (title, (label, sizes, seconds, slope)) in zip(axes.flat, axes_of.items(), strict=False):
        mid, low, high = (np.array(part) * 1e3 for part in zip(*seconds, strict=True))
        x = np.array(sizes, dtype=float)
        ax.fill_between(x, low, high, color=COLORS["layer"], alpha=0.2, lw=0)
        ax.plot(x, mid, color=COLORS["layer"], marker="o", ms=4)
        centre = np.exp(np.log(mid).mean() + slope * (np.log(x) - np.log(x).mean()))
        ax.plot(x, centre, color=INK, ls="--", lw=1.3)
        ax.set(xscale="log", yscale="log", xlabel=label, title=f"{title}: slope {slope:.2f}")
        ax.xaxis.set_major_locator(FixedLocator([x[0], x[len(x) // 2], x[-1]]))
        ax.xaxis.set_major_formatter(FuncFormatter(_plain))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.grid(True)
        told.append(f"{title} from {sizes[0]:g} to {sizes[-1]:g}: {mid[0]:.2g} to {mid[-1]:.2g} ms, slope {slope:.2f}")
    for ax in axes[:, 0]:
        ax.set_ylabel("ms a call")
    return fig, f"Time of a call against four sizes, log-log. {'; '.join(told)}."


@styled
def formats(panels: Mapping[str, Mapping[str, tuple[str, Float[Tensor, "T B"], float | None]]]) -> tuple[Figure, str]:
    """Return the missing share of the max margin by depth for several number formats, a panel each way of using them.

    panels: title -> {format: (line style, missing share [T, B], floor or None)}; medians over the prompts, and the
    floors as short dashed lines at the left.
    """
    fig, (axes,) = canvas(1, len(panels), height=3.3)
    told = []
    for ax, (title, runs) in zip(axes, panels.items(), strict=True):
        for name, (style, gap, floor) in runs.items():
            t = sparse(len(gap))
            mid = band(ax, t, gap[t - 1].clamp_min(1e-12), COLORS["momentum"], shade=0.0, ls=style, label=name)
            told.append(f"{title}, {name}: least {float(mid.min()):.1e}, last {float(mid[-1]):.1e}")
            if floor is not None:
                ax.plot([1, 12], [floor, floor], color=INK, ls="--", lw=1.2)
                ax.annotate(f"bound, {name}", (1, floor), xytext=(0, 2), textcoords="offset points", fontsize=8)
        ax.set(xscale="log", yscale="log", title=title, xlabel="layers $T$", ylim=(None, 2))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.grid(True)
    axes[0].set_ylabel(r"missing share of $\gamma$")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4)
    return fig, f"Missing share of the max margin against depth, log-log, medians. {'; '.join(told)}."


@styled
def certificates(
    lower: Float[Tensor, " T"],
    uppers: Mapping[str, tuple[str, str, Float[Tensor, " T"]]],
    gamma: float,
    retired: Mapping[str, tuple[str, str, Float[Tensor, " T"]]],
) -> tuple[Figure, str]:
    """Return what is known of the max margin by depth on one prompt, and the share of prompts that may stop.

    lower: the margin reached; uppers: name -> (colour, line style, upper bound on the max margin);
    retired: name -> (colour, line style, share of all prompts that are done at each depth).
    """
    fig, (axes,) = canvas(1, 2, height=3.3)
    left, right = axes
    t, told = sparse(len(lower)), []
    left.plot(t, (lower / gamma)[t - 1], color=COLORS["momentum"])
    left.annotate("margin\nreached", (1.1, 0.62), color=COLORS["momentum"])
    for (name, (color, style, upper)), side in zip(uppers.items(), ("right", "left"), strict=False):
        shade = COLORS.get(color, color)
        left.plot(t, (upper / gamma)[t - 1], color=shade, ls=style)
        at = int((upper / gamma <= 1.6).int().argmax())
        shift = (-4 if side == "right" else 4, 0)
        left.annotate(name, (at + 1, 1.6), xytext=shift, textcoords="offset points", ha=side, color=shade)
        told.append(f"{name} is at {float(upper[-1]) / gamma:.3f} of gamma")
    left.axhline(1, color=INK, lw=0.8)
    left.set(xscale="log", xlabel="layers $T$", title=r"one prompt, in units of $\gamma$", ylim=(0.4, 1.8))
    for name, (color, style, share) in retired.items():
        s = sparse(len(share))
        right.plot(s, 100 * share[s - 1], color=COLORS.get(color, color), ls=style, label=name)
        half = int((share >= 0.5).int().argmax()) + 1
        told.append(f"{name}: half of the prompts at layer {half}")
    right.set(xscale="log", xlabel="layers $T$", title="prompts done (%)")
    for ax in axes:
        ax.grid(True)
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return fig, f"Left: bounds on the max margin by depth; right: prompts that may stop. {'; '.join(told)}."


@styled
def winners(
    cells: Sequence[Mapping[str, object]], by_batch: tuple[Sequence[int], Sequence[Spread]]
) -> tuple[Figure, str]:
    """Return how many times as long as the layers an exact QP takes: over n and d (left), over the batch (right).

    cells: dicts with n, d, ratio (None: the layers do not get there); by_batch: batch sizes and ratios. Above 1 the
    layers win (green, circles), below 1 the QP (purple, squares).
    """
    fig, (axes,) = canvas(1, 2, height=2.9)
    left, right = axes
    ns, ds, told = sorted({c["n"] for c in cells}), sorted({c["d"] for c in cells}), []
    for c in cells:
        x, y, ratio = ns.index(c["n"]), ds.index(c["d"]), c["ratio"]
        ours = ratio is not None and ratio > 1
        shade = COLORS["momentum" if ours else "svm"]
        left.plot([x], [y], color=shade, marker="o" if ours else "s", ms=36, alpha=0.2)
        text = "QP" if ratio is None else f"{ratio:.1g}" if ratio < 0.095 else f"{ratio:.2g}"
        left.text(x, y, text, ha="center", va="center", color=shade)
        told.append(f"n {c['n']}, d {c['d']}: {'not reached' if ratio is None else format(ratio, '.2g')}")
    left.set_xticks(range(len(ns)), [str(n) for n in ns])
    left.set_yticks(range(len(ds)), [str(d) for d in ds])
    left.set(xlim=(-0.6, len(ns) - 0.4), ylim=(-0.6, len(ds) - 0.4), xlabel="examples $n$", ylabel="dimension $d$")
    left.set_title("QP's time / layers' time")
    sizes, ratios = by_batch
    mid, low, high = (np.array(part) for part in zip(*ratios, strict=True))
    right.fill_between(sizes, low, high, color=COLORS["momentum"], alpha=0.2, lw=0)
    right.plot(sizes, mid, color=COLORS["momentum"], marker="o", ms=4)
    right.axhline(1, color=INK, ls="--", lw=1.3)
    right.set(xscale="log", yscale="log", xlabel="prompts at once", title="the same, by batch")
    right.yaxis.set_minor_formatter(NullFormatter())
    right.grid(True)
    pairs = ", ".join(f"{b:,}: {m:.2g}" for b, m in zip(sizes, mid, strict=True))
    return fig, f"Time of an exact QP over the time of the layers. {'; '.join(told)}. By batch size {pairs}."
