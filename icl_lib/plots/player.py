"""A small player for matrices that change over training: plain HTML, SVG and JavaScript, no kernel, no network.

It works from a saved page, by mouse, touch and keyboard. Where scripts do not run, the controls stay hidden and the
last frame stands there as a picture.
"""

from __future__ import annotations

import json
from html import escape

from ..seed_bands import worst_distance
from ..training import TrainingRun
from .base import COLORS, INK
from .training import BLIND

CELL = 12
SCRIPT = """
(function () {
  var root = document.getElementById("%(id)s");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "1";
  var frames = %(frames)s, rects = root.querySelectorAll("rect[data-k]"), timer = null;
  var slider = root.querySelector("input"), button = root.querySelector("button");
  var text = root.querySelector("output"), svg = root.querySelector("svg");
  function draw(k) {
    var frame = frames[k];
    for (var i = 0; i < rects.length; i++) {
      var v = frame.v[i] / 100;
      rects[i].setAttribute("fill", v > 0 ? "%(plus)s" : "%(minus)s");
      rects[i].setAttribute("fill-opacity", Math.min(1, Math.abs(v)));
    }
    text.textContent = frame.say;
    svg.setAttribute("aria-label", frame.say);
    slider.setAttribute("aria-valuetext", frame.say);
  }
  function stop() { clearInterval(timer); timer = null; button.textContent = "Play"; }
  slider.addEventListener("input", function () { stop(); draw(+slider.value); });
  button.addEventListener("click", function () {
    if (timer) { stop(); return; }
    if (+slider.value >= frames.length - 1) slider.value = 0;
    button.textContent = "Pause";
    timer = setInterval(function () {
      slider.value = +slider.value + 1;
      draw(+slider.value);
      if (+slider.value >= frames.length - 1) stop();
    }, 250);
  });
  root.querySelector("div").hidden = false;
  slider.value = 0;
  draw(0);
})();
"""


def block_player(run: TrainingRun, name: str = "icl-player") -> str:
    """Return an HTML fragment that plays the run's snapshots: score matrix left, value matrix right.

    ``name``: the fragment's id, unique on its page.
    Blue entries are positive, orange ones negative, the fainter the nearer to 0; hatched blocks cannot be learnt.
    """
    d, frames, ink = run.layer.d, [], f"var(--icl-ink, {INK})"
    distance = [*worst_distance(run).tolist(), run.final_distance]
    for step, pair in run.snapshots.items():
        said = f"step {step}: distance to the construction {distance[step]:.1e}"
        frames.append({"v": [round(100 * float(v)) for m in pair for v in m.flatten()], "say": said})
    size = 2 * d * CELL
    cells, last = [], frames[-1]["v"]
    for which, kind in enumerate(("score", "value")):
        for k in range(4 * d * d):
            x, y = which * (size + 3 * CELL) + k % (2 * d) * CELL, 20 + k // (2 * d) * CELL
            v = last[which * 4 * d * d + k] / 100
            color = COLORS["+1"] if v > 0 else COLORS["-1"]
            cells.append(
                f'<rect data-k="" x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{color}" '
                f'fill-opacity="{min(1.0, abs(v)):g}"/>'
            )
        left = which * (size + 3 * CELL)
        for column, row in BLIND[kind]:
            x, y = left + column * d * CELL, 20 + row * d * CELL
            cells.append(f'<rect x="{x}" y="{y}" width="{d * CELL}" height="{d * CELL}" fill="url(#{name}-h)"/>')
        cells.append(
            f'<path d="M{left} 20h{size}v{size}h-{size}zM{left} {20 + size // 2}h{size}M{left + size // 2} 20v{size}" '
            f'fill="none" style="stroke:{ink}"/>'
        )
        title = ("score matrix", "value matrix")[which]
        cells.append(f'<text x="{left}" y="13" font-size="13" style="fill:{ink}">{title}</text>')
    width, height = 2 * size + 3 * CELL + 1, 21 + size
    svg = (
        f'<svg role="img" aria-label="{escape(frames[-1]["say"])}" viewBox="-1 0 {width + 1} {height}" '
        f'style="width:100%;max-width:{2 * width}px;height:auto">'
        f'<defs><pattern id="{name}-h" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect width="6" height="6" fill="{INK}" fill-opacity="0.3"/>'
        f'<path d="M0 6L6 0" style="stroke:{ink}"/></pattern></defs>{"".join(cells)}</svg>'
    )
    controls = (
        '<div hidden><button type="button" style="width:5em">Play</button> '
        f'<input type="range" min="0" max="{len(frames) - 1}" value="{len(frames) - 1}" '
        'aria-label="step of training" style="width:calc(100% - 6em);vertical-align:middle"></div>'
    )
    script = SCRIPT % {
        "id": name,
        "frames": json.dumps(frames, separators=(",", ":")),
        "plus": COLORS["+1"],
        "minus": COLORS["-1"],
    }
    return (
        f'<div id="{name}" style="max-width:34em">{svg}{controls}'
        f"<output>{escape(frames[-1]['say'])}</output></div><script>{script}</script>"
    )
