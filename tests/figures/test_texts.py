"""Texts of figures: parsed once, and drawn as matplotlib draws them."""

from __future__ import annotations

import io

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from gfflow.figures.style import Displayed, styled
from gfflow.figures.texts import Parser


def as_file(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    axes = figure.subplots()
    axes.set(title="$u_+^*$ at 1%", xlabel=r"$\Vert w_j\Vert$", yscale="log", ylim=(1e-9, 1.0))
    axes.plot([0.0, 1.0], [1e-9, 1.0], label="$a_j > 0$")
    axes.legend()
    figure.savefig(content, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_remembered_texts_change_no_byte(kind):
    expected = as_file(Figure(), kind)
    assert as_file(Displayed(), kind) == expected
    assert as_file(Displayed(), kind) == expected, "of what the first remembered"


def test_a_text_is_parsed_once_for_each_size_and_font():
    seen = []

    class Matplotlibs:
        def parse(self, text, dpi=72, prop=None, **options):
            seen.append((text, dpi, prop.get_size(), options))
            return len(seen)

    parser, font = Parser(Matplotlibs()), FontProperties(size=8)
    assert [parser.parse("$a$", 72, font), parser.parse("$a$", 72, font, antialiased=True)] == [1, 2]
    assert [parser.parse("$a$", 200, font), parser.parse("$b$", 200, font)] == [3, 4]
    assert parser.parse("$a$", 72, FontProperties(size=8)) == 1
    font.set_size(9)
    assert parser.parse("$a$", 72, font) == 5
    assert [size for _, _, size, _ in seen] == [8, 8, 8, 8, 9]


@pytest.mark.parametrize(
    ("limits", "label", "power"),
    [((0.0, 1.0), "0.", ""), ((-2.0, 2.0), "\N{MINUS SIGN}1", ""), ((0.0, 4e6), "2", r"10^{6}")],
)
def test_numbers_along_a_linear_axis_are_text_and_a_power_of_ten_is_mathematics(limits, label, power):
    @styled
    def drawn():
        figure = Figure()
        figure.subplots().set(ylim=limits)
        return figure

    figure = drawn()
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    labels = [text.get_text() for text in axis.get_ticklabels()]
    assert any(text.startswith(label) for text in labels)
    assert not any("$" in text for text in labels)
    assert power in axis.get_offset_text().get_text()
    assert ("$" in axis.get_offset_text().get_text()) == bool(power)
