"""Figures of the chapter "Many classes, real data": regions, attention on pairs of classes, accuracy on real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from .. import validate
from ..metrics import Interval
from .base import COLORS, INK, canvas, frame, styled

CLASSES = ((COLORS["+1"], "o"), (COLORS["-1"], "X"), (COLORS["momentum"], "^"))
"""Colour and marker of each class of points in the plane."""

LOOKS = {
    "ngd": ("NGD layers", COLORS["layer"], "o", "-"),
    "momentum": ("momentum layers", COLORS["momentum"], "D", "-"),
    "logistic": ("logistic regression", COLORS["logistic"], "s", "-"),
    "svm": ("linear SVM", COLORS["svm"], "^", "-"),
    "nearest": ("nearest neighbour", INK, "x", "-"),
    "mean": ("nearest class mean", INK, "v", ":"),
    "balanced": ("logistic, classes reweighted", COLORS["logistic"], "P", ":"),
    "momentum, quadratic": ("momentum layers, quadratic", COLORS["momentum"], "D", ":"),
    "logistic, quadratic": ("logistic regression, quadratic", COLORS["logistic"], "s", ":"),
}
"""Method -> its name, colour, marker and line."""


def _answers(W: Float[Tensor, "K 3"], points: Float[Tensor, "M 2"]) -> Int[Tensor, " M"]:
    return (points @ W[:, :2].T + W[:, 2]).argmax(-1)


def _regions(ax: Axes, W: Float[Tensor, "K 3"], x: Float[Tensor, "n 2"], tint: float) -> None:
    """Tint the region of each answer and draw the lines between them."""
    frame(ax, x, 0.7)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    across = torch.linspace(left, right, 121, dtype=W.dtype)
    up = torch.linspace(low, high, 121, dtype=W.dtype)
    points = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).reshape(-1, 2)
    scores = points @ W[:, :2].T + W[:, 2]
    for k, (color, _) in enumerate(CLASSES[: len(W)]):
        others = torch.cat([scores[:, :k], scores[:, k + 1 :]], -1).amax(-1)
        lead = (scores[:, k] - others).reshape(121, 121)
        if bool((lead > 0).any()):
            ax.contourf(across, up, lead, levels=[0, float(lead.max()) + 1], colors=[color], alpha=tint)
            if bool((lead < 0).any()):
                ax.contour(across, up, lead, levels=[0], colors=INK, linewidths=1.2, linestyles="-")


@styled
def class_regions(
    x: Float[Tensor, "n 2"], y: Int[Tensor, " n"], panels: Mapping[str, Float[Tensor, "K 3"]]
) -> tuple[Figure, str]:
    """Draw points of up to three classes, and the regions of the answers of each classifier: title -> rows w_c.

    The last entry of w_c acts on a constant feature 1.
    """
    if not 0 <= int(y.amin()) <= int(y.amax()) < len(CLASSES):
        raise validate.fail("y", f"classes {int(y.amin())} to {int(y.amax())}", f"classes 0 to {len(CLASSES) - 1}")
    rows = -(-len(panels) // 2)
    fig, axes = canvas(rows, 2, height=2.55 * rows)
    told = []
    for ax, (title, W) in zip(axes.flat, panels.items(), strict=False):
        _regions(ax, W, x, 0.16)
        wrong = _answers(W, x) != y
        for k, (color, marker) in enumerate(CLASSES):
            ax.scatter(*x[y == k].T, s=24, c=color, marker=marker, linewidths=0, zorder=3)
        ax.scatter(*x[wrong].T, s=85, facecolors="none", edgecolors=INK, linewidths=1.3, zorder=4)
        ax.set_title(f"{title}: {int(wrong.sum())} of {len(y)} wrong")
        told.append(f"{title}: {int(wrong.sum())} of {len(y)} on the wrong side")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return fig, f"Points of {int(y.max()) + 1} classes in the plane and the region of each answer. {'; '.join(told)}."


@styled
def pair_attention(
    x: Float[Tensor, "n 2"],
    y: Int[Tensor, " n"],
    panels: Mapping[str, tuple[Float[Tensor, "K 3"], Float[Tensor, "n K"]]],
) -> tuple[Figure, str]:
    """Draw, title -> (classifier, weights): a disc on each point in the colour of a rival class, area = attention."""
    rows = -(-len(panels) // 2)
    fig, axes = canvas(rows, 2, height=2.55 * rows + 0.35)
    told = []
    for ax, (title, (W, weights)) in zip(axes.flat, panels.items(), strict=False):
        _regions(ax, W, x, 0.08)
        for k, (color, marker) in enumerate(CLASSES):
            ax.scatter(*x[y == k].T, s=9, c=color, marker=marker, linewidths=0, zorder=5)
        for index in weights.flatten().argsort(descending=True).tolist():
            i, rival = divmod(index, weights.shape[1])
            if weights[i, rival] > 1e-3:
                size = 900 * float(weights[i, rival])
                ax.scatter(*x[i], s=size, c=CLASSES[rival][0], alpha=0.55, linewidths=0, zorder=3)
        heavy = weights.flatten().sort(descending=True).values.cumsum(0)
        most = int((heavy < 0.9).sum()) + 1
        pairs = "pair" if most == 1 else "pairs"
        ax.set_title(f"{title}: {most} {pairs} hold 90 %")
        told.append(f"{title}: {most} of {int((weights > 0).sum())} pairs hold 90 percent of the attention")
    dots = [
        Line2D([], [], ls="", marker=m, mew=0, ms=6, color=c, label=f"class {k}") for k, (c, m) in enumerate(CLASSES)
    ]
    fig.legend(handles=dots, loc="outside lower center", ncols=3)
    return fig, f"Attention on pairs of a point and a rival class. {'; '.join(told)}."


@styled
def accuracy_by_shots(
    shots: Sequence[int], panels: Mapping[str, Mapping[str, Interval]], baseline: str | None = None
) -> tuple[Figure, str]:
    """Draw accuracy (or, with ``baseline``, the difference to it) in percent against examples of each class.

    panels: data set -> method (a key of LOOKS) -> interval, one entry for each number in ``shots``.
    """
    rows = -(-(len(panels) + 1) // 2)
    fig, axes = canvas(rows, 2, height=2.2 * rows + 0.15)
    told = []
    for ax, (data, lines) in zip(axes.flat, panels.items(), strict=False):
        for method, interval in lines.items():
            name, color, marker, style = LOOKS[method]
            mean, low, high = (100 * part for part in interval)
            ax.fill_between(shots, low, high, color=color, alpha=0.13, lw=0)
            ax.plot(shots, mean, color=color, marker=marker, ms=4, lw=1.4, ls=style, label=name)
            told.append(f"{data}, {name}: " + ", ".join(f"{float(v):.1f}" for v in mean))
        if baseline:
            ax.axhline(0, color=INK, lw=1)
        ax.set(xscale="log", title=data)
        ax.set_xticks(shots, [str(k) for k in shots])
        ax.minorticks_off()
        ax.grid(axis="y")
    for ax in axes[:, 0]:
        ax.set_ylabel("difference, points" if baseline else "accuracy, %")
    for ax in axes.flat[max(len(panels) - 2, 0) : len(panels)]:
        ax.set_xlabel("examples of each class")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    axes.flat[len(panels)].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
    what = f"Accuracy minus that of {baseline}, in percentage points" if baseline else "Accuracy in percent"
    return fig, f"{what}, at {', '.join(map(str, shots))} examples of each class. {'; '.join(told)}."


@styled
def accuracy_by_depth(
    depths: Sequence[int],
    panels: Mapping[str, Mapping[str, Interval]],
    levels: Mapping[str, Mapping[str, float]],
    fixed: int,
    what: str = "accuracy",
) -> tuple[Figure, str]:
    """Draw ``what`` in percent against the depth, beside fitted methods as level lines; dotted: the depth ``fixed``.

    panels: title -> method ("ngd", "momentum") -> interval, one entry for each depth; levels: title -> method -> share.
    """
    fig, axes = canvas(1, len(panels), height=3.4)
    told = []
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=True):
        for method, interval in lines.items():
            name, color, marker, style = LOOKS[method]
            mean, low, high = (100 * part for part in interval)
            ax.fill_between(depths, low, high, color=color, alpha=0.15, lw=0)
            ax.plot(depths, mean, color=color, marker=marker, ms=3.5, ls=style, label=name)
            best = int(mean.argmax())
            told.append(
                f"{title}, {name}: {float(mean[0]):.1f} at depth {depths[0]}, highest {float(mean[best]):.1f} at depth "
                f"{depths[best]}, {float(mean[-1]):.1f} at depth {depths[-1]}"
            )
        for method, level in levels[title].items():
            name, color, _, style = LOOKS[method]
            dash = "--" if style == "-" else style
            ax.axhline(100 * level, color=color, lw=1.4, ls=dash, label=name)
            told.append(f"{title}, {name}: {100 * level:.1f}")
        ax.axvline(fixed, color=INK, lw=1, ls=":")
        ticks = [depth for depth in depths if depth in (1, 10, 100, 1000)]
        ax.set(xscale="log", title=title, xlabel="layers")
        ax.set_xticks(ticks, [str(depth) for depth in ticks])
        ax.minorticks_off()
        ax.grid(axis="y")
    axes[0, 0].set_ylabel(f"{what}, %")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, columnspacing=1.2)
    return fig, f"{what.capitalize()} in percent against the number of layers. {'; '.join(told)}."


@styled
def class_tables(panels: Mapping[str, Float[Tensor, "K K"]], columns: str, rows: str) -> tuple[Figure, str]:
    """Draw a table of K by K shares in each panel, darker where larger; each is scaled to its own largest entry."""
    fig, axes = canvas(-(-len(panels) // 2), 2, height=2.65 * -(-len(panels) // 2))
    fig.get_layout_engine().set(hspace=0.06)
    told = []
    for ax, (title, table) in zip(axes.flat, panels.items(), strict=True):
        image = torch.tensor(to_rgba(COLORS["layer"]), dtype=torch.float64).repeat(*table.shape, 1)
        image[..., 3] = table / table.max()
        ax.imshow(image.numpy(), interpolation="nearest")
        ticks = range(len(table))
        ax.set_xticks(ticks, list(ticks), fontsize=8)
        ax.set_yticks(ticks, list(ticks), fontsize=8)
        ax.tick_params(length=0)
        ax.set_title(title)
        ax.spines[:].set(visible=True, alpha=0.5)
        top = table.flatten().sort(descending=True).indices[:3].tolist()
        named = ", ".join(f"{k // len(table)} against {k % len(table)}" for k in top)
        told.append(f"{title}: the largest entries are {named}, the first {float(table.max()):.3f} of the whole")
    for ax in axes[-1]:
        ax.set_xlabel(columns)
    for ax in axes[:, 0]:
        ax.set_ylabel(rows)
    return fig, f"Tables, {rows} down, {columns} across. {'; '.join(told)}."
