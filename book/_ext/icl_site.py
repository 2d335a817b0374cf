"""How the book looks from outside: what a search engine, a link in a chat, and a wrong address show of it.

Each page gets a description in plain words (its first sentences that need no formula), a card to be shown beside a
link to it, and the tags of Open Graph and Twitter that carry both. The site gets a map of its pages, a root that can be
shared, and a page for wrong addresses. Every absolute address comes from ``site_url()``.

sphinxext-opengraph makes such tags too, but its descriptions and cards are full of TeX; sphinx-sitemap brings git.
"""

import json
import re
import zlib
from html import escape, unescape
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from icl_project import ROOT, site_url

SITE = "The Layer Is the Step"
SUBTITLE = "How a transformer learns logistic regression from its prompt"
SHORT, LONG = 60, 200  # characters of a description; most who show one cut it near the second
NO_PROSE = re.compile(r"[\\^_{}$|<>=]|\b(?:table|figure|cell) (?:below|above)\b")
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z0-9*\"'])")
CARD_SIZE = (1200, 630)
CARD_ALT = "The same labelled points four times, with the line that separates them after 0, 1, 5 and 50 layers"


def plain(node: nodes.Node) -> str:
    """The text of a paragraph, a formula as its TeX: a sentence with more than a letter of it is then left out."""
    return re.sub(r"\s+", " ", node.astext()).strip()


def shortened(text: str, length: int = LONG) -> str:
    """The text, cut after a whole word if it is longer than ``length``."""
    return text if len(text) <= length else text[: length - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def described(doctree: nodes.document) -> str:
    """The first sentences of a page that stand in running text and need no formula, 200 characters at most."""
    found = ""
    for paragraph in doctree.findall(nodes.paragraph):
        subtitle = len(paragraph) == 1 and isinstance(paragraph[0], nodes.emphasis)
        if subtitle or not isinstance(paragraph.parent, nodes.section):
            continue
        for sentence in SENTENCE.split(plain(paragraph)):
            sentence = sentence.strip()
            if NO_PROSE.search(sentence) or sentence.endswith(":") or len(sentence) < 20:
                continue
            if found and len(found) + 1 + len(sentence) > LONG:
                return found
            found = f"{found} {sentence}".strip()
            if len(found) >= LONG:
                return shortened(found)
        if len(found) >= SHORT:
            return found
    return found


def card_name(pagename: str) -> str:
    return f"cards/{pagename.replace('/', '-')}.png"


def tags(pagename: str, title: str, description: str, card: str) -> str:
    """The <meta> elements of one page."""
    kind = "book" if title == SITE else "article"
    properties = {
        "og:type": kind,
        "og:site_name": SITE,
        "og:locale": "en_GB",
        "og:title": title if kind == "article" else f"{SITE}: {SUBTITLE[0].lower()}{SUBTITLE[1:]}",
        "og:description": description,
        "og:url": f"{site_url()}{pagename}.html",
        "og:image": f"{site_url()}{card}",
        "og:image:width": CARD_SIZE[0],
        "og:image:height": CARD_SIZE[1],
        "og:image:alt": CARD_ALT,
    }
    lines = [f'<meta name="description" content="{escape(description)}">']
    lines += [f'<meta property="{name}" content="{escape(str(value))}">' for name, value in properties.items()]
    return "\n".join([*lines, '<meta name="twitter:card" content="summary_large_image">']) + "\n"


def page_title(context) -> str:
    return unescape(re.sub(r"<[^>]+>", "", context.get("title", ""))).strip()


def describe_page(app, pagename, templatename, context, doctree):
    """Put description and card into the head of a page."""
    if app.builder.name != "html":
        return
    root = app.config.root_doc
    title = page_title(context) or {"search": "Search"}.get(pagename, pagename)
    if doctree is None:
        description = f"{title}: a page of the book {SITE}, {SUBTITLE[0].lower()}{SUBTITLE[1:]}."
        card = card_name(root)
    else:
        description, card = described(doctree), card_name(pagename)
    context["metatags"] = context.get("metatags", "") + tags(pagename, title, description, card)
    if pagename == root:
        context["title"] = SUBTITLE  # in the window's title, which ends in the book's name anyway


# --- cards ------------------------------------------------------------------------------------------------------------


def card_drawer():
    """A function that writes the card of a title: the first figure of the book, under the title and the book's name."""
    import matplotlib.pyplot as plt
    import torch

    import icl_lib as icl
    from icl_lib.plots import COLORS

    generator = torch.Generator().manual_seed(7)
    prompts = icl.LinearTask(d=2, margin=0.4).sample(1, 20, generator=generator, dtype=torch.float64).normalized()
    depths = (0, 1, 5, 50)
    path = icl.ngd(prompts.z, step=1.0, steps=depths[-1])[:, 0]
    x, y = prompts.x[0], prompts.y[0]

    figure = plt.figure(figsize=(CARD_SIZE[0] / 100, CARD_SIZE[1] / 100), dpi=100, facecolor="white")
    heading = figure.text(0.06, 0.9, "", fontsize=44, weight="bold", color="#1d2129", va="top", linespacing=1.2)
    figure.text(0.06, 0.06, SITE, fontsize=23, weight="bold", color="#0b57b8", va="bottom")
    figure.text(0.94, 0.06, "How a transformer learns\nfrom its prompt", fontsize=16, color="#4a4f57", ha="right")
    for number, depth in enumerate(depths):
        axes = figure.add_axes((0.06 + 0.225 * number, 0.2, 0.2, 0.38))
        axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], aspect="equal")
        for sign, marker in ((1, "o"), (-1, "s")):
            axes.scatter(*x[y == sign].T, s=70, marker=marker, color=COLORS["+1" if sign > 0 else "-1"])
        w = path[depth]
        if w.norm() > 0:
            along = torch.stack([-w[1], w[0]]) / w.norm() * 3
            axes.plot([-along[0], along[0]], [-along[1], along[1]], color="#2b2f36", linewidth=3)
        axes.set_title(f"{depth} layer{'' if depth == 1 else 's'}", fontsize=19, color="#4a4f57")
        plt.setp(axes.spines.values(), color="#c4c8cf")

    def draw(title: str, path: Path, key: str):
        import textwrap

        heading.set_text("\n".join(textwrap.wrap(title, 38)[:2]))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100, metadata={"Description": key}, pil_kwargs={"optimize": True})

    return draw, lambda: plt.close(figure)


