"""Facts about the project that more than one tool needs: where it lies, where it is published, its pages."""

import os
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "book" / "chapters"
NOTEBOOKS = ROOT / "notebooks"
COSTS = NOTEBOOKS / "costs.json"
HTML = Path(os.environ.get("SITE", ROOT / "_build" / "html"))  # the built book; tests may be pointed elsewhere


def repository_url() -> str:
    """The repository's address, from the one place that holds it: ``[project.urls]`` in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    return project["urls"]["Repository"]


def site_url() -> str:
    """Where GitHub Pages serves the book that belongs to this repository."""
    _, owner, name = repository_url().rsplit("/", 2)
    return f"https://{owner}.github.io/{name}/"


def chapter_sources() -> list[Path]:
    """The text sources of all executed pages, in order."""
    return sorted(CHAPTERS.glob("[0-9][0-9]_*.md"))


def toc_pages() -> list[str]:
    """Every page of the table of contents, in order, by its name without suffix (``book/index``)."""
    import yaml

    def walk(node):
        if isinstance(node, list):
            return [page for entry in node for page in walk(entry)]
        if not isinstance(node, dict):
            return []
        own = [node[key] for key in ("root", "file") if key in node]
        return own + [page for value in node.values() for page in walk(value)]

    return walk(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8")))
