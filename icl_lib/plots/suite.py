"""The suite of laws in chapter 11: every method's error on each of them, drawn and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .base import COLORS, canvas, styled

MARKS = {
    "averaging": ("chance", "x"),
    "logistic": ("logistic", "D"),
    "SVM": ("svm", "s"),
    "momentum": ("momentum", "^"),
    "layer": ("layer", "o"),
}
"""Method -> colour and marker, the most important one last: it is drawn on top."""


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if value >= 0.00995 else f"{100 * value:.2f}"


@styled
def suite_errors(rows: Iterable[Mapping], mine: Iterable[Mapping] = ()) -> tuple[Figure, str]:
    """Return every method's error on every law, divided by the layer's, with its interval divided by the same number.

    rows: as ``shipped()`` of icl_lib.experiments.out_of_distribution returns them; mine: the like from other prompts,
    whose error of the layer is drawn as a ring.
    """
    table = {(r["law"], r["method"]): r for r in rows}
    own = {r["law"]: r for r in mine if r["method"] == "layer"}
    laws = list(dict.fromkeys(law for law, _ in table))
    fig, axes = canvas(height=0.24 * len(laws) + 1.1)
    ax, said = axes[0, 0], []
    ax.axvline(1, color=COLORS["layer"], lw=1)
    for k, law in enumerate(laws):
        unit = table[law, "layer"]["error"]
        for method, (color, marker) in MARKS.items():
            mean, low, high = (table[law, method][part] / unit for part in ("error", "low", "high"))
            ax.plot([low, high], [k, k], color=COLORS[color], lw=1.4)
            ax.plot(mean, k, marker, color=COLORS[color], ms=5, label=method if k == 0 else None)
        if law in own:
            ax.plot(own[law]["error"] / unit, k, "o", mfc="none", mec=COLORS["layer"], ms=10)
        means = {m: table[law, m]["error"] for m in MARKS}
        best = min(means, key=means.get)
        said.append(f"{law}: layer {_percent(unit)}, best {best} {_percent(means[best])}")
    ax.set(xscale="log", ylim=(len(laws) - 0.4, -0.6), xlabel="error / error of the layer")
    ax.set_yticks(range(len(laws)), [f"{law}: {_percent(table[law, 'layer']['error'])} %" for law in laws])
    ax.set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(True)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.1)
    return fig, (
        "For each law the error of five methods as a multiple of the layer's, whose own is given in percent. In "
        f"percent: {'; '.join(said)}."
    )


def suite_table(rows: Iterable[Mapping]) -> str:
    """Return the table of the suite as HTML: a row for each law, a column for each method, in percent.

    It scrolls within itself, by finger or by arrow keys, where the page is narrow.
    """
    rows = list(rows)
    table = {(r["law"], r["method"]): r for r in rows}
    laws, methods = (list(dict.fromkeys(r[name] for r in rows)) for name in ("law", "method"))
    pad = "padding:0.2rem 0.17rem"
    fixed = f"{pad};text-align:left;position:sticky;left:0;min-width:5.4rem;background:var(--pst-color-background)"
    names = [*methods, "has a separator", "promised"]
    head = f'<th scope="col" style="{fixed}">law</th>'
    top = f"{pad};font-size:0.7rem;font-weight:600"
    head += "".join(f'<th scope="col" style="{top}">{escape(name)}</th>' for name in names)
    body = []
    for law in laws:
        any_one = table[law, methods[0]]
        promised = any_one["promised"]
        loops = "never" if promised == float("inf") else f"{float(f'{promised:.2g}'):,.0f}"
        cells = []
        for m in methods:
            r = table[law, m]
            low, high = (_percent(r[part]) for part in ("low", "high"))
            dagger = " †" if m == "SVM" and r["separable"] < 1 else ""
            small = f'<small style="font-size:0.66rem;white-space:nowrap">{low}&ndash;{high}</small>'
            cells.append(f"{_percent(r['error'])}{dagger}<br>{small}")
        cells += [f"{100 * any_one['separable']:.0f}&nbsp;%", loops]
        cells = "".join(f'<td style="{pad}">{cell}</td>' for cell in cells)
        body.append(f'<tr><th scope="row" style="{fixed};font-weight:400">{escape(law)}</th>{cells}</tr>')
    return (
        '<div role="region" aria-label="Errors by law and method, scrollable" tabindex="0" style="overflow-x:auto">'
        '<table style="text-align:right;font-size:0.75rem;line-height:1.25;vertical-align:top;hyphens:manual">'
        '<caption><span style="display:block;text-align:left;position:sticky;left:0;max-width:88vw">'
        "Error on new points in percent, with 95 percent intervals over prompts. Promised: median over the contexts of "
        "the loops after which the theorem separates them. † Soft margin in contexts without a separator."
        "</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
