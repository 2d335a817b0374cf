"""Figures of the chapter "Training one layer": matrices that grow into a step, the loss they descend, and how fast."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.colors import LinearSegmentedColormap, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter
from torch import Tensor

from ..seed_bands import Band, worst_distance
from ..training import TrainingRun
from .base import COLORS, INK, canvas, label_line, styled

BLIND = {"score": ((0, 0), (0, 1), (1, 1)), "value": ((1, 0), (1, 1))}
"""The (column, row) of the d x d blocks that no prompt's output depends on."""

FADE = LinearSegmentedColormap.from_list("clear_to_ink", [to_rgba(INK, 0.0), to_rgba(INK, 0.75)])
LINES = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))


def _signed(matrix: Tensor) -> np.ndarray:
    """An RGBA image: blue for positive entries, orange for negative ones, the fainter the nearer to 0."""
    image = np.empty((*matrix.shape, 4))
    image[..., :3] = np.where(matrix[..., None] > 0, to_rgb(COLORS["+1"]), to_rgb(COLORS["-1"]))
    image[..., 3] = matrix.abs().clamp_max(1.0)
    return image


@styled
def block_history(run: TrainingRun, steps: Sequence[int]) -> tuple[Figure, str]:
    """Return the score and the value matrix at ``steps``, snapshots of the run; untaught blocks are hatched."""
    shots, d = {step: run.snapshots[step] for step in steps}, run.layer.d
    fig, axes = canvas(2, len(shots), height=2.6)
    for column, (step, pair) in enumerate(shots.items()):
        for ax, matrix, (name, symbol) in zip(
            axes[:, column], pair, (("score", "$W_{QK}$"), ("value", "$W_V$")), strict=True
        ):
            ax.imshow(_signed(matrix), interpolation="nearest", extent=(0, 2 * d, 2 * d, 0))
            for x, y in BLIND[name]:
                ax.add_patch(Rectangle((x * d, y * d), d, d, fc=to_rgba(INK, 0.15), lw=0))
                ax.add_patch(Rectangle((x * d, y * d), d, d, fc="none", ec=INK, hatch="/////", lw=0))
            ax.axhline(d, color=INK, lw=0.5), ax.axvline(d, color=INK, lw=0.5)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, lw=0.5)
            if column == 0:
                ax.set_ylabel(symbol, rotation=0, ha="right", va="center")
        axes[0, column].set_title(f"step {step}")
    first, (last_step, last) = next(iter(shots.values()))[0], list(shots.items())[-1]
    ends = (float(last[0][:d, d:].diagonal().mean()), float(last[1][d:, :d].diagonal().mean()))
    taught = torch.cat(
        [last[0][:d, d:] - ends[0] * torch.eye(d), last[1][d:, :d] - ends[1] * torch.eye(d), last[1][:d, :d]]
    )
    alt = (
        f"Score and value matrix at steps {', '.join(map(str, shots))}. At step {next(iter(shots))} all entries are "
        f"small, the largest {float(first.abs().max()):.2f}. At step {last_step} the score matrix has {ends[0]:.2f} on "
        f"the diagonal of its context-key, state-query block, the value matrix {ends[1]:.2f} on the diagonal of its "
        f"context-to-state block, and what else can be learnt is {float(taught.abs().max()):.0e} at most. Hatched: the "
        "three other blocks of the score matrix and the right half of the value matrix."
    )
    return fig, alt


