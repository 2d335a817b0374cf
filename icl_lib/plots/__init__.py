"""Figures. Every figure function returns ``(fig, alt_text)``; :func:`show` puts both into the notebook."""

from .anatomy import matrices, reach_of_a_head, reading, sink_share, soft_maximum
from .base import COLORS, INK, canvas, label_line, show, styled, to_svg
from .depth import (
    attention_by_depth,
    bound_by_depth,
    race_to_margin,
    rate_constants,
    support_by_depth,
)
from .descent import descent_over_time, same_road, step_sizes
from .learning import boundary_race, folding, losses_of_a_margin, no_separator, potential_along_rays
from .limits import infinite_context, large_steps, stopping_early
from .normalisations import (
    clocks,
    one_way_open,
    outlier_error,
    roads,
    roads_meet,
    slotted,
    step_race,
    update_lengths,
)

__all__ = [
    "COLORS",
    "INK",
    "attention_by_depth",
    "bound_by_depth",
    "boundary_race",
    "canvas",
    "clocks",
    "descent_over_time",
    "folding",
    "infinite_context",
    "label_line",
    "large_steps",
    "losses_of_a_margin",
    "matrices",
    "no_separator",
    "one_way_open",
    "outlier_error",
    "potential_along_rays",
    "race_to_margin",
    "rate_constants",
    "reach_of_a_head",
    "reading",
    "roads",
    "roads_meet",
    "same_road",
    "show",
    "sink_share",
    "slotted",
    "soft_maximum",
    "step_race",
    "step_sizes",
    "stopping_early",
    "styled",
    "support_by_depth",
    "to_svg",
    "update_lengths",
]
