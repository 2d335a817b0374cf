"""Figures of the chapter "What breaks it": floors, slow directions, noise, memorised prompts and short numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from torch import Tensor

from .base import COLORS, INK, canvas, label_line, styled

LINES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))


def _sparse(last: int, points: int = 120) -> Tensor:
    """At most ``points`` whole numbers of 1 .. last, evenly spaced on a log axis."""
    return torch.unique(torch.logspace(0, float(torch.tensor(float(last)).log10()), points).round().long())


def _share(value: float) -> str:
    return f"{100 * value:.2g} %"


def _end_axis(ax: Axes, low: float, high: float) -> None:
    """End the horizontal axis where the data ends: what is right of it is room for labels."""
    ax.xaxis.set_minor_locator(NullLocator())
    ax.spines["bottom"].set_bounds(low, high)


@styled
def loop_gaps(
    runs: Mapping[str, tuple[str, Float[Tensor, "T+1 B"]]], missed: Mapping[str, float]
) -> tuple[Figure, str]:
    """Return the share of the max margin that looped layers still lack, by loop: name -> (color, lacking).

    Lines are medians over the prompts, the middle half is shaded. missed: name -> the share of the teacher's mean
    square step that the layer misses; written beside its line. A run not named there is drawn dashed, as a reference.
    """
    fig, axes = canvas(height=3.2)
    ax, told, ends = axes[0, 0], [], {}
    for name, (color, lacking) in runs.items():
        t = _sparse(len(lacking) - 1)
        low, mid, high = torch.quantile(lacking[t], torch.tensor([0.25, 0.5, 0.75]).to(lacking), dim=-1)
        if name in missed:
            ax.fill_between(t, low, high, color=COLORS[color], alpha=0.16, lw=0)
        ax.plot(t, mid, color=COLORS[color], ls="-" if name in missed else (0, (4, 3)))
        ends[name] = (float(mid[-1]), color)
        told.append(f"{name} lacks {_share(float(mid[-1]))} after {int(t[-1])} loops")
    height, last = 0.0, int(t[-1])
    for name, (end, color) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max(end, 2.5 * height if name in missed else 0.0)
        text = name + (f"\nmisses {_share(missed[name])}\nof its step" if name in missed else "")
        label_line(ax, last, height, text, COLORS[color], fontsize=9)
    ax.set(xscale="log", yscale="log", xlim=(1, last * 20), xlabel="loops", ylabel="lacking share of max margin")
    ax.set_xticks([10**k for k in range(len(str(last)))])
    _end_axis(ax, 1, last)
    said = ", ".join(f"{name} {_share(share)}" for name, share in missed.items())
    alt = f"Medians on log axes: {'; '.join(told)}. Share of the teacher's step that each misses: {said}."
    return fig, alt


@styled
def out_of_reach(
    scales: Sequence[float],
    floors: Mapping[str, tuple[str, Sequence[float], Sequence[float]]],
    trained: Mapping[str, Mapping[float, float]],
) -> tuple[Figure, str]:
    """Return the share of a teacher's step that is missed, by the spread of the states.

    floors: name -> (color, share missed by the best layer of two numbers, its formula for small spreads), both over
    ``scales``; trained: name -> spread -> share missed by trained full matrices, drawn as dots.
    """
    fig, axes = canvas(height=3.2)
    ax, told = axes[0, 0], []
    below, order = 0.0, sorted(floors.items(), key=lambda item: item[1][1][-1])
    for k, (name, (color, best, formula)) in enumerate(order):
        ax.plot(scales, best, color=COLORS[color])
        ax.plot(scales, formula, color=COLORS[color], ls="--", lw=1.1)
        ax.plot(*zip(*trained[name].items(), strict=True), "o", color=COLORS[color], ms=5)
        above = float(order[k + 1][1][1][-1]) if k + 1 < len(order) else math.inf
        lift = 1.5 if best[-1] < 2 * below else 1 / 1.5 if above < 2 * best[-1] else 1.0  # labels keep clear
        label_line(ax, scales[-1] * 1.03, lift * float(best[-1]), name, COLORS[color], fontsize=9)
        below = float(best[-1])
        told.append(f"{name} {_share(best[0])} at {scales[0]:g} and {_share(best[-1])} at {scales[-1]:g}")
    apart = max(
        abs(share / floors[n][1][list(scales).index(s)] - 1) for n, d in trained.items() for s, share in d.items()
    )
    ax.set(xscale="log", yscale="log", xlim=(scales[0] * 0.85, scales[-1] * 3.4))
    ax.set(xlabel="spread $s$ of the training states", ylabel="share of the step missed")
    ax.set_xticks(scales, [f"{s:g}" for s in scales])
    _end_axis(ax, scales[0], scales[-1])
    alt = (
        f"The share missed by the best layer rises with the spread of the states: {'; '.join(told)}. At small spreads "
        f"the lines lie on dashed ones of slope 2. Dots, trained matrices, are within {_share(apart)} of the lines."
    )
    return fig, alt


@styled
def small_states(
    runs: Mapping[float, tuple[Sequence[float], float]],
    rounding: Mapping[str, tuple[float, Mapping[float, float]]],
) -> tuple[Figure, str]:
    """Return the score block's distance over training at several spreads of w, and where rounding stops it.

    runs: spread -> (distances, predicted rate of the slowest direction, drawn dashed from step 30); rounding: name of
    a dtype -> (its machine epsilon, spread -> last distance, with rates that follow the spread).
    """
    fig, ((left, right),) = canvas(1, 2, height=3.0)
    told, said = [], []
    for (spread, (distance, rate)), line in zip(runs.items(), LINES, strict=False):
        left.plot(distance, color=COLORS["layer"], ls=line, lw=1.5)
        label_line(left, len(distance), distance[-1], f"$s$ = {spread:g}", COLORS["layer"], fontsize=9)
        t = torch.arange(30, len(distance))
        left.plot(t, 1.12 * distance[30] * rate ** (t - 30.0), color=INK, ls="--", lw=1)
        told.append(f"{distance[-1]:.2g} at s = {spread:g}")
    left.set(
        yscale="log", xlabel="step of the optimiser", ylabel="distance of the score block", title="one rate for all"
    )
    left.set(xlim=(0, 1.6 * len(distance)), xticks=(0, len(distance) // 2, len(distance)))
    _end_axis(left, 0, len(distance))
    for (name, (epsilon, floors)), marker in zip(rounding.items(), "os", strict=False):
        right.plot(*zip(*floors.items(), strict=True), marker, color=COLORS["layer"], ms=5)
        spreads = torch.tensor(list(floors))
        right.plot(spreads, epsilon / spreads, color=INK, ls="--", lw=1)
        right.annotate(
            name, (min(floors), epsilon / min(floors)), xytext=(14, 2), textcoords="offset points", fontsize=9
        )
        said.append(f"{name} from {floors[max(floors)]:.0e} at s = {max(floors):g} to {floors[min(floors)]:.0e}")
    right.set(xscale="log", yscale="log", xlabel="spread $s$ of the states", title="rates that follow $s$")
    right.set_ylim(top=0.5)
    alt = (
        f"Left, with one learning rate, after {len(distance)} steps the score block's distance is {', '.join(told)}; "
        f"dashed predicted slopes run along the lines. Right, with rates that follow s, the distance ends at a floor "
        f"below the dashed line epsilon / s and parallel to it: {'; '.join(said)} at s = {min(floors):g}."
    )
    return fig, alt


@styled
def slow_directions(
    runs: Mapping[str, tuple[str, Float[Tensor, " steps"]]], slope: tuple[str, float]
) -> tuple[Figure, str]:
    """Return distances to the construction over the steps: name -> (color, distances), labelled at their ends.

    slope: (name, rate), the predicted rate of that run's slowest direction, drawn dashed over its last part.
    """
    fig, axes = canvas(height=3.2)
    ax, told = axes[0, 0], []
    last = max(len(distance) for _, distance in runs.values())
    height = 0.0
    for (name, (color, distance)), line in zip(
        sorted(runs.items(), key=lambda item: float(item[1][1][-1])), LINES, strict=False
    ):
        ax.plot(distance, color=COLORS[color], ls=line, lw=1.5)
        height = max(float(distance[-1]), 15 * height)
        label_line(ax, len(distance), height, name, COLORS[color], fontsize=9)
        told.append(f"{name.replace('$', '')} {float(distance[-1]):.1g} after {len(distance)} steps")
        if name == slope[0]:
            t = torch.arange(last // 4, len(distance), dtype=torch.float64)
            ax.plot(t, 2.5 * distance[last // 4] * slope[1] ** (t - last // 4), color=INK, ls="--", lw=1)
    ax.set(yscale="log", xlim=(0, 1.5 * last))
    ax.set(xlabel="step of the optimiser", ylabel="distance to the construction")
    ax.set_xticks(range(0, last + 1, 50))
    _end_axis(ax, 0, last)
    alt = f"Distances to the construction: {'; '.join(told)}. The line of {slope[0]} runs along its dashed prediction."
    return fig, alt


@styled
def noise_floor(
    rates: Sequence[float], measured: Mapping[int, Sequence[float]], predicted: Mapping[int, Sequence[float]]
) -> tuple[Figure, str]:
    """Return the error at which SGD settles, by learning rate, for several numbers of prompts a step; theory dashed."""
    fig, axes = canvas(height=2.9)
    ax, told = axes[0, 0], []
    for (batch, errors), marker in zip(measured.items(), "os^", strict=False):
        ax.plot(rates, predicted[batch], color=INK, ls="--", lw=1.1)
        ax.plot(rates, errors, marker, color=COLORS["layer"], ms=6)
        label_line(ax, rates[-1] * 1.06, errors[-1], f"{batch} prompts\na step", COLORS["layer"], fontsize=9)
        told.append(f"{batch} prompts a step: {errors[0]:.2g} at {rates[0]:g} to {errors[-1]:.2g} at {rates[-1]:g}")
    worst = max(abs(m / p - 1) for k in measured for m, p in zip(measured[k], predicted[k], strict=True))
    ax.set(xscale="log", yscale="log", xlim=(rates[0] * 0.85, rates[-1] * 2.2))
    ax.set(xlabel="learning rate", ylabel="error of an entry (rms)")
    ax.set_xticks(rates, [f"{r:g}" for r in rates])
    ax.set_yticks([0.01, 0.02, 0.05], ["0.01", "0.02", "0.05"])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0.009, 0.08)
    _end_axis(ax, rates[0], rates[-1])
    alt = f"Error by learning rate. {'; '.join(told)}. The dashed prediction is missed by {_share(worst)} at most."
    return fig, alt


@styled
def memorised(
    counts: Sequence[int],
    distances: Mapping[int, Sequence[float]],
    losses: Mapping[int, Sequence[float]],
    threshold: int,
) -> tuple[Figure, str]:
    """Return training loss and distance to the construction by the number of training prompts, a dot a seed."""
    fig, axes = canvas(2, 1, height=4.0)
    for ax, values, label in ((axes[0, 0], losses, "training loss"), (axes[1, 0], distances, "distance")):
        for count in counts:
            for k, value in enumerate(values[count]):
                x = count + 0.12 * (k - (len(values[count]) - 1) / 2)
                ax.plot(
                    x, max(value, 1e-34 if ax is axes[0, 0] else 1e-17), "o", color=COLORS["layer"], ms=4.5, alpha=0.8
                )
        ax.axvline(threshold - 0.5, color=INK, lw=1, ls="--")
        ax.set(yscale="log", ylabel=label, ylim=(1e-35 if label == "training loss" else 1e-17, 1e2))
        ax.set_xticks(counts)
    axes[0, 0].xaxis.set_major_formatter(NullFormatter())
    axes[0, 0].annotate(
        "fewer equations\nthan unknowns", (threshold - 0.6, 1e-7), ha="right", va="center", fontsize=9, color=INK
    )
    axes[1, 0].set_xlabel("prompts in the training set")
    worst = max(max(losses[c]) for c in counts if c != threshold)
    few = min(min(distances[c]) for c in counts if c < threshold)
    many = max(max(distances[c]) for c in counts if c > threshold)
    alt = (
        f"Above, the training loss, at most {worst:.0e} for all counts but {threshold}. Below, the distance "
        f"to the construction: at least {few:.1g} with fewer than {threshold} prompts, at most {many:.0e} with more."
    )
    return fig, alt


@styled
def precisions(runs: Mapping[str, tuple[str, Float[Tensor, "T+1 B"]]], frozen: tuple[int, int]) -> tuple[Figure, str]:
    """Return the share of the max margin by loop, name -> (color, share), medians; the loops ``frozen`` shaded."""
    fig, axes = canvas(height=3.0)
    ax, told = axes[0, 0], []
    for (name, (color, share)), line in zip(runs.items(), LINES, strict=False):
        t = _sparse(len(share) - 1)
        mid = share[t].median(-1).values
        ax.plot(t, mid, color=COLORS[color], ls=line, label=name)
        told.append(f"{name} {float(mid[-1]):.2f}")
    ax.axvspan(*frozen, color=INK, alpha=0.15, lw=0)
    ax.axhline(1, color=INK, lw=0.8)
    ax.set(xscale="log", ylim=(-0.35, 1.08), xlabel="loops", ylabel="share of the max margin")
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(0, 0.92), handlelength=2.8)
    alt = (
        f"Median share of the max margin after {int(t[-1])} loops: {'; '.join(told)}. The lines part "
        f"in the shaded loops, {frozen[0]} to {frozen[1]}."
    )
    return fig, alt