@styled
def distances(
    runs: Mapping[str, TrainingRun], bands: Mapping[str, Band] | None = None, targets: Sequence[float] = ()
) -> tuple[Figure, str]:
    """Return distances to the construction over the optimiser's steps, one line a run; shipped bands shaded."""
    fig, axes = canvas(height=3.0)
    ax, told = axes[0, 0], []
    styles = iter(LINES)
    for name, run in runs.items():
        distance = worst_distance(run).clamp_min(1e-16)
        ax.plot(distance, color=COLORS["layer"], ls=next(styles), label=name)
        low = int((distance < 1e-6).int().argmax()) if (distance < 1e-6).any() else "no step"
        told.append(f"{name} passes 1e-6 at {low} and ends at {float(distance[-1]):.0e}")
    for name, band in (bands or {}).items():
        ax.fill_between(band.steps, *(10.0**v for v in (band.low, band.high)), color=COLORS["layer"], alpha=0.3, lw=0)
        ax.plot(band.steps, 10**band.median, color=COLORS["layer"], ls=next(styles), label=name)
        k = int((band.median < -6).int().argmax())
        told.append(f"{name} passes it near {band.steps[k]} and ends near {10 ** float(band.median[-1]):.0e}")
    for target in targets:
        ax.axhline(target, color=INK, lw=0.8, ls=":")
    ax.set(yscale="log", ylim=(3e-17, 6), xlabel="step of the optimiser", ylabel="distance to the construction")
    ax.legend(loc="upper right", fontsize=9)
    alt = f"Straight lines downwards on a logarithmic axis: {'; '.join(told)}."
    return fig, alt


@styled
def landscape(
    a: Float[Tensor, " A"],
    b: Float[Tensor, " K"],
    losses: Mapping[str, Float[Tensor, "A K"]],
    paths: Mapping[str, Sequence[np.ndarray]],
) -> tuple[Figure, str]:
    """Return maps of the loss over (b, a), both logarithmic, with the paths [2, steps] of gradient flow drawn in.

    The construction is at (1, 1); dashed, the curve ab = 1.
    """
    fig, axes = canvas(1, len(losses), height=2.9)
    levels = np.linspace(-3, 2, 11)
    for ax, (title, loss) in zip(axes[0], losses.items(), strict=True):
        shade = loss.clamp(1e-3, 99.0).log10()
        ax.contourf(b, a, shade, levels=levels, cmap=FADE.reversed()).set_rasterized(True)
        for x, y in paths[title]:
            ax.plot(y, x, color=COLORS["layer"], lw=1.3)
            ax.plot(y[0], x[0], "o", color=COLORS["layer"], ms=3.5)
        ax.plot(b, 1 / b, "--", color=INK, lw=1)
        ax.plot(1, 1, "*", color=COLORS["-1"], ms=11, zorder=5)
        ax.set(xscale="log", yscale="log", xlim=(b[0], b[-1]), ylim=(a[0], a[-1]), title=title)
        ax.set_xlabel("$b$ (score matrix $-bI$)")
    axes[0, 0].set_ylabel("$a$ (value matrix $aI$)")
    for ax in axes[0, 1:]:
        ax.yaxis.set_major_formatter(NullFormatter())
    ends = [float(np.abs(p[:, -1] - 1).max()) for group in paths.values() for p in group]
    alt = (
        f"Maps of the one-step loss, most shaded where it is least, at the star at a = b = 1, with the curve ab = 1. "
        f"{sum(e < 0.05 for e in ends)} of {len(ends)} paths of gradient flow end at the star: those from large a or b "
        "fall to the bottom of a valley and follow it, those from small a and b at most 1 climb to it directly."
    )
    return fig, alt


@styled
def valley(b: Float[Tensor, " K"], floors: Mapping[str, Float[Tensor, " K"]]) -> tuple[Figure, str]:
    """Return the least loss over a, as a function of b of either sign, for each context in ``floors``."""
    fig, axes = canvas(height=2.9)
    ax, told = axes[0, 0], []
    for (name, floor), line in zip(floors.items(), LINES, strict=False):
        ax.plot(b, floor, color=COLORS["layer"], ls=line, label=name)
        low, ridge = int(floor.argmin()), int(floor.argmax())
        told.append(
            f"{name}: {float(floor[0]):.2f} at b = {float(b[0]):.0f}, a ridge of {float(floor[ridge]):.2f} at "
            f"b = {float(b[ridge]):.1f}, {float(floor[low]):.2f} at b = {float(b[low]):.1f}, {float(floor[-1]):.2f} "
            "at the right end"
        )
    ax.set_xscale("asinh", linear_width=1.0)
    ax.axvline(1, color=INK, lw=0.8, ls=":")
    ax.set(xlabel="$b$ (score matrix $-bI$)", ylabel="least loss over $a$", ylim=(0, None))
    ax.set_xticks([-30, -10, -1, 0, 1, 10, 30], ["$-30$", "$-10$", "$-1$", "0", "1", "10", "30"])
    ax.legend(fontsize=9)
    alt = f"The floor of the valley. {'; '.join(told)}."
    return fig, alt


