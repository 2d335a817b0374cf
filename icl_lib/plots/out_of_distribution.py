"""Figures of the chapter "Out of distribution": foreign laws, long contexts, wrong labels, one hijacked token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from torch import Tensor

from ..metrics import Interval, angle
from ..tasks import Prompts
from .base import COLORS, INK, canvas, styled

PLAIN = {"student-t": "Student's t", "clusters": "4 clusters", "orthant": "one orthant"}
"""Laws whose name in the library is not a title."""
DASHES = {"layer": "-", "sink": (0, (4, 3)), "logistic": "-", "momentum": "-"}
DIAMONDS = {"logistic": {"marker": "D", "ms": 3.5, "markevery": 2}}
"""What tells one solid line from another without colour."""


@styled
def foreign_laws(
    prompts: Mapping[str, Prompts], w: Mapping[str, Float[Tensor, " 2"]], ideal: Mapping[str, Float[Tensor, " 2"]]
) -> tuple[Figure, str]:
    """Return prompts of several laws in the plane, the boundary of ``w`` (solid) and the max-margin one (dashed).

    Far points lie outside the frame and are not drawn; the alternative text counts them.
    """
    fig, axes = canvas((len(prompts) + 2) // 3, 3, height=3.6)
    said = []
    for ax, (law, drawn) in zip(axes.flat, prompts.items(), strict=True):
        x, y = drawn.x[0], drawn.y[0]
        reach = 1.15 * float(x.abs().amax(-1).quantile(0.93))  # a heavy tail would shrink all others to a dot
        inside = x.abs().amax(-1) < 0.95 * reach  # no marker is cut by the frame
        for label, marker in ((1, "o"), (-1, "s")):
            color = COLORS["+1" if label > 0 else "-1"]
            ax.scatter(*x[inside & (y == label)].T, s=13, marker=marker, color=color, lw=0, zorder=3)
        for line, style in ((w[law], {"color": COLORS["layer"]}), (ideal[law], {"color": COLORS["svm"], "ls": "--"})):
            across = 9 * torch.stack([-line[1], line[0]]) / line.norm()
            ax.plot(*torch.stack([-across, across]).T, **style)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
        ax.set_title(PLAIN.get(law, law))
        ax.spines[["left", "bottom"]].set_visible(False)
        wrong = int(((x @ w[law]) * y <= 0).sum())
        turn = float(torch.rad2deg(angle(w[law], ideal[law])))
        said.append(
            f"{law}: {turn:.0f} degrees apart, {wrong} of {len(y)} points on the layer's wrong side, "
            f"{int((~inside).sum())} not drawn"
        )
    return fig, (
        "Prompts of several laws in the plane, both classes, with the looped layer's boundary, a solid line, and the "
        f"max-margin boundary, a dashed one. {'; '.join(said)}."
    )


@styled
def longer_contexts(
    ns: Sequence[int], errors: Mapping[str, tuple[str, float, Interval]], trained: int
) -> tuple[Figure, str]:
    """Return the error against the length of the context, log-log: name -> (color, opacity, interval over ns).

    Each line's name stands at its end, a little lower where it would touch the one before.
    """
    fig, axes = canvas(height=3.3)
    ax, said, label_at = axes[0, 0], [], math.inf
    for name, (color, alpha, error) in errors.items():
        mean, low, high = (100 * part for part in error)
        ax.fill_between(ns, low, high, color=COLORS[color], alpha=0.15, lw=0)
        ax.plot(ns, mean, color=COLORS[color], alpha=alpha, marker="o", ms=3)
        label_at = min(float(mean[-1]), 0.74 * label_at)
        ax.annotate(
            name,
            (ns[-1], label_at),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
        said.append(f"{name}: {float(mean[0]):.1f} percent at n = {ns[0]}, {float(mean[-1]):.2f} at n = {ns[-1]}")
    top = float(max(e.mean[0] for _, _, e in errors.values()))
    for slope in (0.5, 1.0):
        ax.plot(ns, [140 * top * (n / ns[0]) ** -slope for n in ns], color=INK, ls="--", lw=1)
    ax.axvline(trained, color=INK, lw=1, ls=":")
    ax.text(trained * 1.06, 0.16, "length in training", rotation=90, va="bottom")
    ax.set(xscale="log", yscale="log", xlabel="context length $n$", ylabel="error on new points, %")
    ax.set_xlim(ns[0] * 0.9, ns[-1] * 4)
    ax.set_xticks(ns, [str(n) for n in ns])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks([0.3, 1, 3, 10, 30])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(True)
    return fig, (
        "Error against context length, both on log axes, for several depths of one layer, with dashed reference lines "
        f"of slope -1/2 and -1. {'; '.join(said)}."
    )


@styled
def faults_by_depth(
    panels: Mapping[str, Mapping[str, tuple[str, Float[Tensor, "K B"]]]],
    depths: Sequence[int],
    ylabels: Sequence[str],
    *,
    marks: Mapping[str, float] = {},
) -> tuple[Figure, str]:
    """Return means over prompts against the depth: title -> name -> (color, values); shaded: twice the standard error.

    Names are direct labels where lines end; marks: title -> a level to compare with, dashed.
    """
    fig, axes = canvas(1, len(panels), height=3.0)
    said = []
    for ax, (title, runs), ylabel in zip(axes[0], panels.items(), ylabels, strict=True):
        for name, (color, values) in runs.items():
            mean, error = values.mean(-1), 2 * values.std(-1) / values.shape[-1] ** 0.5
            ax.fill_between(depths, mean - error, mean + error, color=COLORS[color], alpha=0.15, lw=0)
            ax.plot(depths, mean, color=COLORS[color], ls=DASHES[color], label=name, **DIAMONDS.get(color, {}))
            k = int(mean.argmin())
            said.append(
                f"{title}, {name}: {float(mean[0]):.3g} at depth {depths[0]}, least {float(mean[k]):.3g} at depth "
                f"{depths[k]}, {float(mean[-1]):.3g} at depth {depths[-1]}"
            )
        if title in marks:
            ax.axhline(marks[title], color=INK, ls="--", lw=1.2)
            said.append(f"{title}, dashed level: {marks[title]:.3g}")
        ax.set(xscale="log", xlabel="layers", title=title, ylabel=ylabel)
        ax.set_ylim(bottom=0)
        ax.grid(True)
    axes[0, 0].legend(loc="best", borderaxespad=0.1)
    return fig, f"{'; '.join(said)}. Shaded: twice the standard error over prompts."


@styled
def lies_and_truths(
    panels: Mapping[str, Mapping[str, tuple[str, object, Interval]]], depths: Sequence[int]
) -> tuple[Figure, str]:
    """Return the error against the depth for hijacked contexts: title -> name -> (color, line style, percent).

    A name is "who, what": a solid or dashed line's colour says who, in a legend, and what stands at the first of its
    lines; a dotted line's whole name is in the legend.
    """
    fig, axes = canvas(1, len(panels), height=3.1)
    said = []
    for ax, (title, runs) in zip(axes[0], panels.items(), strict=True):
        for name, (color, style, (mean, low, high)) in runs.items():
            ax.fill_between(depths, low, high, color=COLORS[color], alpha=0.15, lw=0)
            who, _, what = name.partition(", ")
            who, what = (name, "") if style == ":" else (who, what)
            known = {line.get_label() for line in ax.lines}
            look = {"color": COLORS[color], "ls": style, **DIAMONDS.get(color, {})}
            ax.plot(depths, mean, label=f"_{who}" if who in known else who, **look)
            if what and what not in {text.get_text() for text in ax.texts}:
                ax.text(depths[0], float(mean[0]) + 2, what, va="bottom")
            said.append(f"{title}, {name}: {float(mean[0]):.0f} at depth 1, {float(mean[-1]):.0f} at {depths[-1]}")
        ax.set(xscale="log", xlabel="layers", title=title, ylim=(0, 52))
        ax.grid(True)
    axes[0, 0].set_ylabel("error on new points, %")
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside upper center", ncols=3)
    return fig, f"Error in percent against the depth, for contexts with one added token. {'; '.join(said)}."


@styled
def influence(runs: Mapping[str, tuple[str, Float[Tensor, "T B"], Float[Tensor, "T B"]]]) -> tuple[Figure, str]:
    """Return how far one token has moved w (solid) and the bound (dashed): name -> (color, moved, bound), medians."""
    fig, axes = canvas(1, len(runs), height=2.8)
    said = []
    for ax, (name, (color, moved, bound)) in zip(axes[0], runs.items(), strict=True):
        t = torch.unique(torch.logspace(0, math.log10(len(moved)), 40, dtype=torch.float64).round().long())
        for values, style in ((moved, {"label": "moved"}), (bound, {"ls": "--", "label": "bound"})):
            low, mid, high = torch.quantile(values[t - 1], torch.tensor([0.25, 0.5, 0.75]).to(values), dim=-1)
            ax.fill_between(t, low, high, color=COLORS[color], alpha=0.14, lw=0)
            ax.plot(t, mid, color=COLORS[color], **style)
        last = (float(moved[-1].median()), float(bound[-1].median()))
        said.append(f"{name}: moved by {last[0]:.1f}, bound {last[1]:.1f} after {len(moved)} layers")
        ax.set(xscale="log", yscale="log", xlabel="layers", title=name)
        ax.grid(True)
    low = min(float(moved[0].median()) for _, moved, _ in runs.values())
    high = max(float(bound[-1].median()) for _, _, bound in runs.values())
    for ax in axes[0]:
        ax.set_ylim(low / 2, 2 * high)
        ax.legend(loc="upper left", borderaxespad=0.1)
    axes[0, 0].set_ylabel("how far from the honest $w$")
    return fig, (
        "How far the added token has moved the classifier, below its bound, both growing with the depth. "
        f"{'; '.join(said)}. Medians, middle half shaded."
    )


@styled
def benign(
    runs: Mapping[int, tuple[Float[Tensor, " K"], Float[Tensor, " K"]]],
    depths: Sequence[int],
    quoted: Mapping[int, tuple[float, float]],
    best: float,
) -> tuple[Figure, str]:
    """Return accuracy on noisy test labels against that on the context, a path over depths for each dimension.

    runs: d -> (context, test), at the given depths; quoted: d -> the same two numbers of another model, as open marks.
    """
    fig, axes = canvas(height=3.4)
    ax, said = axes[0, 0], []
    for (d, (own, test)), alpha, marker in zip(runs.items(), (0.6, 0.8, 1.0), "osD", strict=True):
        ax.plot(own, test, color=COLORS["layer"], alpha=alpha, marker=marker, ms=4, label=f"layer, $d = {d}$")
        ax.plot(*quoted[d], marker, color=COLORS["sink"], mfc="none", ms=9, label=f"quoted, $d = {d}$")
        told = f"quoted {quoted[d][0]:.2f} and {quoted[d][1]:.3f}"
        said.append(
            f"d = {d}: context {float(own[0]):.2f}, test {float(test[0]):.3f} after 1 layer, {float(own[-1]):.2f} and "
            f"{float(test[-1]):.3f} after {depths[-1]}; {told}"
        )
    own, test = next(iter(runs.values()))
    for k, text, shift in ((0, "1 loop", (24, 3)), (-1, f"{depths[-1]:,} loops", (-40, -3))):
        ax.annotate(text, (float(own[k]), float(test[k])), xytext=shift, textcoords="offset points", ha="center")
    ax.axhline(best, color=INK, ls="--", lw=1.2)
    ax.text(0.91, best + 0.002, "best possible", va="bottom")
    ax.legend(loc="lower left", borderaxespad=0.1)
    ax.set(xlabel="right on the context's own noisy labels", ylabel="right on new noisy labels")
    ax.set_ylim(top=best + 0.02)
    ax.grid(True)
    return fig, f"Accuracy on new noisy labels against accuracy on the context's. {'; '.join(said)}."
