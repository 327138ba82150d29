"""How every figure looks: the fonts of a paper, colours that survive colour blindness and a grey printer."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator
from numpy.typing import NDArray

from gfflow.figures.texts import plain_digits, share_parsers
from gfflow.records.event_names import OF_GROUPS
from gfflow.records.files import whole_file

# Dark blue and light orange: told apart by every kind of colour vision, and in grey by their lightness (27% and
# 56%). Line styles and markers differ as well, so that colour never carries a meaning alone.
PLUS, MINUS, OTHER = "#0B4F9E", "#E07B1A", "#8C8C8C"
INK, FAINT, BAND = "#222222", "#B8B8B8", "#EDEDED"
PREDICTED = "#E8A33D"  # a prediction drawn on top of a line in INK
FIT = "#3C9A5F"  # the data and the function fitted to them


@dataclass(frozen=True)
class Look:
    """How everything of one sign is drawn: neurons with a_j of that sign, the group and the mass of that sign."""

    color: str
    line: Any  # matplotlib's line style
    face: str  # inside of a marker
    family: tuple[str, ...]  # of colours, where several things of one sign are told apart; its own comes first
    label: str  # of neurons


BY_SIGN = {
    1: Look(PLUS, "-", PLUS, (PLUS, FIT, "#5FB3E5", "#6B5BB5"), "$a_j > 0$"),
    -1: Look(MINUS, (0, (5, 1.5)), "white", (MINUS, "#B0428F", "#8A6A2F", "#C44536"), "$a_j < 0$"),
}
LONG = 1e6  # from here on the digits of an iteration take the room of a power of ten
MANY = 1e8  # from here on an iteration is written with a power of ten
WIDTH = 6.75  # inches: the text width of a two-column paper

EVENT_LABELS = {  # in two lines; those of groups as in the closing table
    key: name.replace("u+", "$u_+$").replace("u-", "$u_-$").replace(" of ", "\nof ").replace(", ", ",\n")
    for key, name in OF_GROUPS.items()
} | {"leaves_zero": "leaves\nzero", "fitted": "end\nreached"}

PARAMETERS: Any = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # fixed: finding a free place takes a quarter of the drawing time
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.useoffset": False,  # ticks of 0.9995, not of -5 with a 10^-4 + 1 in a corner
    "axes.formatter.limits": (-3, 4),
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType: editable text, accepted by every publisher
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a drawing function under the style, leaving the global parameters as they were; short logarithmic axes of
    the figure that it returns get plain numbers."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(PARAMETERS):
            drawn = function(*args, **kwargs)
            if isinstance(drawn, Figure):
                for axes in drawn.axes:
                    for axis in (axes.xaxis, axes.yaxis):
                        plain_where_short(axis)
                        plain_digits(axis)
            return drawn

    return inner


class Displayed(Figure):
    """A figure that a notebook shows when it is the value of a cell: pyplot, which would arrange that for others, is
    not used here."""

    def draw(self, renderer: Any) -> None:
        share_parsers(renderer)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with matplotlib.rc_context(PARAMETERS):
            self.savefig(content, format="png", dpi=150)
        return content.getvalue()


def new_figure(
    height: float, width: float = WIDTH, margins: tuple[float, float, float, float] | None = None
) -> Figure:
    """An empty figure of the given inches, without pyplot and its global list of open figures.

    margins (left, right, bottom, top) in inches fix where the axes are; without them room is found for every
    label, which takes as long again as the drawing itself.
    """
    if margins is None:
        return Displayed(figsize=(width, height), layout="constrained")
    left, right, bottom, top = margins
    figure = Displayed(figsize=(width, height))
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    return figure


@styled
def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes NAME.png and NAME.pdf into the folder and returns their paths."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    with whole_file(paths[0]) as temporary:
        figure.savefig(temporary, pil_kwargs={"compress_level": 3})  # half the time of 6, the usual, and 3% longer
    figure.set_layout_engine("none")  # laid out once already: the PDF keeps the same places
    with whole_file(paths[1]) as temporary:
        figure.savefig(temporary, metadata={"CreationDate": None})  # equal runs give equal files
    return paths


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Increasing positions moved as little as needed to lie `gap` apart within [low, high]."""
    places = np.array(positions, dtype=np.float64)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    if len(places):
        places[-1] = min(places[-1], high)
    for i in reversed(range(len(places) - 1)):
        places[i] = min(places[i], places[i + 1] - gap)
    return np.maximum(places, low)