def meta(page: Path, name: str) -> str:
    """What a built page says of itself in the <meta> element of that name."""
    found = re.search(rf'<meta (?:name|property)="{name}" content="([^"]*)">', page.read_text(encoding="utf8"))
    return unescape(found[1])


def write_cards(app):
    """Draw the cards that are new or whose title changed; the others stay, each with its key written into it."""
    from PIL import Image

    out, draw, close = Path(app.outdir), None, None
    wanted = {out / card_name(name): name for name in sorted(app.env.found_docs)}
    for path in set((out / "cards").glob("*")) - set(wanted):
        path.unlink()
    for path, pagename in wanted.items():
        title = SUBTITLE if pagename == app.config.root_doc else meta(out / f"{pagename}.html", "og:title")
        key = f"{title} {zlib.crc32(Path(__file__).read_bytes())}"
        if path.exists():
            with Image.open(path) as image:
                if image.info.get("Description") == key:
                    continue
        if draw is None:
            draw, close = card_drawer()
        draw(title, path, key)
    if close:
        close()


# --- the whole site ---------------------------------------------------------------------------------------------------


def parts_of(app) -> list[tuple[str, list[tuple[str, str]]]]:
    """The table of contents as (caption, [(address, title), ...])."""
    import yaml

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    titles = app.env.titles
    return [
        (part["caption"], [(f"{one['file']}.html", titles[one["file"]].astext()) for one in part["chapters"]])
        for part in toc["parts"]
    ]


