"""One progress bar, for whatever takes long."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def bar(name: str, start: int, total: int, progress: bool, steps: Iterable[int] | None = None):
    """Return a tqdm bar that stands at ``start`` of ``total``, around ``steps`` if they are given.

    It shows on a terminal or in a notebook; nothing in a log file, where it would only leave debris.
    """
    from tqdm import tqdm

    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    options = {"initial": start, "total": total, "desc": name, "leave": False, "mininterval": 0.5}
    hidden = {} if progress and watched else {"disable": True}  # if watched, TQDM_DISABLE has its say
    return tqdm(steps, **options, **hidden)