@styled
def linear_rates(runs: Mapping[float, TrainingRun], rates: Mapping[float, float]) -> tuple[Figure, str]:
    """Return full-batch distances at learning rates given as shares of the edge, with the predicted slopes dashed."""
    fig, axes = canvas(height=3.0)
    ax, told = axes[0, 0], []
    for (share, run), line in zip(runs.items(), LINES, strict=False):
        distance = worst_distance(run)
        ax.plot(distance.clamp_min(1e-16), color=COLORS["layer"], ls=line, lw=1.5, label=f"{share:g} of the edge")
        start = 60
        t = torch.arange(start, len(distance), dtype=torch.float64)
        dashed = 2.5 * distance[start] * rates[share] ** (t - start)
        keep = (dashed > 1e-15) & (rates[share] < 1)
        ax.plot(t[keep], dashed[keep], color=INK, ls="--", lw=1)
        told.append(f"at {share:g} of the edge the last distance is {float(distance[-1]):.0e}")
    ax.set(yscale="log", ylim=(1e-16, 6), xlabel="step of full-batch descent", ylabel="distance to the construction")
    ax.legend(fontsize=9, loc="lower left")
    alt = (
        f"Distances over the steps: {'; '.join(told)}. Below the edge the dashed predicted "
        "slopes, drawn 2.5 times too high, run parallel."
    )
    return fig, alt


@styled
def noisy_edge(
    batches: Sequence[int], limits: Sequence[float], tried: Sequence[tuple[int, float, bool]]
) -> tuple[Figure, str]:
    """Return the mean-square limit of the learning rate by batch size, with runs whose error shrank or grew.

    limits, and the second entry of each of ``tried`` (batch, learning rate, shrank), are shares of 2 / lambda_max.
    """
    fig, axes = canvas(height=2.8)
    ax = axes[0, 0]
    ax.plot(batches, limits, color=COLORS["layer"], ls="--")
    ax.axhline(1, color=INK, lw=0.8, ls=":")
    label_line(ax, batches[0], 0.92, "edge of full-batch descent", INK)
    for good, marker, color in ((True, "o", COLORS["layer"]), (False, "x", COLORS["sink"])):
        points = [(m, share) for m, share, ok in tried if ok is good]
        if points:
            label = "error shrank" if good else "error grew"
            ax.plot(*zip(*points, strict=True), marker, color=color, ms=6, label=label)
    ax.set(xscale="log", xlabel="prompts a step", ylabel="learning rate / edge", ylim=(0, 1.3))
    ax.set_xticks(batches, [str(m) for m in batches])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    below = [ok for m, share, ok in tried if share < limits[batches.index(m)]]
    alt = (
        f"The mean-square limit rises from {limits[0]:.2f} of the full-batch edge with {batches[0]} prompt a step to "
        f"{limits[-1]:.2f} with {batches[-1]}. Of {len(below)} runs below it {sum(below)} shrank; of "
        f"{len(tried) - len(below)} above it {sum(ok for *_, ok in tried) - sum(below)} did."
    )
    return fig, alt


