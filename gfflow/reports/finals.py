"""Final values against a swept key, with fitted power laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.style import BAND, INK, MINUS, PLUS, new_figure, styled
from gfflow.reports.labels import is_logarithmic, label
from gfflow.reports.scaling import fit_power_law
from gfflow.reports.sweep import Sweep

SIGNED = ("final.norm_gap",)  # crosses zero at rounding: its size is what has a power law
ROUNDING = 1e-13  # a norm gap below this is what rounding and the last of the loss leave of a difference of norms
STRAIGHT = 0.95  # R^2 below which a fitted line is drawn as what it is: not the law of these values


def pairs(sweep: Sweep, key: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """(x, y): the swept key and the value of the summary, one pair per finished job that has both; of a norm gap
    the size, at least one rounding."""
    found = [(float(job.overrides[key]), job.number(value)) for job in sweep.finished if key in job.overrides]  # type: ignore[arg-type]
    known = [(x, y) for x, y in found if y is not None]
    x, y = np.array([x for x, _ in known]), np.array([y for _, y in known])
    return x, np.maximum(np.abs(y), np.finfo(float).eps) if value in SIGNED else y


def with_error(value: float, error: float) -> str:
    """A value to the digit where its error begins, and the error, as mathematics; at most four decimals."""
    decimals = 4 if error < 1e-4 else max(0, -math.floor(math.log10(error)))
    return f"{value:.{decimals}f} \\pm {error:.1g}"


@styled
def finals(sweep: Sweep, key: str, values: Sequence[str]) -> Figure | None:
    """One panel per value of the summary that some run has: every run a dot, the mean over runs as circles, and,
    where both axes are logarithmic, the fitted power law with its standard error. None where there is none."""
    known = [(value, *pairs(sweep, key, value)) for value in values]
    known = [entry for entry in known if len(entry[1])]
    if not known:
        return None
    columns = min(2, len(known))
    rows = -(-len(known) // columns)
    figure = new_figure(0.3 + 2.2 * rows)
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, (value, x, y) in zip(panels.flat, known, strict=False):
        _draw(axes, x, y, ROUNDING if value in SIGNED else 0.0)
        axes.set_ylabel(label(value))
    for axes in panels.flat[len(known) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(known) - columns) : len(known)]:
        axes.set_xlabel(label(key))
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, handlelength=1.0)
    figure.align_ylabels()
    return figure


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, rounding: float) -> None:
    """All of it on one panel; values below `rounding` are drawn on a grey band, and not fitted."""
    levels = np.unique(x)
    means = [y[x == level].mean() for level in levels]
    axes.plot(x, y, "o", color=PLUS, markersize=3, markeredgewidth=0, alpha=0.35, label="each run")
    axes.plot(
        levels,
        means,
        "o",
        color=INK,
        markerfacecolor="none",
        markersize=5,
        markeredgewidth=0.9,
        label="mean over runs",
    )
    if is_logarithmic(levels.tolist()):
        axes.set_xscale("log")
    if is_logarithmic(y[y > 0].tolist()) and (y > 0).all():
        axes.set_yscale("log")
    true = y > rounding
    if axes.get_yscale() == "log" and not true.all():
        axes.set_ylim(*axes.get_ylim())
        axes.axhspan(0, rounding, color=BAND, linewidth=0, zorder=-1)
        axes.annotate(
            "rounding", (1, rounding), (-3, -3), ("axes fraction", "data"), "offset points",
            ha="right", va="top", fontsize=8,
        )  # fmt: skip
    law = fit_power_law(x[true], y[true]) if axes.get_xscale() == axes.get_yscale() == "log" else None
    if law is not None:
        straight, fitted = law.r_squared >= STRAIGHT, np.unique(x[true])
        axes.plot(fitted, law(fitted), color=MINUS, linewidth=1.1, linestyle="-" if straight else (0, (1, 2)))
        doubt = "" if straight else f"; $R^2={law.r_squared:.2f}$: not one power"
        axes.set_title(f"slope ${with_error(law.slope, law.error)}${doubt}", fontsize=8, color=MINUS)
