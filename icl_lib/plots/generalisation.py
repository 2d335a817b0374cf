"""Figures of the chapter "Generalisation": error against examples per coordinate, against depth, against bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from torch import Tensor

from ..metrics import Interval
from .base import COLORS, INK, canvas, styled


class Line(NamedTuple):
    """One line of a figure: its colour (a name in COLORS), its points, and the interval about each, if measured.

    mark: a matplotlib marker; measured lines are solid, theory (interval None) is dashed. at: which point carries
    the label, which stands ``lift`` points above it.
    """

    color: str
    x: Sequence[float]
    y: Sequence[float] | Tensor
    interval: Interval | None = None
    mark: str = ""
    at: int = -1
    lift: float = 0.0

    @classmethod
    def of(cls, color: str, x: Sequence[float], interval: Interval, mark: str = "", **label: object) -> Line:
        """Return the measured line through the interval's means; ``label``: at and lift."""
        return cls(color, x, interval.mean, interval, mark, **label)


def _draw(ax: Axes, name: str, line: Line, factor: np.ndarray, labelled: bool = True) -> None:
    color, y = COLORS[line.color], np.asarray(line.y) * factor
    style = {"ls": "--", "lw": 1.5} if line.interval is None else {"ls": "-", "marker": line.mark or None, "ms": 4.5}
    if line.interval is not None:
        low, high = (np.asarray(end) * factor for end in line.interval[1:])
        ax.fill_between(line.x, low, high, color=color, alpha=0.2, lw=0)
    ax.plot(line.x, y, color=color, label=name, **style)
    if not labelled:
        return
    where, last = (line.x[line.at], y[line.at]), line.at in (-1, len(y) - 1)
    kind = {"ha": "left", "va": "center"} if last else {"ha": "center", "va": "bottom" if line.lift >= 0 else "top"}
    kind |= {"annotation_clip": False}  # a name at the end stands outside the axes, where no grid crosses it
    ax.annotate(name, where, xytext=(5 * last, line.lift), textcoords="offset points", color=color, **kind)


def plain_ticks(axis: object, at: Sequence[float]) -> None:
    """Put ticks at these numbers only, written plainly."""
    axis.set_major_locator(FixedLocator(list(at)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


@styled
def errors_by_ratio(
    lines: Mapping[str, Line],
    scaled: bool = True,
    ticks: Sequence[float] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20),
    span: tuple[float, float] | None = None,
    height: float = 3.8,
) -> tuple[Figure, str]:
    """Return errors against n/d on log axes, each line with its name; ``scaled``: times n/d, so that d/n is flat.

    ``ticks``: of the vertical axis. ``span``: the ends of the vertical axis; lines that leave it are cut.
    """
    fig, axes = canvas(height=height)
    ax, told = axes[0, 0], []
    for name, line in lines.items():
        x = np.asarray(line.x, dtype=float)
        factor = x if scaled else np.ones_like(x)
        _draw(ax, name, line, factor)
        ends = np.asarray(line.y) * factor
        kind = "theory" if line.interval is None else "measured"
        told.append(
            f"{name.replace(chr(10), ' ')} ({kind}) goes from {ends[0]:.3g} at {x[0]:g} to {ends[-1]:.3g} at {x[-1]:g}"
        )
    every = sorted({float(v) for line in lines.values() for v in line.x})
    ax.set(xscale="log", yscale="log", xlabel="examples per coordinate, $n/d$", ylim=span)
    ax.set_xlim(every[0] / 1.1, every[-1] * 1.03)
    ax.set_ylabel(r"error $\times\ n/d$" if scaled else "error")
    plain_ticks(ax.xaxis, [v for v in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64) if every[0] <= v <= every[-1]])
    low, high = ax.get_ylim()
    plain_ticks(ax.yaxis, [v for v in ticks if low <= v <= high])
    ax.set_ylim(low, high)
    ax.grid(True)
    what = "Error times n/d" if scaled else "Error"
    return fig, f"{what} against examples per coordinate n/d, log-log. {'; '.join(told)}."


