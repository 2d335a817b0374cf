"""The exercises of the book, a module a chapter; see :class:`icl_lib.exercises.base.Exercise`."""

from importlib import import_module
from pkgutil import iter_modules

from .base import Exercise, Verdict

CHAPTERS = sorted(module.name for module in iter_modules(__path__) if module.name.startswith("ch"))

__all__ = ["Exercise", "Verdict", *CHAPTERS]


def __getattr__(name: str):
    if name in CHAPTERS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
