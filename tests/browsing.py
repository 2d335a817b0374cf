"""What the tests of the site share: which browser, how a page is opened, and what may be wrong with one."""

import functools
import http.server
import os
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import icl_chromium
import pytest
from axe_playwright_python.sync_playwright import Axe

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
TOO_WIDE = """() => {
  const root = document.scrollingElement, width = root.clientWidth;
  if (root.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .filter(one => one.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(one => one.outerHTML.slice(0, 120));
}"""

# axe's time grows faster than the page, and most of a page is the inside of figures, of formulas and of coloured code.
# A figure is one image to a reader of any kind (its alternative text is checked elsewhere) and a formula has one
# colour; of coloured words in code the first of each kind, on each kind of plate, stands for the others. One page is
# checked whole, so that the inside of these is checked too.
LEAN = """() => {
  for (const one of document.querySelectorAll(".icl-figure > svg")) one.replaceChildren();
  for (const one of document.querySelectorAll("mjx-math")) one.textContent = "x";
  for (const one of document.querySelectorAll("mjx-assistive-mml")) one.textContent = "x";
  const seen = new Set();
  for (const one of document.querySelectorAll("pre span, dt.sig span, dt.sig em")) {
    if (one.id || one.children.length || one.closest("a, button")) continue;
    let kind = "";
    for (let above = one; above && above.tagName !== "ARTICLE"; above = above.parentElement)
      kind += `${above.tagName}.${above.className} `;
    if (seen.has(kind)) one.replaceWith(one.textContent); else seen.add(kind);
  }
}"""


def browser_path() -> str:
    try:
        return icl_chromium.browser_path()
    except FileNotFoundError as error:
        pytest.fail(str(error))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder under a prefix, with its 404.html for any wrong address, as GitHub Pages does."""

    def __init__(self, *arguments, prefix="/", **named):
        self.prefix = prefix
        super().__init__(*arguments, **named)

    def translate_path(self, path):
        inside = path.startswith(self.prefix)
        return super().translate_path(path[len(self.prefix) - 1 :] if inside else "/no-such-file")

    def send_error(self, code, message=None, explain=None):
        page = os.path.join(self.directory, "404.html")
        if code != 404 or self.command != "GET" or not os.path.exists(page):
            return super().send_error(code, message, explain)
        with open(page, "rb") as file:
            body = file.read()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def served(folder, prefix="/"):
    """The address of a folder on a port of this machine that nobody else can reach."""
    handler = functools.partial(QuietHandler, directory=folder, prefix=prefix)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def listening(page):
    """The page, which from now on records what it asks for and what it complains about."""
    page.complaints, page.requests = [], []
    page.on("console", lambda m: m.type in {"error", "warning"} and page.complaints.append(f"{m.text} {m.location}"))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: "ABORTED" in request.failure or page.complaints.append(request.url))
    page.on("request", lambda request: page.requests.append(request.url))
    return page


def dress(view, size, theme):
    """Give an open page another width and another theme, in place."""
    width, height = SIZES[size]
    view.set_viewport_size({"width": width, "height": height})
    view.evaluate("theme => Object.assign(document.documentElement.dataset, {theme, mode: theme})", theme)
    view.wait_for_timeout(300)  # the side bar slides, and colours may fade


def formulas_waiting(view) -> int:
    """How many formulas MathJax left as text."""
    script = "() => [...document.querySelectorAll('.math')].filter(one => !one.querySelector('mjx-container')).length"
    return view.evaluate(script)


def hosts(view) -> set:
    """Which hosts the page has asked for anything."""
    return {urlsplit(url).hostname for url in view.requests if not url.startswith(("data:", "blob:"))}


def violations(view) -> list:
    """What axe-core finds: every rule, of every impact."""
    found = Axe().run(view, options={"resultTypes": ["violations"]}).response["violations"]
    return [(one["id"], one["impact"], one["help"], [node["html"][:160] for node in one["nodes"]][:5]) for one in found]
