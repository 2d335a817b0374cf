"""Figures of the chapter "A prompt is a data set": boundaries in the plane, errors on real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .. import validate
from ..looped import Stacked
from ..metrics import Interval
from ..tasks import Prompts
from .base import COLORS, INK, canvas, styled

MARKERS = {1: "o", -1: "X"}
METHODS = {"layer": ("attention layer", "o"), "logistic": ("logistic regression", "s"), "svm": ("linear SVM", "D")}
"""Name and marker of each method, in the order of drawing."""


@styled
def boundary_by_depth(model: Stacked, prompts: Prompts, depths: Sequence[int] = (0, 1, 5, 50)) -> tuple[Figure, str]:
    """Return the model's decision boundary on the first prompt (d = 2) after each number of layers in ``depths``."""
    if prompts.x.shape[-1] != 2:
        raise validate.fail("prompts", f"points in R^{prompts.x.shape[-1]}", "points in R^2, which can be drawn")
    if not all(0 <= depth <= model.depth for depth in depths):
        raise validate.fail("depths", list(depths), f"depths of the model, 0 to {model.depth}")
    x, y, path = prompts.x[0].numpy(), prompts.y[0].numpy(), model.iterates(prompts)[:, 0].numpy()
    reach = np.abs(x).max(0) + 0.12 * np.abs(x).max()
    rows = -(-len(depths) // 2)
    fig, axes = canvas(rows, 2, height=0.35 + rows * (0.4 + 2.4 * reach[1] / reach[0]))
    told = []
    for ax, depth in zip(axes.flat, depths, strict=False):
        wrong = y * (x @ path[depth]) <= 0
        title, words = _in_words(depth, wrong, path[depth])
        _half_planes(ax, path[depth])
        ax.scatter(0, 0, s=30, c=INK, marker="+", linewidths=1.2, zorder=2)
        for sign, marker in MARKERS.items():
            ax.scatter(*x[y == sign].T, s=34, c=COLORS[f"{sign:+d}"], marker=marker, linewidths=0, zorder=3)
        if path[depth].any():
            ax.scatter(*x[wrong].T, s=130, facecolors="none", edgecolors=INK, linewidths=1.4, zorder=4)
        ax.set(xlim=(-reach[0], reach[0]), ylim=(-reach[1], reach[1]), xticks=[], yticks=[], title=title)
        ax.set_aspect("equal")
        ax.spines[:].set(visible=True, alpha=0.5)
        told.append(words)
    for ax in axes.flat[len(depths) :]:
        ax.set_axis_off()
    dots = [
        Line2D([], [], ls="", marker=m, mew=0, ms=6.5, color=COLORS[f"{s:+d}"], label=f"label ${s:+d}$")
        for s, m in MARKERS.items()
    ]
    ring = Line2D([], [], ls="", marker="o", ms=11, mfc="none", mec=INK, mew=1.4, label="on the wrong side")
    fig.legend(handles=[*dots, ring], loc="outside lower center", ncols=3, handletextpad=0.3, columnspacing=1.6)
    alt = f"A prompt of {len(y)} labelled points in the plane, and the line that separates the two predictions of the "
    return fig, alt + "looped attention layer. " + "; ".join(told) + ". Each line passes through the origin."


def _in_words(depth: int, wrong: np.ndarray, w: np.ndarray) -> tuple[str, str]:
    """The panel's title, and its part of the alternative text."""
    layers = f"{depth} layer{'s' * (depth != 1)}"
    if not w.any():
        return f"{layers}: no boundary", f"After {layers} there is no line"
    angle = np.degrees(np.arctan2(w[1], w[0])) % 360
    words = f"after {layers} {wrong.sum()} of {len(wrong)} points are on the wrong side"
    return f"{layers}: {wrong.sum()} of {len(wrong)} wrong", f"{words}, and +1 is predicted towards {angle:.0f} degrees"


def _half_planes(ax: Axes, w: np.ndarray) -> None:
    """Draw the line <w, x> = 0 and tint the two sides; nothing at w = 0, where every decision value is 0."""
    if not w.any():
        return
    normal = w / np.linalg.norm(w)
    along, far = np.array([-normal[1], normal[0]]), 10.0
    for sign in MARKERS:
        corners = [far * along, -far * along, far * (sign * normal - along), far * (sign * normal + along)]
        ax.fill(*np.array(corners).T, color=COLORS[f"{sign:+d}"], alpha=0.16, lw=0, zorder=0)
    ax.plot(*np.array([far * along, -far * along]).T, color=INK, lw=2, zorder=2)


@styled
def error_by_examples(counts: Sequence[int], errors: Mapping[str, Mapping[str, Interval]]) -> tuple[Figure, str]:
    """Return the error on new points against the number of examples: a panel a task, a line a method.

    errors: task -> method ("layer", "logistic", "svm") -> interval of error rates, one for each number in ``counts``.
    """
    rows = -(-len(errors) // 2)
    fig, axes = canvas(rows, 2, height=0.5 + 1.75 * rows)
    top = 100 * max(float(interval.high.max()) for task in errors.values() for interval in task.values())
    told = []
    for index, (ax, (task, methods)) in enumerate(zip(axes.flat, errors.items(), strict=False)):
        for method, interval in methods.items():
            name, marker = METHODS[method]
            mean, low, high = (100 * part.numpy() for part in interval)
            front = 3 if method == "layer" else 2
            ax.fill_between(counts, low, high, color=COLORS[method], alpha=0.12, lw=0)
            ax.plot(counts, mean, color=COLORS[method], marker=marker, ms=4, lw=1.5, label=name, zorder=front)
            told.append(f"{task}, {name}: " + ", ".join(f"{value:.1f}" for value in mean))
        ax.set_xscale("log", base=2)
        ax.set(title=task, xticks=counts, xticklabels=counts, ylim=(0, 1.05 * top))
        ax.grid(axis="y")
        last = index >= len(errors) - 2
        ax.tick_params(labelbottom=last)
        if last:
            ax.set_xlabel("examples in the prompt, $n$")
        if index % 2 == 0:
            ax.set_ylabel("error, %")
    for ax in axes.flat[len(errors) :]:
        ax.set_axis_off()
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1.2)
    alt = f"Error on new points, in percent, with {', '.join(map(str, counts))} examples in the prompt. "
    return fig, alt + "; ".join(told) + "."


@styled
def error_by_depth(
    depths: Sequence[int],
    fresh: Mapping[str, Interval],
    context: Mapping[str, Float[Tensor, " T"]],
    fitted: Mapping[str, Mapping[str, float]],
) -> tuple[Figure, str]:
    """Return the layer's error against depth, on new points and on the prompt's own, beside the fitted methods.

    fresh: task -> interval of error rates on new points, one for each of ``depths``; context: task -> error rates on
    the prompt's own points; fitted: task -> method ("logistic", "svm") -> its error rate on new points.
    """
    fig, axes = canvas(1, len(fresh), height=3.1)
    told = []
    for ax, task in zip(axes.flat, fresh, strict=True):
        mean, low, high = (100 * part.numpy() for part in fresh[task])
        own = 100 * context[task].numpy()
        ax.fill_between(depths, low, high, color=COLORS["layer"], alpha=0.15, lw=0)
        ax.plot(depths, mean, color=COLORS["layer"], marker="o", ms=3.5, label="attention layer, new points")
        ax.plot(
            depths, own, color=COLORS["layer"], lw=1, marker=".", ms=4, label="attention layer, the prompt's points"
        )
        told.append(f"{task}: on new points {_ends(depths, mean)}, on the prompt's own points {_ends(depths, own)}")
        for method, error in fitted[task].items():
            words, marker = METHODS[method]
            style = {"color": COLORS[method], "lw": 1.5, "marker": marker, "ms": 4, "markevery": (1, 4)}
            ax.plot(depths, [100 * error] * len(depths), label=f"{words}, new points", **style)
            told[-1] += f"; {words} {100 * error:.1f}"
        ax.set_xscale("log")
        ticks = [depth for depth in depths if np.log10(depth) % 1 == 0]
        ax.set(title=task, xlabel="layers", xticks=ticks, xticklabels=ticks, ylim=(-0.3, None))
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(axis="y")
    axes[0, 0].set_ylabel("error, %")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return fig, "Error of the looped attention layer against the number of layers, in percent. " + ". ".join(told) + "."


def _ends(depths: Sequence[int], error: np.ndarray) -> str:
    best = int(error.argmin())
    least = f"lowest {error[best]:.1f} at depth {depths[best]}"
    return f"{error[0]:.1f} at depth {depths[0]}, {least}, {error[-1]:.1f} at depth {depths[-1]}"