def write_site_files(app, exception):
    """Write the root, the page for wrong addresses, the map, and a word to robots."""
    if exception or app.builder.name != "html":
        return
    out, root = Path(app.outdir), app.config.root_doc
    write_cards(app)
    description = meta(out / f"{root}.html", "description")
    (out / "index.html").write_text(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{SITE}</title>\n'
        f'<meta http-equiv="refresh" content="0; url={root}.html">\n'
        f'<link rel="canonical" href="{site_url()}{root}.html">\n{tags(root, SITE, description, card_name(root))}'
        f'</head>\n<body><a href="{root}.html">{SITE}</a></body>\n</html>\n',
        encoding="utf8",
    )
    page = app.builder.templates.render(
        "404.html",
        {"site_name": SITE, "base": urlsplit(site_url()).path, "root": f"{root}.html", "parts": parts_of(app)},
    )
    (out / "404.html").write_text(page, encoding="utf8")
    pages = "".join(f"  <url><loc>{site_url()}{name}.html</loc></url>\n" for name in sorted(app.env.found_docs))
    (out / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{pages}</urlset>\n',
        encoding="utf8",
    )
    # Robots ask for this file at the root of a host only: it counts where the book has a host of its own.
    (out / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {site_url()}sitemap.xml\n", encoding="utf8")


# --- pages that an incremental build would leave as they were ---------------------------------------------------------


def frame(env) -> str:
    """What every page shows of the others: their order and their titles."""
    titles = {name: node.astext() for name, node in sorted(env.titles.items())}
    parts = ((ROOT / "_toc.yml").read_bytes(), json.dumps(titles).encode(), Path(__file__).read_bytes())
    return " ".join(f"{zlib.crc32(part):x}" for part in parts)


def dress() -> int:
    """A number that changes with the style sheets and scripts that every page names."""
    files = sorted(path for path in (ROOT / "book" / "assets").iterdir() if path.suffix in {".css", ".js"})
    return zlib.crc32(b"".join(path.read_bytes() for path in files))


def rewrite_when_the_frame_changed(app, env):
    """Have all pages written again when the contents, a title or a style sheet changed: Sphinx rewrites too few."""
    new, old = (frame(env), dress()), getattr(env, "icl_frame", None)
    env.icl_frame = new
    return [] if new == old else sorted(env.found_docs)


def forget_old_source_views(app):
    """Remove the pages of source code whose module or frame changed since they were written.

    Sphinx keeps a page that is younger than its module, also when the module was read before it changed, or is gone.
    """
    if app.builder.name != "html":
        return []
    folder, record = Path(app.outdir) / "_modules", Path(app.doctreedir) / "source_views.json"
    modules = getattr(app.env, "_viewcode_modules", {})
    # The names count as well: their links lead back to the pages that show them.
    new = {
        name: zlib.crc32(repr((entry[0], sorted(entry[2].items()), frame(app.env))).encode())
        for name, entry in modules.items()
        if entry
    }
    old = json.loads(record.read_text(encoding="utf8")) if record.exists() else {}
    for page in folder.rglob("*.html"):
        name = page.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
        if name != "index" and (name not in new or new[name] != old.get(name)):
            page.unlink()
    record.write_text(json.dumps(new), encoding="utf8")
    return []


def use_own_templates(app, config):
    config.templates_path = [str(Path(__file__).parent / "templates"), *config.templates_path]


def mend_back_links(app, pagename, templatename, context, doctree):
    """Let the links of a source view lead to where each name is described: Sphinx guesses one module for them all."""
    if not pagename.startswith("_modules/") or app.builder.name != "html":
        return
    module = pagename.removeprefix("_modules/").replace("/", ".")
    known = app.env.get_domain("py").objects

    def mended(link):
        parts = link[2].split(".")
        names = [link[2], *(".".join([module, *parts[first:]]) for first in range(1, len(parts)))]
        name = next((name for name in names if name in known), None)
        return f"{link[1]}{known[name].node_id}{link[3]}" if name else ""  # an alias has its original's anchor

    pattern = r'(<a class="viewcode-back" href="[^"#]*#)([^"]*)(".*?</a>)'
    context["body"] = re.sub(pattern, mended, context["body"])


def setup(app):
    app.connect("html-page-context", mend_back_links)
    app.connect("config-inited", use_own_templates)
    app.connect("html-page-context", describe_page, priority=600)
    app.connect("env-updated", rewrite_when_the_frame_changed)
    app.connect("html-collect-pages", forget_old_source_views, priority=400)  # before viewcode writes them (500)
    app.connect("build-finished", write_site_files, priority=900)
    version = zlib.crc32(Path(__file__).read_bytes())
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": version}
