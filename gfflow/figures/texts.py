"""Texts of figures: what is mathematics in them is parsed as seldom as possible, since that takes half the time of
drawing. Matplotlib parses the texts of each file anew, and every number along an axis as a formula."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import ScalarFormatter

REMEMBERED = 1000  # texts; the figures of a run have some hundred, in two resolutions each


class Parser:
    """A parser of mathematics that serves one renderer after another, and remembers what it has parsed."""

    def __init__(self, parser: Any) -> None:
        @lru_cache(REMEMBERED)
        def parsed(text: str, dpi: float, font: FontProperties | None, options: tuple[tuple[str, Any], ...]) -> Any:
            return parser.parse(text, dpi, font, **dict(options))

        self._parsed = parsed

    def parse(self, text: str, dpi: float = 72, prop: FontProperties | None = None, **options: Any) -> Any:
        """What matplotlib's own parser returns, which is the same each time: not to be changed."""
        # a copy, since fonts can be changed afterwards
        return self._parsed(text, dpi, None if prop is None else prop.copy(), tuple(options.items()))


_parsers: dict[type, Parser] = {}  # by the class of what has one


def share_parsers(renderer: Any) -> None:
    """Gives what draws a file, which matplotlib makes for this file alone, the parser of those before it. Where its
    parts have other names in some release, it keeps its own."""
    holder: Any
    for holder in (renderer, getattr(renderer, "_text2path", None)):  # of pixels; of PDF
        parser = getattr(holder, "mathtext_parser", None)
        if parser is not None and not isinstance(parser, Parser):
            holder.mathtext_parser = _parsers.setdefault(type(holder), Parser(parser))


class Digits(ScalarFormatter):
    """The numbers that a linear axis has anyway, as text instead of mathematics: the same to the eye. A power of ten
    beside the axis stays mathematics."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return super().__call__(x, pos).removeprefix(r"$\mathdefault{").removesuffix("}$")


def plain_digits(axis: Axis) -> None:
    """Writes the numbers along a linear axis as text, unless the figure has chosen its own way."""
    if type(axis.get_major_formatter()) is ScalarFormatter:
        axis.set_major_formatter(Digits())
