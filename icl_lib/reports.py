"""Tables as files and as HTML: what the ledger, the trials, the seed bands and the sweeps write.

A file is replaced whole or not at all: whoever reads it sees the old table or the new one, never half of one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, UTF-8, lines ended by a line feed; a file that exists is replaced."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    path = Path(path)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(text.getvalue().encode())
    draft.replace(path)


def write_records(path: str | Path, rows: Iterable[NamedTuple]) -> None:
    """Write named tuples of one kind (one at least) as CSV, floating-point numbers to three digits."""
    rows = list(rows)
    written = ([f"{v:.3g}" if isinstance(v, float) else v for v in row] for row in rows)
    write_csv(path, rows[0]._fields, written)


def read_csv(text: str, kinds: Mapping[str, Callable[[str], object]], other: Callable[[str], object]) -> list[dict]:
    """Return the rows of a CSV table as dictionaries, values read by ``kinds[column]`` or else by ``other``."""
    entries = csv.DictReader(io.StringIO(text))
    return [{name: kinds.get(name, other)(value) for name, value in entry.items()} for entry in entries]


def shipped_text(name: str) -> str:
    """Return the text of a table that comes with the library."""
    return (files("icl_lib") / "data" / name).read_text(encoding="utf8")


CELL = "padding:0.2em 0.5em;text-align:"
"""The style of a cell; what follows is the side."""


def scrolling_table(caption: str, head: str, body: str) -> str:
    """Return an HTML table of the rows ``head`` and ``body``; where the page is narrow it scrolls inside itself."""
    return (
        f'<div role="region" tabindex="0" aria-label="{caption}" style="overflow-x:auto">'
        f'<table style="display:table;max-width:none;font-size:0.85em;border-collapse:collapse">'
        f'<caption style="text-align:left">{caption}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )
