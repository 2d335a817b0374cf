"""The book's theorems as objects."""

from types import MappingProxyType

from . import construction, depth
from .base import Instance, Sides, Theorem

__all__ = ["THEOREMS", "Instance", "Sides", "Theorem"]

THEOREMS = MappingProxyType({theorem.id: theorem for theorem in construction.STATEMENTS + depth.STATEMENTS})
"""Every theorem of the book by its label, in the order of the chapters."""
