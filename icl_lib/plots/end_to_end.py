"""Figures of the chapter "Trained end to end": what a transformer does that was taught nothing but final answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from torch import Tensor

from ..metrics import Interval
from .base import COLORS, INK, canvas, styled

LOOKS = {
    "NGD": ("layer", "-"),
    "logistic GD": ("logistic", (0, (5, 1))),
    "momentum": ("momentum", "-."),
    "max margin": ("svm", "--"),
    "averaging": ("chance", ":"),
    "Bayes": ("chance", "--"),
    "Bayes point": ("chance", (0, (1, 1))),
    "trained": ("end to end", "-"),
    "untrained": ("end to end", ":"),
}
"""Method -> colour and dashes, the same in every figure of the chapter."""
MARKS = {1: "o", 2: "s", 4: "D"}
"""Number of blocks -> marker of a trained transformer."""
DASHES = {1: ":", 2: "--", 4: "-"}
"""Number of blocks -> line."""


def _blocks(depth: int) -> str:
    return f"{depth} block" + "s" * (depth > 1)


def _plain(axis: object, at: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(list(at)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _line(ax: Axes, x: Sequence[float], y: Interval, name: str, label: str | None = None) -> None:
    color, dashes = LOOKS[name]
    ax.fill_between(x, y.low, y.high, color=COLORS[color], alpha=0.18, lw=0)
    ax.plot(x, y.mean, color=COLORS[color], ls=dashes, label=label or name)


def _said(x: Sequence[float], y: Interval, digits: int = 3) -> str:
    return f"{float(y.mean[0]):.{digits}f} at {x[0]:g} and {float(y.mean[-1]):.{digits}f} at {x[-1]:g}"


@styled
def errors_by_layers(
    steps: Sequence[int],
    methods: Mapping[str, Interval],
    trained: Mapping[int, Interval],
    levels: Mapping[str, float],
) -> tuple[Figure, str]:
    """Return the error of step-by-step methods [K] against steps, of trained transformers against their blocks.

    methods: name in LOOKS -> interval for each of the ``steps``; trained: blocks -> interval of one number; levels:
    name in LOOKS -> an error without depth, a horizontal line.
    """
    fig, axes = canvas(height=3.4)
    ax = axes[0, 0]
    for name, level in levels.items():
        ax.axhline(level, color=COLORS[LOOKS[name][0]], ls=LOOKS[name][1], lw=1.3)
        ax.text(steps[-1] * 1.08, level, name, color=COLORS[LOOKS[name][0]], va="center")
    for name, interval in methods.items():
        _line(ax, steps, interval, name)
    color = COLORS["end to end"]
    for depth, e in trained.items():
        bar = [[float(e.mean - e.low)], [float(e.high - e.mean)]]
        ax.errorbar([depth], [float(e.mean)], bar, fmt=MARKS[depth], color=color, ms=6, capsize=3, zorder=4)
    under = (steps[0], min([float(trained[max(trained)].low), *levels.values()]))  # no line of a level through it
    ax.annotate("trained end to end", under, (0, -3), textcoords="offset points", color=color, va="top")
    ax.set(xscale="log", xlabel="steps, or blocks of the transformer", ylabel="error on new points")
    ax.set_xlim(right=steps[-1])
    _plain(ax.xaxis, [1, 2, 4, 10, 30, 100, 300, 1000])
    ax.legend(loc="upper right")
    ax.grid(True)
    said = "; ".join(f"{name}: {_said(steps, e)} steps" for name, e in methods.items())
    dots = ", ".join(f"{float(e.mean):.3f} with {_blocks(d)}" for d, e in trained.items())
    lines = ", ".join(f"{name} {level:.3f}" for name, level in levels.items())
    return fig, f"Error against depth. {said}. Trained transformers: {dots}. Horizontal lines: {lines}."


@styled
def training_losses(
    shipped: Mapping[int, Sequence[Float[Tensor, " steps"]]], mine: Float[Tensor, " steps"], every: int
) -> tuple[Figure, str]:
    """Return losses, means over ``every`` steps: of shipped runs (blocks -> a run a seed), and of the reader's own.

    Shipped ones are averaged over four times as many steps; lines are means over seeds, areas reach from least to most.
    """
    fig, axes = canvas(height=2.9)
    ax, said = axes[0, 0], []

    def smooth(loss: Tensor, every: int) -> tuple[np.ndarray, Tensor]:
        means = loss[..., : loss.shape[-1] // every * every].unflatten(-1, (-1, every)).mean(-1)
        return (np.arange(means.shape[-1]) + 0.5) * every, means

    for depth, runs in shipped.items():
        x, y = smooth(torch.stack(list(runs)), 4 * every)
        ax.fill_between(x, y.amin(0), y.amax(0), color=COLORS["end to end"], alpha=0.18, lw=0)
        ax.plot(x, y.mean(0), color=COLORS["end to end"], ls=DASHES[depth], label=_blocks(depth))
        said.append(f"{_blocks(depth)}: {float(y[:, -1].mean()):.3f} at the end")
    right = float(x[-1])
    x, y = smooth(mine, every)
    ax.plot(x, y, color=INK, lw=2.4, label="yours")
    ax.axhline(np.log(2), color=INK, ls=":", lw=1)
    ax.text(0.1 * right, 0.68, "guessing", va="top")
    ax.set(xlabel="step of training", ylabel="loss on answers")
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
    ax.grid(True)
    return fig, (
        f"Loss against training step, three seeds each: {', '.join(said)}. The reader's own small model goes from "
        f"{float(y[0]):.3f} to {float(y[-1]):.3f} in {len(mine)} steps. Guessing has log 2 = 0.693."
    )


@styled
def answer_maps(panels: Mapping[str, Float[Tensor, "G G"]], reach: float) -> tuple[Figure, str]:
    """Return level lines of the chance of +1 over a square of queries, one panel a method; row i is the i-th height."""
    fig, axes = canvas(1, len(panels), height=2.15)
    levels, said = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98), []
    for ax, (name, chance) in zip(axes[0], panels.items(), strict=True):
        at = torch.linspace(-reach, reach, len(chance))
        ax.contourf(at, at, chance, levels=[-1, 0.5], colors=[COLORS["-1"]], alpha=0.10)
        ax.contourf(at, at, chance, levels=[0.5, 2], colors=[COLORS["+1"]], alpha=0.10)
        widths = [2.2 if level == 0.5 else 1.0 for level in levels]
        ax.contour(at, at, chance, levels=levels, colors=INK, linewidths=widths, linestyles="-")
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set_title(name)
        open_share = ((chance > 0.02) & (chance < 0.98)).double().mean(-1)
        middle, edge = float(open_share[len(chance) // 2]), float(open_share[[0, -1]].mean())
        said.append(f"{name}: {middle:.0%} at middle height, {edge:.0%} at the upper and lower edge")
    return fig, (
        "Level lines of the chance of +1 over a plane of queries, at 2, 10, 30, 50 (thick), 70, 90 and 98 percent. "
        f"Share of the queries between 2 and 98 percent: {'; '.join(said)}."
    )


@styled
def answers_along_rays(factors: Sequence[float], answers: Mapping[str, Interval]) -> tuple[Figure, str]:
    """Return the answer to a query ``factors`` times as long, over the answer to the query itself, for each method."""
    fig, axes = canvas(height=2.9)
    ax, said = axes[0, 0], []
    for name, interval in answers.items():
        base = name.split(",")[0]
        _line(ax, factors, interval, base, name)
        said.append(f"{name}: {_said(factors, interval, 2)}")
    ax.plot([1], [1], "o", color=INK, ms=5, zorder=5)
    ax.set(xscale="log", yscale="log", xlabel="the query's length, times c", ylabel="logit, over that at c = 1")
    for axis, at in ((ax.xaxis, factors), (ax.yaxis, (0.125, 0.25, 0.5, 1, 2, 4, 8))):
        _plain(axis, at)
    ax.legend(loc="upper left")
    ax.grid(True)
    return fig, f"Size of the logit as the query alone is made longer, relative to c = 1. {'; '.join(said)}."


@styled
def nearest_depth(
    steps: Sequence[int],
    panels: Mapping[str, Mapping[int, Interval]],
    levels: Mapping[str, Mapping[str, float]],
) -> tuple[Figure, str]:
    """Return the cosine of trained sensitivities with NGD's classifier after each of ``steps`` steps, a panel a kind.

    panels: title -> blocks -> interval [K]; levels: title -> name in LOOKS (or "ceiling") -> cosine of the deepest
    transformer with it, a horizontal line.
    """
    fig, axes = canvas(1, len(panels), height=3.3)
    said = []
    for ax, (title, curves) in zip(axes[0], panels.items(), strict=True):
        for depth, cosine in curves.items():
            color = COLORS["end to end"]
            ax.fill_between(steps, cosine.low, cosine.high, color=color, alpha=0.18, lw=0)
            ax.plot(steps, cosine.mean, color=color, ls=DASHES[depth], label=_blocks(depth))
            best = int(cosine.mean.argmax())
            ax.plot([steps[best]], [float(cosine.mean[best])], MARKS[depth], color=color, ms=5)
            said.append(f"{title}, {_blocks(depth)}: largest {float(cosine.mean[best]):.3f}, after {steps[best]} steps")
        for name, level in levels[title].items():
            color, dashes = LOOKS.get(name, ("chance", "-"))
            ax.axhline(level, color=COLORS[color], ls=dashes, lw=1.2)
            left = name != "max margin"  # that one's left end lies under the curves
            place = {"va": "bottom", "ha": "left"} if left else {"va": "top", "ha": "right"}
            at = (steps[0] if left else steps[-1], level)
            shift = (2, 2) if left else (0, -2)
            ax.annotate(name, at, shift, textcoords="offset points", color=COLORS[color], size=9, **place)
            said.append(f"{title}, {name}: {level:.3f}")
        ax.set(xscale="log", xlabel="steps of NGD")
        ax.set_title(title)
        _plain(ax.xaxis, [1, 10, 100, 1000])
        ax.grid(True)
    axes[0, 0].set_ylabel("cosine of sensitivities")
    low, high = axes[0, -1].get_ylim()
    axes[0, -1].set_ylim(bottom=low - 0.35 * (high - low))  # room for the legend
    axes[0, -1].legend(loc="lower right", fontsize=9)
    return fig, f"Cosine between sensitivities and NGD's classifier, against NGD's depth. {'; '.join(said)}."


@styled
def shifted_prompts(
    factors: Sequence[float],
    by_scale: Mapping[str, Interval],
    lengths: Sequence[int],
    by_length: Mapping[str, Interval],
    trained_up_to: int,
) -> tuple[Figure, str]:
    """Return errors where the whole prompt is ``factors`` times as large, and where contexts have other ``lengths``."""
    fig, axes = canvas(1, 2, height=3.1)
    for ax, x, curves in ((axes[0, 0], factors, by_scale), (axes[0, 1], lengths, by_length)):
        for name, interval in curves.items():
            _line(ax, x, interval, name)
        ax.set_xscale("log")
        ax.grid(True)
    for name, interval in by_length.items():
        if name not in by_scale:  # the legend on the left does not have it
            end, color = (lengths[-1], float(interval.mean[-1])), COLORS[LOOKS[name][0]]
            axes[0, 1].annotate(
                name, end, (0, -3), textcoords="offset points", color=color, ha="right", va="top", size=9
            )
    axes[0, 0].set(xlabel="all points times c", ylabel="error on new points")
    axes[0, 1].set(xlabel="points in the context, n", yscale="log")
    axes[0, 1].axvspan(lengths[0], trained_up_to, color=INK, alpha=0.1, lw=0)
    axes[0, 1].text(lengths[0] * 1.1, 0.02, "trained on", va="bottom")
    _plain(axes[0, 0].xaxis, factors[:: 2 if len(factors) > 5 else 1])
    _plain(axes[0, 1].xaxis, lengths[::2])
    _plain(axes[0, 1].yaxis, (0.01, 0.02, 0.05, 0.1, 0.2, 0.4))
    axes[0, 0].legend(loc="upper center", fontsize=9)
    scale = "; ".join(f"{name}: {_said(factors, e)}" for name, e in by_scale.items())
    length = "; ".join(f"{name}: {_said(lengths, e)}" for name, e in by_length.items())
    return fig, f"Errors. Left, all points multiplied by c: {scale}. Right, contexts of n points: {length}."


@styled
def lens(
    errors: Mapping[str, Interval], probes: Mapping[str, Interval], levels: Mapping[str, float]
) -> tuple[Figure, str]:
    """Return, block by block, the error of answers read off early, and how well the context's states hold directions.

    errors, probes: name -> interval [blocks + 1], before the first block and after each; levels: name in LOOKS -> an
    error, a horizontal line on the left.
    """
    fig, axes = canvas(1, 2, height=2.9)
    left, right = axes[0]
    blocks = list(range(len(next(iter(errors.values())).mean)))
    for name, interval in errors.items():
        _line(left, blocks, interval, name)
    for name, level in levels.items():
        left.axhline(level, color=COLORS[LOOKS[name][0]], ls=LOOKS[name][1], lw=1.2)
        left.text(blocks[-1], level, name, color=COLORS[LOOKS[name][0]], va="bottom", ha="right", size=9)
    for name, interval in probes.items():
        _line(right, blocks, interval, name)
    left.set(xlabel="after block", ylabel="error, read off early", ylim=(0, None))
    right.set(xlabel="after block", ylabel="cosine with linear read-out")
    left.legend(loc="upper right", fontsize=9)
    right.legend(loc="lower right", fontsize=9)
    for ax in (left, right):
        ax.set_xticks(blocks)
        ax.grid(True)
    said = "; ".join(f"{name}: {', '.join(f'{float(v):.2f}' for v in e.mean)}" for name, e in errors.items())
    held = "; ".join(f"{name}: {', '.join(f'{float(v):.2f}' for v in e.mean)}" for name, e in probes.items())
    return fig, f"Block by block. Error of the answer read off early: {said}. Cosine of a linear probe with: {held}."
