"""Figures. Every figure function returns ``(fig, alt_text)``; :func:`show` puts both into the notebook."""

from .base import COLORS, INK, canvas, label_line, show, styled, to_svg

__all__ = ["COLORS", "INK", "canvas", "label_line", "show", "styled", "to_svg"]
