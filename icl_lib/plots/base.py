"""The book's style: one palette, one canvas, and SVG figures that follow the page's light or dark theme."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from html import escape
from xml.dom.minidom import parseString

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

INK = "#757575"
"""Colour of text and axes: 4.6:1 on white and 4.0:1 on near-black, and what a page may recolour (--icl-ink)."""

COLORS = {
    "layer": "#0072B2",  # the looped attention layer, hence also normalized gradient descent
    "gd": "#CC79A7",
    "momentum": "#009E73",
    "decaying": "#56B4E9",
    "sink": "#D55E00",
    "logistic": "#E69F00",
    "length": "#9C6152",  # normalised by the length of the gradient
    "svm": "#8C6BB1",
    "end to end": "#8C8C00",  # a transformer trained on final answers only
    "chance": INK,
    "+1": "#0072B2",
    "-1": "#D55E00",
}
"""One colour for one algorithm in the whole book (Okabe-Ito tones, told apart by colour-blind readers and in grey)."""

STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "icl",  # fixed, so that the same data gives the same file
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def styled(figure: Callable[..., tuple[Figure, str]]) -> Callable[..., tuple[Figure, str]]:
    """Return the figure function, run under the book's style and nobody else's."""

    @wraps(figure)
    def wrapper(*args: object, **kwargs: object) -> tuple[Figure, str]:
        with _style():
            return figure(*args, **kwargs)

    return wrapper


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def canvas(rows: int = 1, cols: int = 1, width: float = 5.0, height: float = 3.2) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes as an array [rows, cols]; sizes in inches. At most 5 wide reads well on a phone.

    The figure belongs to no global state: nothing has to be closed.
    """
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, cols, squeeze=False)


def frame(ax: Axes, points: Tensor, air: float) -> None:
    """Frame points [n, 2] of a plane: equal scales, ``air`` around them, no axes and no ticks."""
    low, high = points.amin(0) - air, points.amax(0) + air
    ax.set(xlim=(float(low[0]), float(high[0])), ylim=(float(low[1]), float(high[1])), aspect="equal")
    ax.set(xticks=[], yticks=[])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def label_line(ax: Axes, x: float, y: float, text: str, color: str, **kwargs: object) -> None:
    """Write ``text`` beside a line, in its colour: a label where the eye is beats a legend."""
    ax.annotate(text, (x, y), color=color, xytext=(4, 0), textcoords="offset points", va="center", **kwargs)


def to_svg(fig: Figure, alt: str) -> str:
    """Return the figure as an SVG string with ``alt`` as its accessible name and recolourable ink."""
    if not alt.strip():
        raise ValueError("alt: got an empty text, expected what a reader who cannot see the figure needs to know")
    buffer = io.StringIO()
    with _style():  # layout and text are settled only here
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for color in {INK, *COLORS.values()}:  # a page may brighten them in the dark; elsewhere they are what they are
        name = "ink" if color == INK else color[1:].lower()
        svg = re.sub(re.escape(color), f"var(--icl-{name}, {color})", svg, flags=re.IGNORECASE)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(" ".join(alt.split()))}" ', 1)
    parseString(svg)  # a figure that is not well-formed would vanish from the page without a word
    return svg


def show(figure: tuple[Figure, str]) -> None:
    """Display a figure function's ``(fig, alt_text)`` in a notebook."""
    from IPython.display import display

    fig, alt = figure
    display({"image/svg+xml": to_svg(fig, alt), "text/plain": alt}, raw=True)
