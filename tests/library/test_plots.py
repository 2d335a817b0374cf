"""Figures: one style, for both themes, for readers who cannot see them, and the same file every time."""

import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from icl_lib import plots

ALT = 'Error falls from 0.5 to 0.1 over 50 layers; "NGD" is below <GD> & stays there.'


@plots.styled
def figure(color=plots.INK, title="depth"):
    fig, axes = plots.canvas(1, 2)
    ax = axes[0, 0]
    ax.plot([0, 1, 2], [0.5, 0.2, 0.1], color=color)
    ax.fill_between([0, 1, 2], [0.4, 0.1, 0.0], [0.6, 0.3, 0.2], alpha=0.2)
    ax.scatter([0, 1], [0.1, 0.2], rasterized=True)
    ax.set_title(title)
    plots.label_line(ax, 2, 0.1, "NGD", plots.COLORS["layer"])
    return fig, ALT


def svg(**kwargs):
    return plots.to_svg(*figure(**kwargs))


def test_a_figure_has_an_accessible_name():
    root = ElementTree.fromstring(svg())
    assert root.tag.endswith("svg")
    assert root.get("role") == "img"
    assert root.get("aria-label") == ALT


def test_white_space_in_an_alt_text_is_closed_up():
    fig, _ = figure()
    assert 'aria-label="Two lines."' in plots.to_svg(fig, "  Two\n   lines. ")


@pytest.mark.parametrize("alt", ["", "  ", "\n\t"])
def test_an_empty_alt_text_is_refused(alt):
    fig, _ = figure()
    with pytest.raises(ValueError, match="alt: got an empty text, expected"):
        plots.to_svg(fig, alt)


def test_the_ink_can_be_recoloured_by_the_page():
    text = svg()
    assert f"var(--icl-ink, {plots.INK})" in text
    assert text.count(plots.INK) == text.count(f"var(--icl-ink, {plots.INK})")


def test_a_figure_is_transparent():
    assert not any("fill: #ffffff" in line for line in svg().splitlines())


def test_a_figure_has_no_metadata_and_no_date():
    text = svg()
    for word in ("<metadata", "<dc:date", "Matplotlib", "matplotlib.org", "<?xml", "<!DOCTYPE"):
        assert word not in text


def test_the_same_figure_gives_the_same_file():
    assert svg() == svg()
    assert svg() != svg(title="layers")
    with matplotlib.rc_context({"svg.hashsalt": "other", "svg.fonttype": "none"}):
        inside = svg()
    assert inside == svg()


def test_nobody_elses_style_changes_ours():
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "font.size": 30}):
        styled = svg()
    assert styled == svg()


def test_our_style_changes_nobody_elses():
    mode = matplotlib.get_backend()
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": "mine"}):
        before = dict(matplotlib.rcParams)
        svg()
        assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend() == mode


def test_a_figure_that_fails_leaves_the_style_alone_too():
    @plots.styled
    def broken():
        raise RuntimeError

    with matplotlib.rc_context({"lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        with pytest.raises(RuntimeError):
            broken()
        assert dict(matplotlib.rcParams) == before


def test_a_figure_function_keeps_its_name_and_docstring():
    @plots.styled
    def named():
        """Say something."""

    assert (named.__name__, named.__doc__) == ("named", "Say something.")


def test_no_figure_is_kept_open():
    from matplotlib import pyplot

    svg()
    assert pyplot.get_fignums() == []


def test_a_canvas_is_an_array_of_axes_five_inches_wide():
    fig, axes = plots.canvas(2, 3, height=4)
    assert axes.shape == (2, 3)
    assert tuple(fig.get_size_inches()) == (5.0, 4.0)


def luminance(color: str) -> float:
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_the_ink_and_the_colours_can_be_seen_on_both_themes(page):
    """Lines want 2:1 at the very least (3:1 is the rule for graphics that stand alone; ours carry labels)."""
    assert contrast(plots.INK, page) > 3.9
    assert min(contrast(color, page) for color in plots.COLORS.values()) > 2


def test_showing_puts_picture_and_alt_text_into_the_notebook(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append((data, raw)))
    plots.show(figure())
    [(data, raw)] = shown
    assert raw
    assert data["text/plain"] == ALT
    assert data["image/svg+xml"] == svg()
