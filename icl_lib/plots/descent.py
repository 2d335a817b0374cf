"""Figures of the chapter on separable logistic regression: gradient descent over time, plain and normalized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from ..algorithms import MaxMargin, ngd
from ..losses import log_mean_exp
from .base import COLORS, INK, canvas, styled

Path = Float[Tensor, "T+1 1 d"]


@styled
def descent_over_time(
    runs: Mapping[str, tuple[str, Mapping[str, Tensor]]],
    band: tuple[Tensor, Tensor, Tensor],
) -> tuple[Figure, str]:
    """Draw loss, gradient norm and margin shortfall against the step t, all log-log.

    runs: name -> (color, curves), the curves named "t", "loss", "gradient", "shortfall" (as a share of the max
    margin) and, where one is proved, "bound" on the shortfall; band: (t, lower, upper), what is proved of the
    exponential loss under plain gradient descent.
    """
    fig, axes = canvas(3, 1, height=7.2)
    titles = {
        "loss": "loss",
        "gradient": "length of its gradient",
        "shortfall": r"margin shortfall / $\gamma$",
    }
    t, low, high = band
    axes[0, 0].fill_between(t, low, high, color=COLORS["gd"], alpha=0.18, lw=0)
    for edge in (low, high):
        axes[0, 0].plot(t, edge, color=COLORS["gd"], lw=1, ls="--")
    said, loose = [], []
    for k, (name, (color, curves)) in enumerate(runs.items()):
        for ax, what in zip(axes[:, 0], titles, strict=True):
            ax.plot(
                curves["t"],
                curves[what],
                color=COLORS[color],
                label=name,
                lw=(4, 1.6, 1.8)[k % 3],
                ls=("-", "-.", "-")[k % 3],
            )
        if "bound" in curves:
            axes[2, 0].plot(curves["t"], curves["bound"], color=COLORS[color], lw=1.2, ls="--")
            ratio = curves["bound"] / curves["shortfall"]
            loose.append(f"{name} {float(ratio.min()):.0f} to {float(ratio.max()):.0f} times")
        last = ", ".join(f"{what} {float(curves[what][-1]):.2g}" for what in titles)
        said.append(f"{name}, step {int(curves['t'][-1])}: {last}")
    for ax, title in zip(axes[:, 0], titles.values(), strict=True):
        ax.set(xscale="log", yscale="log", title=title, ylim=(1e-7, 3))
        ax.grid(True)
    axes[2, 0].set(xlabel="step $t$", ylim=(2e-3, 100))
    axes[2, 0].axhline(1, color=INK, lw=1.2, ls=":")
    axes[2, 0].text(1e5, 70, "bounds above 1 prove nothing", ha="right", va="top")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left")
    alt = (
        "Three panels on log-log axes against the step. Under plain gradient descent both losses fall along a "
        "straight line of slope -1, the exponential one inside its proven band, and the gradients fall with them; "
        "under normalized descent loss and gradient leave the panels downwards. The margin shortfall of plain descent "
        f"falls ever more slowly, that of normalized descent does not slow down. {'; '.join(said)}. The dashed proven "
        f"bounds exceed the shortfall: {', '.join(loose)}. A dotted line marks a shortfall of gamma; both bounds start "
        "above it, and that of plain descent ends just below it."
    )
    return fig, alt


@styled
def same_road(runs: Mapping[str, tuple[str, Path, Sequence[int]]], best: MaxMargin) -> tuple[Figure, str]:
    """Draw 2-d paths of w, each with the positions after the given steps marked, and the max-margin ray."""
    fig, axes = canvas(height=3.6)
    ax = axes[0, 0]
    u, said = best.direction[0], []
    across = torch.stack([-u[1], u[0]])
    far = max(float(path[marks[-1], 0] @ u) for _, path, marks in runs.values())
    for marker, (name, (color, path, marks)) in zip("so", runs.items(), strict=False):
        along, off = path[: marks[-1] + 1, 0] @ u, path[: marks[-1] + 1, 0] @ across
        ax.plot(along, off, color=COLORS[color], label=name, marker=marker, ms=6, markevery=list(marks))
        for t in marks:
            where = (float(along[t]), float(off[t]))
            shift = (0, 9) if marker == "s" else (-3, -15)  # above the curve, and below it
            if marker == "s" and t == marks[0]:
                shift = (11, 6)  # where the curve is steep, beside it
            ax.annotate(f"{t:,}", where, xytext=shift, textcoords="offset points", ha="center", fontsize=9)
        said.append(f"{name} has come {float(along[marks[-1]]):.0f} far after {marks[-1]:,} steps")
    ax.axhline(0, color=COLORS["svm"], ls="--", lw=1.4)
    ax.set(
        xlabel="$w$ along the max-margin direction",
        ylabel="$w$ across it",
        xlim=(-0.3, 1.08 * far),
    )
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.35 * (high - low), high + 0.35 * (high - low))
    ax.legend(loc="lower right")
    alt = (
        "Two paths of w in the plane, along and across the max-margin direction, with step numbers written at marks. "
        f"They lie almost on one curve. {'; '.join(said)}."
    )
    return fig, alt


@styled
def step_sizes(
    contexts: Mapping[str, Float[Tensor, "1 n d"]],
    multiples: Sequence[float],
    steps: int,
) -> tuple[Figure, str]:
    """Draw phi along normalized descent on each context, for steps that are the given multiples of 1/R^2."""
    fig, axes = canvas(1, len(contexts), height=2.9)
    said = []
    for ax, (name, z) in zip(axes[0], contexts.items(), strict=True):
        radius = float(z.norm(dim=-1).max())
        for k, c in enumerate(multiples):
            phi = log_mean_exp(ngd(z, c / radius**2, steps), z)[:, 0]
            fade = 0.4 + 0.6 * (k + 1) / len(multiples)
            ax.plot(
                range(steps + 1),
                phi,
                color=COLORS["layer"],
                alpha=fade,
                marker="o",
                ms=2.5,
                lw=1.3,
            )
            ax.text(steps * 1.03, float(phi[-1]), f"{c:g}", va="center")
            rises = int((phi.diff() > 1e-12).sum())
            said.append(f"{name}, step {c:g}/R^2: rises {rises} times, ends at {float(phi[-1]):.2f}")
        ax.axhline(0, color=INK, lw=0.6)
        ax.set(
            xlabel="step $t$",
            title=name,
            xlim=(0, steps * 1.15),
            xticks=range(0, steps + 1, 10),
        )
    axes[0, 0].set_ylabel(r"potential $\phi(w_t)$")
    return (
        fig,
        f"The potential over {steps} steps of normalized descent. {'; '.join(said)}.",
    )
