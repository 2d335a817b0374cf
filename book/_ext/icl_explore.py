"""The explorable page: its scripts and its style stand beside it, as plain files, and no other page loads them."""

from pathlib import Path

from icl_project import ROOT

PAGE = "book/explore/index"
SOURCES = ROOT / "book" / "explore"
PARTS = ("explore.css", "layer.js", "explore.js")  # layer.js first: scripts that are deferred run in order


def link_parts(app, pagename, templatename, context, doctree):
    """Load the page's own parts, from its own folder: classic scripts, which run from file:// as well."""
    if pagename != PAGE or app.builder.format != "html":
        return
    tags = [f'<link rel="stylesheet" href="{name}">' for name in PARTS if name.endswith(".css")]
    tags += [f'<script defer src="{name}"></script>' for name in PARTS if name.endswith(".js")]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def without_indentation(text: str) -> str:
    """The same script or style, a tenth lighter; comments stay, for a reader who looks at the page's source."""
    return "\n".join(line.strip() for line in text.splitlines()) + "\n"


def copy_parts(app, exception):
    """Put the parts beside the built page."""
    folder = Path(app.outdir) / "book" / "explore"
    if exception or app.builder.format != "html" or not folder.is_dir():
        return
    for name in PARTS:
        text = (SOURCES / name).read_text(encoding="utf8")
        (folder / name).write_text(without_indentation(text), encoding="utf8")


def setup(app):
    app.connect("html-page-context", link_parts, priority=600)
    app.connect("build-finished", copy_parts)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
