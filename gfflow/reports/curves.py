"""Mean and band over seeds of one scalar: against the iteration, and against the theory's own clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gfflow.figures.style import INK, new_figure, number, styled
from gfflow.reports.bands import Band, Clock, band, iterations, rescaled_time
from gfflow.reports.labels import group_label, is_logarithmic, label, sequence
from gfflow.reports.sweep import Group, Sweep

MOST = 12  # curves that one figure can show
LONG = 20  # characters of a combination's name from which the legend stands above
APART = 10  # times that the curves' highest values may differ on one linear axis
LINEAR = ("loss", "mass/", "alignment/", "theory/")  # read on a linear axis: their plateaus are the point


@styled
def curves(sweep: Sweep, scalar: str) -> Figure | None:
    """One curve per combination of swept values; None where no finished run has the scalar.

    Left over the iterations, right over t / (-ln lambda), where the curves of small lambda collapse to steps at
    1/||D+|| and 1/||D-||; only the left one where no run has a lambda below 1. More than 12 combinations: 12 of
    them, evenly chosen, and the figure says so.
    """
    groups = [group for group in sweep.groups if band(group.runs, scalar) is not None]
    if not groups:
        return None
    shown = [
        groups[i] for i in np.unique(np.linspace(0, len(groups) - 1, min(len(groups), MOST)).round().astype(int))
    ]
    colors = sequence(len(shown))
    rescaled = any(band(group.runs, scalar, rescaled_time) is not None for group in shown)
    figure = new_figure(2.9 if len(sweep.keys) < 2 else 3.8)
    panels = figure.subplots(1, 1 + rescaled, sharey=True, squeeze=False)[0]
    _draw(panels[0], shown, colors, scalar, iterations)
    panels[0].set_xlabel("iteration")
    panels[0].xaxis.set_major_formatter(lambda value, _: number(value))
    panels[0].set_ylabel(label(scalar))
    if rescaled:
        _draw(panels[1], shown, colors, scalar, rescaled_time)
        panels[1].set_xlabel(r"rescaled time $t\,/\,(-\ln\lambda)$")
        _mark_steps(panels[1], sweep)
    _legend(figure, sweep, shown, colors, len(groups), scalar)
    return figure


def _draw(axes: Axes, groups: list[Group], colors: list[str], scalar: str, clock: Clock) -> None:
    bands = [band(group.runs, scalar, clock) for group in groups]
    last = 0.0
    for found, color in zip(bands, colors, strict=True):
        if found is not None:
            axes.fill_between(found.x, found.low, found.high, color=color, alpha=0.22, linewidth=0)
            axes.plot(found.x, found.mean, color=color, linewidth=1.1)
            last = max(last, float(found.x[-1]))
    axes.set_xlim(0, last or 1)
    if axes.get_yscale() == "log":  # chosen by the panel that shares this axis
        return
    means = [found.mean for found in bands if found is not None]
    if not scalar.startswith(LINEAR) and is_logarithmic(np.concatenate(means or [np.empty(0)]).tolist()):
        axes.set_yscale("log")
    elif (highest := [float(mean.max()) for mean in means]) and max(highest) > APART * min(highest) > 0:
        axes.set_yscale("log")  # no room for all plateaus on one linear axis; the last of the rise to them is kept
        axes.set_ylim(min(highest) / 100, 2 * max(highest))
    elif means and min(mean.min() for mean in means) >= 0:
        axes.set_ylim(0, None)


def _mark_steps(axes: Axes, sweep: Sweep) -> None:
    """On orthogonal inputs, 1/||D+|| and 1/||D-||, marked where the whole sweep has the same data; the axis ends soon
    after the last of them."""
    steps, last = [], 0.0
    for side, sign in (("plus", "+"), ("minus", "-")):
        known = [job for job in sweep.finished if job.summary.get("theory.orthogonal")]
        norms = {norm for job in known if (norm := job.number(f"theory.d_{side}_norm"))}
        last = max([last, *(1 / norm for norm in norms)])
        if len(norms) == 1:
            steps.append((1 / norms.pop(), f"$1/\\Vert D_{{{sign}}}\\Vert$"))
    for (place, text), side in zip(sorted(steps), ("right", "left"), strict=False):
        axes.axvline(place, color=INK, linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(
            text, (place, 1.0), (4 if side == "right" else -4, 3), ("data", "axes fraction"), "offset points",
            ha=side, va="bottom", fontsize=8,
        )  # fmt: skip
    if last:
        axes.set_xlim(0, min(axes.get_xlim()[1], 1.8 * last))


def _legend(figure: Figure, sweep: Sweep, shown: list[Group], colors: list[str], known: int, scalar: str) -> None:
    counts = [band(group.runs, scalar) for group in shown]
    most = max(found.count for found in counts if found is not None)

    def entry(group: Group, found: Band | None) -> str:
        fewer = found is not None and found.count < most
        return group_label(group.values) + (f" ({found.count} runs)" if fewer and found is not None else "")

    handles = [Patch(color=color) for color in colors]
    names = [entry(group, found) for group, found in zip(shown, counts, strict=True)]
    if sweep.keys:
        title = label(sweep.keys[0]) if len(sweep.keys) == 1 else None
        long = max(len(name) for name in names) > LONG and title is None
        place: dict[str, Any] = {"loc": "outside upper left", "ncols": 2} if long else {"loc": "outside right upper"}
        figure.legend(handles, names, title=title, handlelength=1.0, labelspacing=0.3, **place)
    runs = f"mean and 10-90% band over {most} run{'s' * (most != 1)} each" if most > 1 else "one run each"
    part = f"; {len(shown)} of {known} combinations shown" if len(shown) < known else ""
    figure.supxlabel(runs + part, fontsize=8, style="italic", color=INK)
