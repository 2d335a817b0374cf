"""Figures. Every figure function returns ``(fig, alt_text)``; :func:`show` puts both into the notebook."""

from .base import COLORS, INK, canvas, label_line, show, styled, to_svg
from .boundaries import boundary_by_depth, error_by_depth, error_by_examples
from .ledger import tightness_map
from .matrices import (
    head_and_step,
    head_matrices,
    layer_error,
    rounding_drift,
    sigmoid_gap,
    sink_in_depth,
)

__all__ = [
    "COLORS",
    "INK",
    "boundary_by_depth",
    "canvas",
    "error_by_depth",
    "error_by_examples",
    "head_and_step",
    "head_matrices",
    "label_line",
    "layer_error",
    "rounding_drift",
    "show",
    "sigmoid_gap",
    "sink_in_depth",
    "styled",
    "tightness_map",
    "to_svg",
]