@styled
def optimisers(
    runs: Mapping[str, TrainingRun], colors: Mapping[str, str], dotted: Collection[str] = ()
) -> tuple[Figure, str]:
    """Return distances to the construction over the steps, one line an optimiser, labelled at its end."""
    fig, axes = canvas(height=3.0)
    ax, told, height, low = axes[0, 0], [], math.inf, 1.0
    for name, run in sorted(runs.items(), key=lambda item: -item[1].final_distance):
        distance = torch.cat([worst_distance(run), torch.tensor([run.final_distance])]).clamp_min(1e-16)
        ax.plot(distance, color=colors[name], lw=1.5, ls=LINES[2] if name in dotted else "-")
        low, height = min(low, float(distance.min())), min(float(distance[-5:].median()), height / 3.5)  # labels apart
        label_line(ax, len(distance), height, name, colors[name])
        told.append(f"{name} {float(distance[-1]):.0e}")
    ax.set(yscale="log", xlim=(0, 1.4 * len(distance)), ylim=(low / 5, 6))
    ax.set_xticks(range(0, len(distance), 20))
    ax.set(xlabel="step of the optimiser", ylabel="distance to the construction")
    alt = f"Distances after {len(distance) - 1} steps: {'; '.join(reversed(told))}."
    return fig, alt


@styled
def one_direction(paths: Mapping[str, Float[Tensor, "T d"]], steps: Sequence[int]) -> tuple[Figure, str]:
    """Return the diagonal entries of -A over training, one panel each: the first coordinate against the others."""
    fig, axes = canvas(1, len(paths), height=2.7)
    told = []
    for ax, (title, entries) in zip(axes[0], paths.items(), strict=True):
        others = ax.plot(steps, entries[:, 1:], color=COLORS["layer"], lw=1.2)
        first = ax.plot(steps, entries[:, 0], color=COLORS["sink"], lw=2.5, ls=LINES[2])
        apart = (entries[:, 0] - entries[:, 1:].mean(-1)).abs()
        spread = entries[:, 1:].std(-1)
        told.append(
            f"{title.replace('$', '')}: the first entry departs from the others by up to {float(apart.max()):.2f}"
        )
        told.append(f"they from one another by {float(spread.max()):.2f}")
        low, high = float(entries[-1].min()), float(entries[-1].max())
        told.append(f"at the last step all lie between {low:.2f} and {high:.2f}")
        ax.set(title=title, xlabel="step", ylim=(-0.05, 1.1))
        ax.axhline(1, color=INK, lw=0.8, ls=":")
    axes[0, 0].set_ylabel("diagonal of $-A$")
    axes[0, -1].legend([first[0], others[0]], ["first entry", "the others"], fontsize=9, loc="lower right")
    for ax in axes[0, 1:]:
        ax.yaxis.set_major_formatter(NullFormatter())
    alt = f"Diagonal entries of -A during training. {'; '.join(told)}."
    return fig, alt


@styled
def seed_band(bands: Mapping[str, Band], yours: Mapping[str, Sequence[float]]) -> tuple[Figure, str]:
    """Return a reader's curve of log10 distances on the shipped band, both divided by the shipped median."""
    fig, axes = canvas(1, len(bands), height=2.9)
    told = []
    for ax, (title, band) in zip(axes[0], bands.items(), strict=True):
        low, high, mine = (
            10 ** (v - band.median)
            for v in (band.low - 0.01, band.high + 0.01, torch.tensor(yours[title], dtype=torch.float64))
        )  # as Band.inside judges: 0.01 for the digits that are kept
        ax.fill_between(band.steps, low, high, color=COLORS["layer"], alpha=0.35, lw=0)
        ax.axhline(1, color=COLORS["layer"], lw=1)
        ax.plot(band.steps, mine, "o", color=INK, ms=3.5)
        inside = band.inside(yours[title])
        told.append(f"{title}: {inside} of {len(band.steps)} points inside the band of {len(band.curves)} seeds")
        ax.set(title=f"{title}, {len(band.curves)} seeds", xlabel="step of the optimiser")
        widest = max(float(high.max() / low.min()), 1.0)
        told.append(f"there the band spans a factor of {widest:.1f} at most")
    axes[0, 0].set_ylabel("distance / shipped median")
    alt = f"The shipped band is a ribbon around 1, and the new run lies as dots on it. {'; '.join(told)}."
    return fig, alt
