"""The exercises of the book, a module a chapter; see :class:`icl_lib.exercises.base.Exercise`."""

from importlib import import_module

from .base import Exercise, Verdict

__all__ = ["Exercise", "Verdict", "ch04"]


def __getattr__(name: str):
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
