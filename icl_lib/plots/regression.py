"""Figures of the chapter "Linear attention fits curves": fits, errors against n, T, F or tasks, and eigenvalues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..metrics import Interval
from .base import COLORS, INK, canvas, styled

LOOKS = {
    "one step": (COLORS["decaying"], "o", "-"),
    "stacked": (COLORS["layer"], "s", "-"),
    "two steps": (COLORS["layer"], "s", "-"),
    "whitened": (COLORS["momentum"], "D", "-"),
    "least squares": (COLORS["svm"], "v", "-"),
    "ridge": (COLORS["logistic"], "^", "-"),
    "kernel average": (COLORS["sink"], "P", "-"),
    "trained": (COLORS["gd"], "X", "-"),
    "line": (INK, ".", "-"),
    "bias": (INK, ".", "-"),
    "variance": (COLORS["length"], "s", "-"),
    "polynomials": (INK, "o", "-"),
    "tents": (COLORS["length"], "^", "-"),
    "cubic splines": (COLORS["momentum"], "D", "-"),
}
"""Colour, marker and dash of each way to fit, the same in the whole chapter; last, what is no way to fit."""


class Curve(NamedTuple):
    """What was measured at ``x``, with the ends of its interval, and what theory says (dashed); look: one of LOOKS."""

    x: Sequence[float]
    measured: Interval | Float[Tensor, " K"]
    look: str
    theory: Float[Tensor, " K"] | None = None


@styled
def fits(
    x: Float[Tensor, " M"],
    truth: Float[Tensor, " M"],
    points: tuple[Float[Tensor, " n"], Float[Tensor, " n"]],
    panels: Mapping[str, Float[Tensor, " M"]],
) -> tuple[Figure, str]:
    """Draw the examples of one prompt, the function behind them (dashed) and, a panel each, a fitted curve."""
    rows = -(-len(panels) // 2)
    fig, axes = canvas(rows, 2, height=2.1 * rows)
    fig.get_layout_engine().set(hspace=0.06, wspace=0.06)
    told = []
    for ax, (title, fitted) in zip(axes.flat, panels.items(), strict=True):
        ax.scatter(*points, s=9, color=INK, linewidths=0)
        ax.plot(x, truth, color=INK, ls="--", lw=1.3)
        ax.plot(x, fitted, color=COLORS["layer"], lw=2.2)
        ax.set(title=title, xlim=(-1, 1), xticks=[-1, 0, 1], yticks=[])
        ax.spines["left"].set_visible(False)
        error = float((fitted - truth).square().mean().sqrt())
        told.append(f"{title}: off by {error:.2f} on average")
    least, most = float(points[1].min()), float(points[1].max())
    pad = 0.25 * (most - least)
    for ax in axes.flat:
        ax.set_ylim(least - pad, most + pad)
    alt = f"{len(points[0])} noisy examples of a curve between {least:.1f} and {most:.1f}, and fits to them. "
    return fig, alt + f"{'; '.join(told)} (root mean square)."


@styled
def curves(
    panels: Mapping[str, Mapping[str, Curve]],
    xlabel: str,
    ylabel: str,
    *,
    height: float = 3.4,
    xscale: str = "log",
    yscale: str = "log",
    ylim: tuple[float, float] | None = None,
    xticks: Sequence[float] | None = None,
    theory: str = "theory",
) -> tuple[Figure, str]:
    """Draw named curves, a panel for each title; intervals shaded, ``theory`` dashed, one legend for all panels."""
    fig, axes = canvas(1, len(panels), height=height)
    told, entries = [], {}
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=True):
        for name, line in lines.items():
            entries[name] = _draw(ax, line)
            told.append(f"{title + ', ' if title else ''}{name}: {_ends(line)}")
        ax.set(xscale=xscale, yscale=yscale, title=title, xlabel=xlabel)
        if xticks is not None:
            ax.set_xticks(xticks, [f"{tick:g}" for tick in xticks])
            ax.minorticks_off()
        ax.grid(True)
    axes[0, 0].set_ylabel(ylabel)
    limits = [ax.get_ylim() for ax in axes.flat]
    for ax in axes.flat:
        ax.set_ylim(*(ylim or (min(low for low, _ in limits), max(high for _, high in limits))))
        ax.tick_params(labelleft=ax is axes[0, 0])
    if any(line.theory is not None for lines in panels.values() for line in lines.values()):
        entries[theory] = axes[0, 0].plot([], [], color=INK, ls="--", lw=1.3)[0]
    fig.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2 if len(entries) > 1 else 1)
    scales = " and ".join(f"{axis} on a log scale" for axis, s in (("x", xscale), ("y", yscale)) if s == "log")
    return fig, f"{ylabel} against {xlabel}{', ' + scales if scales else ''}. {'; '.join(told)}."


def _draw(ax: Axes, line: Curve) -> object:
    color, marker, dash = LOOKS[line.look]
    mean = line.measured.mean if isinstance(line.measured, Interval) else line.measured
    if isinstance(line.measured, Interval):
        ax.fill_between(line.x, line.measured.low, line.measured.high, color=color, alpha=0.2, lw=0)
    if line.theory is not None:
        ax.plot(line.x, line.theory, color=INK, ls="--", lw=1.3, zorder=3)
    apart = 0.12 if len(line.x) > 15 else None  # of a long line not every point has its marker
    return ax.plot(line.x, mean, color=color, marker=marker, ms=4, ls=dash, markevery=apart)[0]


def _ends(line: Curve) -> str:
    mean = line.measured.mean if isinstance(line.measured, Interval) else line.measured
    said = ", ".join(f"{float(mean[k]):.2g} at {line.x[k]:g}" for k in (0, len(mean) // 2, -1))
    if line.theory is None:
        return said
    return f"{said} (theory {float(line.theory[0]):.2g} at first, {float(line.theory[-1]):.2g} at last)"


@styled
def divergence(
    n: Sequence[int], shares: Mapping[int, Float[Tensor, " K"]], error: Float[Tensor, "T+1 B"]
) -> tuple[Figure, str]:
    """Draw the share of contexts that diverge against n, a line for each F, and the error by depth in one setting."""
    fig, axes = canvas(1, 2, height=3.0)
    left, right = axes[0]
    told = []
    for k, (F, share) in enumerate(shares.items()):
        color = COLORS["layer"]
        left.plot(n, 100 * share, color=color, marker="so^"[k % 3], ms=4, alpha=0.5 + 0.5 * k / max(len(shares) - 1, 1))
        left.annotate(f"$F={F}$", (n[0], 100 * float(share[0])), xytext=(-5, 0), textcoords="offset points",
                      ha="right", va="center")  # fmt: skip
        told.append(
            f"F = {F}: {100 * float(share[0]):.0f} percent at n = {n[0]}, {100 * float(share[-1]):.1f} at {n[-1]}"
        )
    left.set(
        xscale="log",
        xlabel="context length $n$",
        ylabel="contexts that diverge, %",
        ylim=(-2, 100),
        xlim=(n[0] / 3.8, 1.2 * n[-1]),
    )
    left.set_xticks(n[::2], [str(v) for v in n[::2]])
    left.minorticks_off()
    depth = torch.arange(len(error))
    low, middle, high = torch.quantile(error, torch.tensor([0.25, 0.5, 0.75]).to(error), dim=1)
    mean = error.mean(1)
    floor, tiny = 1e-12, 1e-99  # the first ends the frame, the second keeps an error of 0 on a log scale
    right.fill_between(depth, low.clamp_min(tiny), high.clamp_min(tiny), color=COLORS["layer"], alpha=0.2, lw=0)
    right.plot(depth, middle.clamp_min(tiny), color=COLORS["layer"])
    right.plot(depth, mean, color=COLORS["sink"], ls="-.")
    at, inside = 2 * len(error) // 3, int((mean < 1e8).sum()) - 1
    right.annotate("mean", (inside, float(mean[inside])), xytext=(6, 0), textcoords="offset points",
                   color=COLORS["sink"])  # fmt: skip
    right.annotate("median", (at, float(middle[at])), xytext=(0, 8), textcoords="offset points",
                   color=COLORS["layer"])  # fmt: skip
    right.set(yscale="log", xlabel="layers", ylabel="squared error", ylim=(floor, 1e12))
    for ax in (left, right):
        ax.grid(True)
    alt = f"Left, share of contexts whose stacked steps diverge: {'; '.join(told)}. Right, squared error of the "
    alt += f"coefficients by depth: the median falls from {float(middle[0]):.2g} to {float(middle[-1]):.0e}, the mean "
    return fig, alt + f"grows from {float(mean[0]):.2g} to {float(mean[-1]):.0e}, beyond the frame."


@styled
def eigenvalue_paths(paths: Mapping[float, Float[Tensor, " T"]]) -> tuple[Figure, str]:
    """Draw what whitening layers do to single eigenvalues, each from its start on; dashed: growth by 9/4 a layer."""
    fig, axes = canvas(height=3.0)
    ax, told = axes[0, 0], []
    for start, path in paths.items():
        ax.plot(range(len(path)), path, color=COLORS["momentum"], marker="D", ms=3, lw=1.4)
        ax.annotate(f"{start:g}", (0, start), xytext=(-5, 0), textcoords="offset points", ha="right", va="center")
        told.append(f"from {start:g}: {float(path[1]):.2g} after one layer, {float(path[-1]):.3g} at the end")
    least, steps = min(paths), len(next(iter(paths.values())))
    growth = least * 2.25 ** torch.arange(steps, dtype=torch.float64)
    ax.plot(range(steps), growth.where(growth < 1.5, torch.nan), color=INK, ls="--", lw=1.3)
    ax.set(
        yscale="log",
        xlabel="whitening layers",
        ylabel=r"eigenvalue of $S$",
        xlim=(-2.2, steps - 1),
        xticks=range(0, steps, 2),
    )
    ax.grid(True)
    return fig, f"An eigenvalue by layer, log scale: {'; '.join(told)}. A dashed line grows by nine quarters a layer."
