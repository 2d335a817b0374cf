"""Figures of the chapter on separable logistic regression: prompts in the plane, margins, losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..algorithms import MaxMargin
from ..losses import log_mean_exp, margins
from ..metrics import angle, normalized_margin
from ..tasks import Prompts
from .base import COLORS, INK, canvas, frame, styled

Path = Float[Tensor, "T+1 1 d"]


def _points(ax: Axes, x: Tensor, y: Tensor, size: float = 26) -> None:
    """Scatter both classes, told apart by colour and by shape."""
    for label, marker in ((1, "o"), (-1, "s")):
        here = x[y == label]
        name = {1: "+1", -1: "-1"}[label]
        ax.scatter(
            here[:, 0],
            here[:, 1],
            s=size,
            marker=marker,
            color=COLORS[name],
            zorder=3,
            linewidths=0,
        )


def _plane(ax: Axes, points: Tensor) -> None:
    """Frame the points and the origin."""
    frame(ax, torch.cat([points, torch.zeros_like(points[:1])]), air=0.15)


def _boundary(ax: Axes, w: Tensor, shift: float = 0.0, **style: object) -> None:
    """Draw the line <w, x> = shift * ||w||."""
    u = w / w.norm()
    ends = torch.tensor([[-3.0], [3.0]]).to(u) * torch.stack([-u[1], u[0]]) + shift * u
    ax.plot(*ends.T, **style)


@styled
def boundary_race(
    prompts: Prompts,
    paths: Mapping[str, Path],
    colors: Sequence[str],
    best: MaxMargin,
    steps: Sequence[int],
) -> tuple[Figure, str]:
    """Draw the boundaries of several algorithms on one 2-d prompt after ``steps``, with the max-margin boundary."""
    fig, axes = canvas(1, len(paths), height=2.4)
    said = []
    for ax, color, (name, path) in zip(axes[0], colors, paths.items(), strict=True):
        _points(ax, prompts.x[0], prompts.y[0])
        u, gamma = best.direction[0], float(best.margin[0])
        for shift in (-gamma, gamma):
            _boundary(ax, u, shift, color=COLORS["svm"], lw=0.8, ls=":")
        for k, t in enumerate(steps):
            fade = (k + 1) / len(steps)
            _boundary(
                ax,
                path[t, 0],
                color=COLORS[color],
                alpha=0.4 + 0.6 * fade**2,
                lw=0.8 + 1.4 * fade,
            )
        _boundary(ax, u, color=COLORS["svm"], lw=1.6, ls="--", zorder=4)
        _plane(ax, prompts.x[0])
        ax.set_title(name)
        off = [math.degrees(float(angle(path[t, 0], u))) for t in steps]
        said.append(f"{name}: " + ", ".join(f"{a:.1f} degrees off after {t}" for a, t in zip(off, steps, strict=True)))
    alt = (
        f"{prompts.x.shape[1]} points of two classes in the plane, drawn once for each algorithm, with the boundary "
        f"after {', '.join(map(str, steps))} steps, later ones thicker, and the dashed max-margin boundary. "
        f"Angle to the max-margin boundary, {'; '.join(said)}."
    )
    return fig, alt


@styled
def losses_of_a_margin(reach: float = 3.0) -> tuple[Figure, str]:
    """Draw the 0-1, exponential and logistic loss as functions of one margin, and their slopes."""
    m = torch.linspace(-reach, reach, 241, dtype=torch.float64)
    fig, axes = canvas(1, 2, height=2.7)
    left, right = axes[0]
    left.plot(m, (m <= 0).double(), color=INK, lw=1.4, ls="--", drawstyle="steps-mid")
    for name, color, value, weight in (
        ("exponential", "layer", torch.exp(-m), torch.exp(-m)),
        ("logistic", "logistic", torch.nn.functional.softplus(-m), torch.sigmoid(-m)),
    ):
        left.plot(m, value, color=COLORS[color])
        right.plot(m, weight, color=COLORS[color], label=name)
    left.set(ylim=(0, 4), xlabel="margin $m$", title="loss of one point")
    right.set(
        yscale="log",
        ylim=(0.03, 20),
        xlabel="margin $m$",
        title="pull on $w$ (minus slope)",
    )
    left.text(-2.9, 1.1, "0-1", va="bottom")
    left.text(-0.85, 2.6, "exponential")
    left.text(-2.95, 3.3, "logistic")
    right.text(-1.6, 9, "exponential")
    right.text(-2.9, 0.5, "logistic")
    alt = (
        "Two panels against the margin m from -3 to 3. Left, the loss: 0-1 loss is 1 for negative and 0 for positive "
        "margins; the exponential loss is 1 at m = 0 and rises steeply to the left; the logistic loss is 0.69 at m = 0 "
        "and rises to the left like a straight line. Right, minus the slope on a log scale: the exponential's is a "
        "straight line without upper limit, the logistic's bends to 1 on the left and joins the exponential's on the "
        "right."
    )
    return fig, alt


@styled
def folding(prompts: Prompts, best: MaxMargin) -> tuple[Figure, str]:
    """Draw a 2-d prompt with its max-margin boundary, and beside it the folded tokens on one side of that boundary."""
    fig, axes = canvas(1, 2, height=2.8)
    u, gamma = best.direction[0], float(best.margin[0])
    z, support = prompts.z[0], best.dual[0] > 1e-9
    for ax, points, title in zip(
        axes[0],
        (prompts.x[0], z),
        ("points $x_i$", r"folded tokens $z_i = y_i x_i$"),
        strict=True,
    ):
        _points(ax, points, prompts.y[0])
        _boundary(ax, u, color=COLORS["svm"])
        _plane(ax, torch.cat([prompts.x[0], z]))
        ax.set_title(title)
    right = axes[0, 1]
    _boundary(right, u, gamma, color=COLORS["svm"], lw=1, ls=":")
    right.scatter(
        *z[support].T,
        s=110,
        facecolors="none",
        edgecolors=INK,
        linewidths=1.3,
        zorder=4,
    )
    right.annotate(
        "",
        (0.55 * u).tolist(),
        (0, 0),
        arrowprops={"arrowstyle": "->", "color": COLORS["svm"], "lw": 1.8},
    )
    right.text(*(0.68 * u).tolist(), "$u^*$", ha="center", va="center")
    alt = (
        f"Left: {z.shape[0]} points, circles labelled +1 and squares labelled -1, on the two sides of a line through "
        "the origin. Right: the squares reflected through the origin; now all tokens lie on the side of that line to "
        f"which its normal u* points. The nearest {int(support.sum())}, circled, lie on a dotted parallel line at the "
        f"distance {gamma:.2f}, the max margin."
    )
    return fig, alt


@styled
def potential_along_rays(z: Float[Tensor, "1 n d"], rays: Mapping[str, Tensor], reach: float) -> tuple[Figure, str]:
    """Draw phi(c u) against c for unit directions u, with the straight lines that it tends to."""
    fig, axes = canvas(height=3.2)
    ax = axes[0, 0]
    c = torch.linspace(0, reach, 200, dtype=z.dtype)
    said = []
    for (name, u), color in zip(rays.items(), ("svm", "layer", "chance"), strict=False):
        phi = log_mean_exp(c[:, None, None] * u, z)[:, 0]
        margin = float(normalized_margin(u[None], z)[0])
        nearest = int((margins(u[None], z)[0] < margin + 1e-9).sum())
        asymptote = -margin * c + math.log(nearest / z.shape[1])
        ax.plot(c, phi, color=COLORS[color])
        ax.plot(c, asymptote, color=COLORS[color], lw=1.2, ls="--")
        ax.text(1.01 * reach, float(phi[-1]), name, va="center")
        said.append(f"{name}, margin {margin:.2f}: phi = {float(phi[-1]):.1f} at c = {reach:g}")
    ax.axhline(0, color=INK, lw=0.6)
    ax.set(
        xlabel="length $c$ of $w = c\\,u$",
        ylabel=r"potential $\phi(c\,u)$",
        xlim=(0, reach),
    )
    alt = (
        "The potential along rays from 0, against the length of w. Each curve starts at 0 and becomes the dashed "
        f"straight line whose slope is minus the margin of its direction. {'; '.join(said)}."
    )
    return fig, alt


@styled
def no_separator(
    prompts: Prompts,
    outlier: int,
    minimisers: Mapping[str, tuple[str, Tensor]],
    paths: Mapping[str, Path],
) -> tuple[Figure, str]:
    """Draw a prompt with one turned label and what each loss makes of it; beside it ||w_t|| on paths.

    Left, the boundary at the minimum of each loss, and rings around the points on its wrong side; right, lengths.
    """
    fig, axes = canvas(1, 2, height=3.2)
    left, right = axes[0]
    _points(left, prompts.x[0], prompts.y[0])
    said, ends = [], []
    for (name, (color, w)), line, size in zip(minimisers.items(), ("-", "-."), (100, 210), strict=True):
        wrong = margins(w, prompts.z)[0] < 0
        _boundary(left, w[0], color=COLORS[color], ls=line, label=f"{name}: {int(wrong.sum())} wrong")
        ring = {"facecolors": "none", "edgecolors": COLORS[color], "linewidths": 1.4, "linestyles": line}
        left.scatter(*prompts.x[0, wrong].T, s=size, zorder=4, **ring)
        turned = "the turned one among them" if wrong[outlier] else "not the turned one"
        said.append(f"at the minimum of the {name} loss {int(wrong.sum())} of {len(wrong)} are, {turned}")
    where = {"xytext": (-11, -1), "textcoords": "offset points", "ha": "right", "va": "center"}
    left.annotate("turned", prompts.x[0, outlier].tolist(), **where)
    _plane(left, prompts.x[0])
    left.set_title("where each loss is least")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02))
    for (name, path), line in zip(paths.items(), ("-", "-."), strict=False):
        size = path[:, 0].norm(dim=-1)
        right.plot(size, color=COLORS["layer"], ls=line)
        middle = int((0.62 if line == "-" else 0.97) * len(size))
        right.text(middle, float(size[middle]), name + "  ", ha="right", va="bottom")
        ends.append(f"{float(size[-1]):.1f} ({name})")
    right.set(xlabel="step $t$", title=r"length of $w_t$", ylim=(0, None))
    alt = (
        f"Left: points of two classes, one of them with its label turned, and two boundaries. Ringed points lie on a "
        f"boundary's wrong side: {'; '.join(said)}. Right: the length of w "
        f"under normalized descent ends at {' and at '.join(ends)}: it grows on the first and settles on the second."
    )
    return fig, alt
