"""Figures. Every figure function returns ``(fig, alt_text)``; :func:`show` puts both into the notebook."""

from .anatomy import matrices, reach_of_a_head, reading, sink_share, soft_maximum
from .base import COLORS, INK, canvas, label_line, show, styled, to_svg
from .boundaries import boundary_by_depth, error_by_depth, error_by_examples
from .depth import attention_by_depth, bound_by_depth, race_to_margin, rate_constants, support_by_depth
from .descent import descent_over_time, same_road, step_sizes
from .learning import boundary_race, folding, losses_of_a_margin, no_separator, potential_along_rays
from .ledger import tightness_map
from .limits import infinite_context, large_steps, stopping_early
from .normalisations import clocks, one_way_open, outlier_error, roads, roads_meet, slotted, step_race, update_lengths
from .one_head import head_and_step, head_matrices, layer_error, rounding_drift, sigmoid_gap, sink_in_depth
from .player import block_player
from .training import (
    block_history,
    distances,
    landscape,
    linear_rates,
    noisy_edge,
    one_direction,
    optimisers,
    seed_band,
    valley,
)

__all__ = [
    "COLORS",
    "INK",
    "attention_by_depth",
    "block_history",
    "block_player",
    "bound_by_depth",
    "boundary_by_depth",
    "boundary_race",
    "canvas",
    "clocks",
    "descent_over_time",
    "distances",
    "error_by_depth",
    "error_by_examples",
    "folding",
    "head_and_step",
    "head_matrices",
    "infinite_context",
    "label_line",
    "landscape",
    "large_steps",
    "layer_error",
    "linear_rates",
    "losses_of_a_margin",
    "matrices",
    "no_separator",
    "noisy_edge",
    "one_direction",
    "one_way_open",
    "optimisers",
    "outlier_error",
    "potential_along_rays",
    "race_to_margin",
    "rate_constants",
    "reach_of_a_head",
    "reading",
    "roads",
    "roads_meet",
    "rounding_drift",
    "same_road",
    "seed_band",
    "show",
    "sigmoid_gap",
    "sink_in_depth",
    "sink_share",
    "slotted",
    "soft_maximum",
    "step_race",
    "step_sizes",
    "stopping_early",
    "styled",
    "support_by_depth",
    "tightness_map",
    "to_svg",
    "update_lengths",
    "valley",
]
