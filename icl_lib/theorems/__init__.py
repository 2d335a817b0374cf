"""The book's theorems as objects."""

from types import MappingProxyType

from . import (
    acceleration,
    classes,
    construction,
    depth,
    features,
    generalisation,
    landscape,
    loop,
    normalisations,
    regression,
)
from .base import Instance, Sides, Theorem
from .realizable import Sample
from .statistical import Statistical

__all__ = ["THEOREMS", "Instance", "Sample", "Sides", "Statistical", "Theorem"]

_ALL = construction.STATEMENTS + depth.STATEMENTS + normalisations.STATEMENTS + landscape.STATEMENTS + loop.STATEMENTS
_ALL += generalisation.STATEMENTS + acceleration.STATEMENTS + features.STATEMENTS + classes.STATEMENTS
_ALL += regression.STATEMENTS

THEOREMS = MappingProxyType({theorem.id: theorem for theorem in _ALL})
"""Every theorem of the book by its label, in the order of the chapters: a Theorem, or a Statistical if not sure."""
