"""The book's theorems as objects."""

from types import MappingProxyType

from . import construction, depth, landscape, loop, normalisations
from .base import Instance, Sides, Theorem

__all__ = ["THEOREMS", "Instance", "Sides", "Theorem"]

_ALL = (
    construction.STATEMENTS + depth.STATEMENTS + normalisations.STATEMENTS + landscape.STATEMENTS + loop.STATEMENTS
)

THEOREMS = MappingProxyType({theorem.id: theorem for theorem in _ALL})
"""Every theorem of the book by its label, in the order of the chapters."""