def panels(count: int) -> tuple[int, int]:
    """Rows and columns of so many equal panels, at most four in a row."""
    columns = 3 if count == 6 else min(4, count)
    return -(-count // columns), columns


def of_signs(dashed: bool = True) -> list[Line2D]:
    """Handles of a legend that tells the signs of a_j apart, for lines in the style of each or all drawn through."""
    looks = BY_SIGN.values()
    return [Line2D([], [], color=look.color, ls=look.line if dashed else "-", label=look.label) for look in looks]


def angle_axis(axes: Axes) -> None:
    """Makes the vertical axis one of a neuron's angle, in degrees."""
    ticks = range(-180, 181, 60)
    axes.set_yticks(ticks, [f"{angle}°".replace("-", "\N{MINUS SIGN}") for angle in ticks])
    axes.set(ylim=(-180, 180), ylabel="angle of $w_j$")


def iteration_axis(axes: Axes, step_size: float | None, ticks: int = 9) -> None:
    """Labels the horizontal axis with iterations, and with what one of them is in flow time where it is given."""
    unit = "" if step_size is None else f"   (flow time $t = {step_size:.4g}\\,\\times$ iteration)"
    axes.set_xlabel(f"iteration{unit}")
    if axes.get_xscale() == "linear":
        iteration_ticks(axes.xaxis, ticks)


def iteration_ticks(axis: Axis, ticks: int) -> None:
    """At most so many ticks and one on a linear axis of iterations, all in digits or all with powers of ten; three
    quarters of them where their labels are long. The axis' limits must be set before."""

    def name(value: float, _: object = None) -> str:
        many = value != 0 and max(axis.get_view_interval()) >= MANY
        return _power_of_ten(f"{value:.2e}") if many else number(value)

    if max(axis.get_view_interval()) >= LONG:
        ticks = 3 * ticks // 4
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10], integer=True))
    axis.set_major_formatter(name)


class _Plain(LogFormatterSciNotation):
    """The labels that a logarithmic axis has anyway, as plain numbers."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return quantity(x) if super().__call__(x, pos) else ""


def plain_where_short(axis: Axis) -> None:
    """Writes 80, 90 and 100 on a logarithmic axis of less than two decades, not 8 x 10^1, 9 x 10^1 and 10^2."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and 1e-3 <= low < high < min(100 * low, 1e4):
        for get, put in (
            (axis.get_major_formatter, axis.set_major_formatter),
            (axis.get_minor_formatter, axis.set_minor_formatter),
        ):
            if isinstance(get(), LogFormatterSciNotation):  # no other that a figure has chosen
                put(_Plain())


def lies_flat(step: NDArray[np.float64], values: NDArray[np.float64], first: float = 0.0) -> bool:
    """Whether over linear values a curve of values >= 0 is nothing but a fall at the edge: for nine tenths of the
    iterations below a hundredth of its top; on an axis that is logarithmic, from `first` on, for half of it."""
    step, values = step[step >= first], values[step >= first]
    if len(step) < 2 or values.max() <= 0:
        return False
    place = np.log(step) if first > 0 else step
    until = np.diff(place, append=place[-1])[values < 0.01 * values.max()].sum()
    return bool(until > (0.5 if first > 0 else 0.9) * (place[-1] - place[0]))


def number(value: float) -> str:
    """An iteration as people read it: 14 813; from 10^8 on with a power of ten (as mathematics)."""
    if abs(value) >= MANY:
        return _power_of_ten(f"{value:.2e}")
    return f"{value:,.0f}".replace(",", "\N{THIN SPACE}")


def quantity(value: float) -> str:
    """A measured value to three digits, with a power of ten (as mathematics) where it is very small or large."""
    if 999.5 <= abs(value) < 1e4:
        return number(float(f"{value:.3g}"))
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}"
    return _power_of_ten(f"{value:.1e}")


def _power_of_ten(text: str) -> str:
    """1.50e+08 as mathematics, without zeros that say nothing; 1.00e+08 is the power alone."""
    mantissa, exponent = text.split("e")
    short = mantissa.rstrip("0").rstrip(".") if len(mantissa) > 3 else mantissa
    return f"$10^{{{int(exponent)}}}$" if short == "1" else f"${short}\\times10^{{{int(exponent)}}}$"
