"""Figures of the chapter "The loop": a trained layer applied thousands of times, and what its errors become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from ..algorithms import max_margin
from ..losses import log_mean_exp
from ..metrics import angle, normalized_margin
from .base import COLORS, INK, canvas, frame, styled
from .depth import band, sparse

Path = Float[Tensor, "T+1 B d"]
LINES = ((0, (1, 1)), (0, (5, 1.5, 1, 1.5)), "-")  # dashes are kept for bounds and for the explicit path
FLOOR = 1e-17  # below what rounding leaves: a logarithmic axis has no 0


@styled
def loop_by_depth(
    paths: Mapping[str, Path], exact: Path, z: Float[Tensor, "B n d"], gamma: Float[Tensor, " B"]
) -> tuple[Figure, str]:
    """Return potential, margin and direction of looped layers (name -> path) against depth, beside the explicit path.

    Medians over the contexts z; gamma: their max margins. The angle is the one to the explicit path at that depth.
    """
    t, told = sparse(len(exact) - 1), []
    fig, (top, middle, bottom) = canvas(3, 1, height=6.0)
    right, best = exact[t], normalized_margin(exact[t], z) / gamma
    for k, ((name, path), line) in enumerate(zip(paths.items(), LINES, strict=False)):
        style = {"color": COLORS["layer"], "ls": line, "lw": 1.8}
        top[0].plot(t, -log_mean_exp(path[t], z).median(-1).values, label=name, **style)
        share = (normalized_margin(path[t], z) / gamma).median(-1).values
        middle[0].plot(t, share, **style)
        off = angle(path[t], right).median(-1).values.clamp_min(FLOOR)
        bottom[0].plot(t, off, **style)
        lift, side = ((0, 4), "bottom") if k % 2 == 0 else ((0, -4), "top")
        where, word = (float(t[len(t) // 4]), float(off[len(t) // 4])), {"textcoords": "offset points", "fontsize": 9}
        bottom[0].annotate(name, where, xytext=lift, va=side, color=COLORS["layer"], **word)
        told.append(
            f"{name}: share {float(share[-1]):.2f} at the end, angle between {float(off.amin()):.1e} and "
            f"{float(off.amax()):.1e}"
        )
    top[0].plot(t, -log_mean_exp(right, z).median(-1).values, color=INK, ls="--", lw=1, label="explicit NGD")
    middle[0].plot(t, best.median(-1).values, color=INK, ls="--", lw=1)
    top[0].set(yscale="log", ylabel=r"$-\phi$")
    middle[0].set(ylabel=r"margin / $\gamma$", ylim=(-1, 1.05))
    bottom[0].set(yscale="log", ylabel="angle to explicit NGD", xlabel="loops")
    bottom[0].set_ylim(None, 3)
    for ax in (top[0], middle[0], bottom[0]):
        ax.set(xscale="log", xlim=(1, int(t[-1])))
        ax.grid(True, axis="x" if ax is bottom[0] else "both")  # there the names stand where lines would be
    top[0].legend(loc="upper left", fontsize=9)
    alt = (
        f"Three panels against 1 to {int(t[-1]):,} loops on a logarithmic axis, medians over {len(z)} contexts: the "
        "fall of the potential, the share of the max margin, and the angle to explicit normalized gradient descent, "
        f"which is dashed and ends at a share of {float(best[-1].median()):.2f}. {'; '.join(told)}."
    )
    return fig, alt


@styled
def settling(deviation: Mapping[str, Float[Tensor, " S"]], tol: float) -> tuple[Figure, str]:
    """Return each layer's largest deviation from explicit descent, one dot a seed and one row a kind of layer."""
    fig, axes = canvas(height=0.9 + 0.36 * len(deviation))
    ax, told = axes[0, 0], []
    for row, (name, values) in enumerate(deviation.items()):
        shift = 0.25 * (torch.arange(len(values)) * 0.618 % 1 - 0.5)
        good = bool((values < tol).all())
        color, marker = (COLORS["layer"], "o") if good else (COLORS["-1"], "x")
        ax.plot(values.clamp_min(FLOOR), row + shift, marker, color=color, ms=3.5, mew=1, alpha=0.7)
        told.append(f"{name}: {float(values.amin()):.0e} to {float(values.amax()):.0e}")
    ax.axvline(tol, color=INK, ls="--", lw=1.2)
    ax.annotate("tolerance", (tol, -0.6), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set(xscale="log", ylim=(len(deviation) - 0.5, -1), yticks=range(len(deviation)), yticklabels=list(deviation))
    ax.set_xlabel("largest deviation from explicit NGD")
    ax.grid(True, axis="x")
    return fig, f"The largest deviation of each seed's layer, by kind; tolerance {tol:.0e}. {'; '.join(told)}."


@styled
def loop_budget(curves: Mapping[str, tuple[bool, Float[Tensor, "T B"]]]) -> tuple[Figure, str]:
    """Return bounds on a loop's error and the error itself against depth: label -> (proven, values).

    Proven ones are dashed, what is measured is solid; medians over the contexts; labels at the right end.
    """
    fig, axes = canvas(height=3.7)
    ax, told = axes[0, 0], []
    for name, (proven, values) in curves.items():
        t, last = sparse(len(values)), name == list(curves)[-1]
        mid = values[t - 1].median(-1).values
        style = {"ls": "--", "color": INK} if proven else {"color": COLORS["layer"], "alpha": 1.0 if last else 0.6}
        ax.plot(t, mid, lw=2.4 if last else 1.4, **style)
        _beside(ax, name, float(t[-1]), float(mid[-1]), color=style["color"])
        told.append(f"{name.replace(chr(10), ' ')} {float(mid[-1]):.2g}")
    ax.set(xscale="log", yscale="log", xlim=(1, float(t[-1])))
    ax.set(xlabel="loops $T$", ylabel="length, in units of $1/R$")
    ax.grid(True)
    return fig, f"Errors and bounds over the loops on log-log axes. At depth {int(t[-1]):,}: {'; '.join(told)}."


def _beside(ax: Axes, name: str, x: float, y: float, va: str = "center", **style: object) -> None:
    """Write a curve's name right of its point; at the end of the axes this is outside, where no grid crosses it."""
    where = {"xytext": (4, 0), "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(name, (x, y), va=va, fontsize=9, **where, **style)


def _level(
    ax: Axes,
    name: str,
    values: Float[Tensor, "T B"],
    color: str,
    line: object,
) -> str:
    """Draw one curve over depth, median and middle half, its name on it; return what it says at its end."""
    t = sparse(len(values))
    mid = band(ax, t, values[t - 1].clamp_min(FLOOR), color, ls=line, lw=1.6)
    where = (float(t[0]), float(mid[0]))
    ax.annotate(name, where, xytext=(0, 4), textcoords="offset points", va="bottom", fontsize=9, color=color)
    return f"{name} {float(mid[-1]):.2g}"


@styled
def relative_errors(
    layers: Mapping[str, tuple[Float[Tensor, "T B"], Float[Tensor, "T B"], Float[Tensor, "T B"]]],
) -> tuple[Figure, str]:
    """Return relative error with its bound, and angle, to the explicit path: name -> (error, bound, angle)."""
    fig, ((left, right),) = canvas(1, 2, height=3.2)
    told, turns = [], []
    for (name, (error, bound, turn)), line in zip(layers.items(), LINES, strict=False):
        t = sparse(len(error))
        left.plot(t, bound[t - 1].quantile(0.5, dim=-1), color=INK, ls="--", lw=1.2)
        said = _level(left, name, error, COLORS["layer"], line)
        mid = error.quantile(0.5, dim=-1)  # as drawn; median() takes the lower of the middle two
        ends = f"over all depths between {float(mid.amin()):.2g} and {float(mid.amax()):.2g}"
        told.append(f"{said} under a bound of {float(bound[-1].quantile(0.5)):.2g}, {ends}")
        turned = _level(right, name, turn, COLORS["layer"], line)
        turns.append(turned)
    last = next(iter(layers.values()))[1]
    word = {"textcoords": "offset points", "fontsize": 9, "color": INK}
    left.annotate("bounds", (1, float(last[0].median())), xytext=(0, 3), va="bottom", **word)
    low = min(float(v[2].median(-1).values.amin()) for v in layers.values())
    for ax, title in ((left, r"$\|\hat w_T - w_T\| \, / \, \|w_T\|$"), (right, "angle, radians")):
        ax.set(xscale="log", yscale="log", xlabel="loops $T$", title=title, ylim=(low / 5, 2))
        ax.grid(True)
    right.yaxis.set_major_formatter(NullFormatter())
    alt = (
        f"Relative error and angle of looped layers from depth 1 to {int(t[-1]):,}, log-log. Relative errors at the "
        f"end: {'; '.join(told)}. Angles at the end, as level: {', '.join(turns)}."
    )
    return fig, alt


@styled
def angles_to_separator(curves: Mapping[str, Float[Tensor, "T B"]]) -> tuple[Figure, str]:
    """Return angles to the max-margin direction against depth, first the explicit path (dashed)."""
    fig, axes = canvas(height=3.0)
    ax, told = axes[0, 0], []
    for k, ((name, values), line) in enumerate(zip(curves.items(), ("--", "-", (0, (1, 1))), strict=False)):
        t = sparse(len(values))
        mid = values[t - 1].median(-1).values
        ax.plot(t, mid, color=COLORS["layer"] if k else INK, ls=line, lw=1.8 - 0.6 * (k == 0), label=name, zorder=3 - k)
        told.append(f"{name} {float(mid[-1]):.1e}")
    ax.set(xscale="log", yscale="log", xlabel="loops $T$", ylabel="angle to max margin, radians")
    ax.legend(fontsize=9, loc="lower left")
    ax.grid(True)
    said = "; ".join(told).replace("$", "").replace("\\hat w", "w hat")
    return fig, f"Angle to the max-margin direction against depth, medians. At depth {len(values):,}: {said}."


@styled
def ends_of_loops(
    panels: Mapping[str, tuple[Float[Tensor, "n 2"], Sequence[Tensor], Sequence[Tensor]]], names: Sequence[str]
) -> tuple[Figure, str]:
    """Return folded tokens in the plane with the direction in which each layer's u ends (solid) and should (dashed).

    panels: title -> (tokens, ends, predicted), one direction for each name. Support vectors are ringed; each layer's
    line is shorter than the one before, so that lines which coincide are told apart by their ends.
    """
    fig, axes = canvas(1, len(panels), height=3.1)
    told, everything = [], []
    for ax, (title, (z, ends, predicted)) in zip(axes[0], panels.items(), strict=True):
        support = max_margin(z[None]).dual[0] > 1e-9
        ax.scatter(*z.T, s=14, color=INK, alpha=0.7, linewidths=0, zorder=2)
        ax.scatter(*z[support].T, s=70, facecolors="none", edgecolors=INK, linewidths=1.2, zorder=2)
        ax.scatter(0, 0, s=40, c=INK, marker="+", linewidths=1.2, zorder=2)
        said, labels = [], []
        for k, (name, end, target) in enumerate(zip(names, ends, predicted, strict=True)):
            u, v = (x / x.norm() for x in (end, target))
            far, color, marker = 1.1 - 0.2 * k, COLORS["layer"] if k == 0 else INK, "osD"[k % 3]
            ax.plot([0, far * u[0]], [0, far * u[1]], color=color, lw=1.6, zorder=3 + k)
            ax.plot(far * u[0], far * u[1], marker, color=color, ms=5, mew=0, zorder=6)
            ax.plot([0, 1.4 * v[0]], [0, 1.4 * v[1]], color=COLORS["svm"], lw=1.4, ls=(0, (2, 1)), zorder=1)
            near = [label for label in labels if float(u @ label[0]) > 0.98]
            near[0][1].append(name) if near else labels.append((u, [name]))
            said.append(f"{name} at {np.degrees(np.arctan2(float(u[1]), float(u[0]))):.1f} degrees")
        for u, shared in labels:  # layers that end together share one label
            at = 1.45 + 0.1 * len(shared)
            ax.text(float(at * u[0]), float(at * u[1]), "\n".join(shared), ha="center", va="center", fontsize=9)
        everything += [z, *(1.6 * (v / v.norm())[None] for v in predicted), torch.zeros_like(z[:1])]
        ax.set_title(title)
        told.append(f"{title}: {', '.join(said)}")
    for ax in axes[0]:
        frame(ax, torch.cat(everything), 0.15)
    alt = (
        "Folded tokens in the plane, support vectors ringed, and from the origin the direction of u for each layer "
        f"after many loops, on the dashed direction that is predicted. {'. '.join(told)}."
    )
    return fig, alt


@styled
def junk_by_depth(curves: Mapping[str, Float[Tensor, "T B"]]) -> tuple[Figure, str]:
    """Return relative errors against depth, from 2 on, of loops in which all tokens write: size of the junk -> errors.

    In the first loop all states are 0 and there is no error.
    """
    fig, axes = canvas(height=3.2)
    ax, told = axes[0, 0], []
    for name, values in curves.items():
        t = sparse(len(values))[1:]
        mid = values[t - 1].median(-1).values.clamp_min(FLOOR)
        ax.plot(t, mid, color=COLORS["layer"], lw=1.5)
        at = int((mid <= 4).nonzero()[-1])  # a curve that leaves the axes has its name below the point where it does
        _beside(ax, name, float(t[at]), float(mid[at]), "center" if at == len(t) - 1 else "top")
        told.append(f"{name}: {float(mid[-1]):.1e}")
    ax.axhline(1, color=INK, lw=1, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="loops", ylabel="relative error of $w$")
    ax.set_ylim(None, 30)
    ax.set_xlim(2, float(t[-1]))
    ax.grid(True)
    return fig, f"Relative error of w against depth. After {len(values)} loops, by size of the junk: {'; '.join(told)}."