BETTER = LinearSegmentedColormap.from_list(
    "better_worse",
    [
        (0.0, COLORS["layer"]),
        (0.5, (*to_rgba(COLORS["layer"])[:3], 0.0)),  # clear: as good as the max margin
        (0.5, (*to_rgba(COLORS["sink"])[:3], 0.0)),
        (1.0, COLORS["sink"]),
    ],
).with_extremes(under="#0073b3", over="#d65f01")  # near enough, and not in COLORS: no theme recolours the map either
SCALE = float(np.log2(1.25))
"""The map's colours are saturated where log2 of the quotient is beyond this."""


@styled
def depth_map(panels: Mapping[str, tuple[Sequence[int], Sequence[float], Float[Tensor, "K N"]]]) -> tuple[Figure, str]:
    """Return maps of error / error of the max margin over depth and n/d, the best depth of each n/d ringed.

    panels: title -> (depths [K], n/d [N], the quotient [K, N]). Blue: better than the max margin; orange: worse.
    """
    fig, axes = canvas(1, len(panels), height=4.2)
    told = []
    for ax, (title, (depths, ratios, quotient)) in zip(axes[0], panels.items(), strict=True):
        logs = np.clip(np.log2(np.asarray(quotient)), -SCALE, SCALE)
        image = ax.pcolormesh(
            np.arange(len(ratios) + 1) - 0.5,
            np.arange(len(depths) + 1) - 0.5,
            logs,
            cmap=BETTER,
            vmin=-SCALE,
            vmax=SCALE,
            linewidth=0,
            rasterized=True,
        )
        best = np.asarray(quotient).argmin(0)
        ax.plot(np.arange(len(ratios)), best, "o", ms=9, mfc="none", mec=INK, mew=1.6)
        for column, row in enumerate(best):
            told.append(
                f"{title}, n/d = {ratios[column]:g}: best at depth {depths[row]}, "
                f"{float(quotient[row, column]):.2f} times the max margin's error"
            )
        ax.set_xticks(range(len(ratios)), [f"{r:g}" for r in ratios], rotation=90 * (len(ratios) > 5))
        ax.set_yticks(range(0, len(depths), 2), [f"{t:,}" for t in depths[::2]])
        ax.set(title=title, xlabel="$n/d$", ylabel="layers $T$")
    bar = fig.colorbar(image, ax=axes[0].tolist(), location="bottom", shrink=0.8, aspect=30, extend="both")
    bar.set_ticks(np.log2([0.8, 0.9, 1, 1.1, 1.2]), labels=["0.8", "0.9", "1", "1.1", "1.2"])
    bar.set_label("error / error of the max margin")
    bar.solids.set_rasterized(True)
    return fig, f"Maps of the error by depth and by n/d, relative to the max margin's. {'; '.join(told)}."


@styled
def bounds_on_error(panels: Mapping[str, tuple[str, Mapping[str, Line]]]) -> tuple[Figure, str]:
    """Return log-log panels of errors and bounds: title -> (label of the horizontal axis, name -> line).

    A dotted line at 1 marks where a bound says nothing. The names, the same in every panel, stand below.
    """
    fig, axes = canvas(1, len(panels), height=3.4)
    told = []
    for ax, (title, (label, lines)) in zip(axes[0], panels.items(), strict=True):
        for name, line in lines.items():
            _draw(ax, name, line, np.ones(len(line.x)), labelled=False)
            ends = np.asarray(line.y)
            said = f"{title}, {name}".replace("$", "")
            told.append(f"{said}: {ends[0]:.2g} at {line.x[0]:g}, {ends[-1]:.2g} at {line.x[-1]:g}")
        ax.axhline(1, color=INK, ls=":", lw=1.2)
        ax.set(xscale="log", yscale="log", title=title, xlabel=label)
        plain_ticks(ax.xaxis, next(iter(lines.values())).x)
        low, high = ax.get_ylim()
        plain_ticks(ax.yaxis, [v for v in (0.01, 0.1, 1, 10, 100) if low <= v <= high])
        ax.set_ylim(low, high)
        ax.grid(True)
    axes[0, 0].set_ylabel("error")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return fig, f"Errors and proven bounds, log-log. {'; '.join(told)}."
