"""What this book asks of Sphinx beyond its configuration: inline figures, offline MathJax, buttons that lead home."""

import re
import shutil
import zlib
from importlib.resources import files
from pathlib import Path

from docutils import nodes
from icl_plain import restore_notebook
from icl_project import CHAPTERS, repository_url, site_url

# What MathJax may ask for at run time, from the whole of its folder (24 MB): the TeX-to-HTML component, its fonts,
# TeX extensions that load on demand, and what the accessibility menu loads.
MATHJAX_PARTS = (
    "tex-mml-chtml.js",
    "output/chtml/fonts",
    "input/tex/extensions",
    "a11y",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
    "sre/mathmaps/nemeth.json",
)

CONSTANTS = {}  # name -> lines of its docstring, between the two events that handle it


def set_addresses(app, config):
    """Fill in every address that depends on where the repository lives."""
    config.html_theme_options |= {"repository_url": repository_url(), "repository_branch": "main"}
    config.html_baseurl = site_url()


def inline_svg(text: str, prefix: str) -> str:
    """The <svg> element alone, its ids prefixed: matplotlib names the glyphs of every figure alike."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\sid=")', rf"\g<1>{prefix}", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)
    return re.sub(r'(aria-(?:labelledby|describedby)=")([^"]+)', lambda m: m[1] + prefixed(m[2], prefix), svg)


def prefixed(ids: str, prefix: str) -> str:
    return " ".join(prefix + one for one in ids.split())


def inline_figures(app, doctree):
    """Put SVG figures, outputs of cells or files, into the page itself: the theme's ink reaches into no <img>."""
    if app.builder.format != "html":
        return
    folder = Path(app.env.doc2path(app.env.docname)).parent
    images = [image for image in doctree.findall(nodes.image) if image["uri"].endswith(".svg")]
    for number, image in enumerate(images, 1):
        beside = folder / image["uri"]  # a file is named from its page, an output of a cell from the book's root
        path = beside if beside.is_file() else Path(app.srcdir) / image["uri"].lstrip("/")
        figure = f'<div class="icl-figure">{inline_svg(path.read_text(encoding="utf8"), f"fig{number}-")}</div>'
        alone = isinstance(image.parent, nodes.paragraph) and len(image.parent) == 1
        (image.parent if alone else image).replace_self(nodes.raw(figure, figure, format="html"))


def lead_to_text_source(app, pagename, templatename, context, doctree):
    """Let "edit this page" and "show source" lead to the chapter's text: its notebook is made from that."""
    folder, _, stem = pagename.partition("/")
    source = CHAPTERS / f"{stem}.md"
    if folder != "notebooks" or not source.exists():
        return
    for button in context.get("header_buttons", []):
        for entry in button.get("buttons", []):
            if entry.get("label") in {"source-edit-button", "source-file-button"}:
                entry["url"] = entry["url"].replace(f"notebooks/{stem}.ipynb", f"book/chapters/{stem}.md")


def mend_markup(app, pagename, templatename, context, doctree):
    """Mend slips of other extensions: a role that no list may contain, one id for all proofs, a heading of nothing."""
    body = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')
    body = re.sub(r'<th class="([^"]*)"><p></p></th>', r'<td class="\1"></td>', body)
    context["body"] = re.sub(r'\sid="(?:exercise|solution|proof)-content"', "", body)


def drop_doubled_scripts(app, pagename, templatename, context, doctree):
    """Emit an inline script once: extensions register some twice, and a second `const` of the same name is an error."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in seen:
            kept.append(script)
        seen.add(body)
    context["script_files"] = kept


def skip_tuple_fields(app, what, name, obj, skip, options):
    """Leave out "Alias for field number 0", all that Python says of a named tuple's field: the class describes it."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def keep_constant(app, what, name, obj, options, lines):
    """Remember what is said of a constant, before napoleon makes a type of the words before its first colon."""
    if what == "data":
        CONSTANTS[name] = list(lines)


def restore_constant(app, what, name, obj, options, lines):
    if what == "data":
        lines[:] = CONSTANTS.pop(name)


def copy_mathjax(app, exception):
    """Copy MathJax out of its PyPI package into the site, which loads nothing from anywhere else."""
    if exception or app.builder.format != "html":
        return
    package = Path(str(files("mathjax"))) / "static" / "mathjax" / "es5"
    for part in MATHJAX_PARTS:
        source, target = package / part, Path(app.outdir) / "mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)


def setup(app):
    app.connect("config-inited", set_addresses)
    app.connect("source-read", restore_notebook)
    app.connect("doctree-read", inline_figures, priority=400)  # before Sphinx collects images (500)
    app.connect("html-page-context", lead_to_text_source, priority=600)  # after the theme has made its buttons (501)
    app.connect("html-page-context", drop_doubled_scripts, priority=600)
    app.connect("html-page-context", mend_markup, priority=600)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("autodoc-process-docstring", keep_constant, priority=400)  # before napoleon (500)
    app.connect("autodoc-process-docstring", restore_constant, priority=600)
    app.connect("build-finished", copy_mathjax)
    # Pages built by an older version of this file are built again.
    version = zlib.crc32(Path(__file__).read_bytes())
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": version}
