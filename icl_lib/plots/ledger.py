"""Figure of the claims ledger: how close each bound comes to being attained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .base import canvas, styled

if TYPE_CHECKING:
    from ..ledger import Row

PALE_TO_LAYER = LinearSegmentedColormap.from_list("pale_to_layer", ["#edf3f8", "#0071b1"])
"""Ends a shade beside COLORS["layer"], which a dark page would brighten: a 1 would look paler than a .9 there."""


@styled
def tightness_map(rows: Sequence[Row]) -> tuple[Figure, str]:
    """Return two maps of the ledger's rows, theorem by family: the largest tightness and the median.

    Equalities have no tightness and are left out. A cell's number and its shade say the same thing.
    """
    bounds = {row.theorem for row in rows if row.max_tightness > 0}
    rows = [row for row in rows if row.theorem in bounds]
    theorems = list(dict.fromkeys(row.theorem for row in rows))
    families = list(dict.fromkeys(row.family for row in rows))
    fig, axes = canvas(2, 1, height=0.5 * len(theorems) + 1.9)
    fig.get_layout_engine().set(hspace=0.05)
    for ax, field, title in zip(axes[:, 0], ("max_tightness", "median_tightness"), ("largest", "median"), strict=True):
        for row in rows:
            _cell(ax, families.index(row.family), theorems.index(row.theorem), getattr(row, field))
        ax.set(xlim=(-0.5, len(families) - 0.5), ylim=(len(theorems) - 0.5, -0.5))
        ax.set_title(f"{title} tightness", loc="left")
        ax.set_yticks(range(len(theorems)), [name.removeprefix("thm-") for name in theorems])
        ax.set_xticks([])
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    axes[1, 0].set_xticks(range(len(families)), families, rotation=50, ha="right", rotation_mode="anchor")
    return fig, _alt(rows, theorems)


def _cell(ax: Axes, x: int, y: int, value: float) -> None:
    shade = min(max(value, 0.0), 1.0)
    ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, color=PALE_TO_LAYER(shade), linewidth=0))
    text = f"{shade:.2f}".removeprefix("0") if 0.005 <= shade < 0.995 else f"{shade:.0f}"
    ax.text(x, y, text, ha="center", va="center_baseline", color="white" if shade > 0.84 else "#1a1a1a")


def _alt(rows: Sequence[Row], theorems: list[str]) -> str:
    parts = []
    for name in theorems:
        own = [row for row in rows if row.theorem == name]
        worst = max(own, key=lambda row: row.max_tightness)
        medians = sorted(row.median_tightness for row in own)
        parts.append(
            f"{name.removeprefix('thm-')}: at most {worst.max_tightness:.2f} (family {worst.family}), "
            f"medians from {max(medians[0], 0):.2f} to {medians[-1]:.2f}"
        )
    return "Two maps of tightness, theorem by family of contexts, 1 meaning attained. " + "; ".join(parts) + "."
