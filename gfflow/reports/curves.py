"""Mean and band over seeds of one scalar: against the iteration, and against the theory's own clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from gfflow.figures.events import CROWDED, first_fall
from gfflow.figures.style import INK, iteration_ticks, new_figure, styled
from gfflow.reports.bands import Clock, band, iterations, rescaled_time
from gfflow.reports.jobs import Group, Sweep, Value, sortable
from gfflow.reports.labels import fitting, group_label, is_logarithmic, label, sequence, value_label

MOST = 12  # curves that one panel can show
ROWS = 4  # of panels, for the values of a second key
LONG = 20  # characters of a combination's name from which the legend stands above
EMPTY = 2  # times as long as what is to be seen, an axis is for the most part empty
APART = 10  # times that the curves' highest values may differ on one linear axis
LINEAR = ("loss", "mass/", "alignment/", "theory/")  # read on a linear axis: their plateaus are the point


@styled
def curves(sweep: Sweep, scalar: str) -> Figure | None:
    """One curve per combination of swept values; None where no finished run has the scalar.

    Left over the iterations, right over t / (-ln lambda), where the curves of small lambda collapse to steps at
    1/||D+|| and 1/||D-||; only the left one where no run has a lambda below 1. Where two keys were swept or more, the
    one with the fewest values, if at most four, has a row of panels for each. More than 12 combinations in a row: 12
    of them, evenly chosen, and the figure says so, and where the others are.
    """
    groups = [group for group in sweep.groups if band(group.runs, scalar) is not None]
    if not groups:
        return None
    facet = _facet(sweep)
    rows: dict[Value, list[Group]] = {}
    for group in groups:
        rows.setdefault(None if facet is None else group.values[facet], []).append(group)
    names = list(dict.fromkeys(_name(group, facet) for group in groups))
    shown = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(len(names), MOST)).round().astype(int))]
    colors = dict(zip(shown, sequence(len(shown)), strict=True))
    rescaled = any(band(group.runs, scalar, rescaled_time) is not None for group in groups)
    height = (2.9 if len(sweep.keys) < 2 else 3.8) if len(rows) == 1 else 0.7 + 1.9 * len(rows)
    if fitting(shown)[1] == 1:  # one name a line, above the panels
        height += 0.09 * len(shown)
    figure = new_figure(height)
    begins = _begins(groups)
    panels = figure.subplots(len(rows), 1 + rescaled, sharey="row", squeeze=False)
    for row, level in zip(panels, sorted(rows, key=sortable), strict=True):
        drawn = [group for group in rows[level] if _name(group, facet) in colors]
        used = [colors[_name(group, facet)] for group in drawn]
        _draw(row[0], drawn, used, scalar, iterations)
        if begins is None:
            iteration_ticks(row[0].xaxis, 5)
        else:
            row[0].set(xscale="log", xlim=(begins, row[0].get_xlim()[1]))
        row[0].set_ylabel(label(scalar))
        if facet is not None:
            # not on the left, where an axis of very small or large numbers has its power of ten
            row[0].set_title(f"{label(facet)} {value_label(level)}", fontsize=8)
        if rescaled:
            _draw(row[1], drawn, used, scalar, rescaled_time)
            if not _mark_steps(row[1], rows[level]):
                _end_soon(row[1], drawn, scalar)
    panels[-1, 0].set_xlabel("iteration")
    if rescaled:
        panels[-1, 1].set_xlabel(r"rescaled time $t\,/\,(-\ln\lambda)$")
    figure.align_ylabels()
    _legend(figure, groups, facet, colors, len(names), scalar)
    return figure


def _begins(groups: list[Group]) -> float | None:
    """The iteration from which on a logarithmic axis shows all runs, where even what happens last of all would crowd
    at the left edge of a linear one, as beside a run over many more iterations; else None."""
    losses = [run.column("loss") for group in groups for run in group.runs]
    falls = [float(step[i]) for step, loss in losses if (i := first_fall(loss)) is not None]
    last = max((float(step[-1]) for step, _ in losses if len(step)), default=0.0)
    if last <= CROWDED * max(falls, default=last):
        return None
    return max(1.0, min(falls) / 10)


def _facet(sweep: Sweep) -> str | None:
    """The key whose values have a row of panels each."""
    several = [key for key in reversed(sweep.keys) if len(sweep.levels(key)) > 1]
    if len(sweep.keys) < 2 or not several:
        return None
    fewest = min(several, key=lambda key: len(sweep.levels(key)))
    return fewest if len(sweep.levels(fewest)) <= ROWS else None


def _name(group: Group, facet: str | None) -> str:
    return group_label({key: value for key, value in group.values.items() if key != facet})


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
        top = max(float(found.high.max()) for found in bands if found is not None)
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.05 * top))  # also above a curve that does not rise or fall


def _end_soon(axes: Axes, groups: list[Group], scalar: str) -> None:
    """Ends the axis of rescaled time soon after the last curve has settled where most of it would be empty: equal
    iterations are the more rescaled time the larger lambda is."""
    found = [found for group in groups if (found := band(group.runs, scalar, rescaled_time)) is not None]
    soon = 1.5 * max((settles(each.x, each.mean) for each in found), default=0.0)
    if axes.get_yscale() == "linear" and 0 < EMPTY * soon < axes.get_xlim()[1]:
        axes.set_xlim(0, soon)


def settles(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The last x at which y is further than a hundredth of its range from its last value; 0 where it never is."""
    away = np.flatnonzero(np.abs(y - y[-1]) > 0.01 * np.ptp(y))
    return float(x[away[-1]]) if len(away) else 0.0


def _mark_steps(axes: Axes, groups: list[Group]) -> bool:
    """On orthogonal inputs, 1/||D+|| and 1/||D-||, marked where all groups have the same data; the axis ends soon
    after the last of them. Returns whether there are any."""
    steps, last = [], 0.0
    for side, sign in (("plus", "+"), ("minus", "-")):
        known = [job for group in groups for job in group.jobs if job.summary.get("theory.orthogonal")]
        norms = {norm for job in known if (norm := job.number(f"theory.d_{side}_norm"))}
        last = max([last, *(1 / norm for norm in norms)])
        if len(norms) == 1:
            steps.append((1 / norms.pop(), f"$1/\\Vert D_{{{sign}}}\\Vert$"))
    if last:
        axes.set_xlim(0, min(axes.get_xlim()[1], 1.8 * last))
    for (place, text), side in zip(sorted(steps), ("right", "left"), strict=False):
        if place >= axes.get_xlim()[1]:  # the runs ended before: a text beyond the panel would leave it no room
            continue
        axes.axvline(place, color=INK, linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(
            text, (place, 1.0), (4 if side == "right" else -4, 3), ("data", "axes fraction"), "offset points",
            ha=side, va="bottom", fontsize=8,
        )  # fmt: skip
    return last > 0


def _legend(
    figure: Figure, groups: list[Group], facet: str | None, colors: dict[str, str], known: int, scalar: str
) -> None:
    counts: dict[str, set[int]] = {name: set() for name in colors}
    for group in groups:
        found = band(group.runs, scalar)
        if found is not None and _name(group, facet) in counts:
            counts[_name(group, facet)].add(found.count)
    most = max(max(numbers) for numbers in counts.values())

    def entry(name: str) -> str:
        few, many = min(counts[name]), max(counts[name])
        if few == most:
            return name
        return f"{name} ({few} to {many} runs)" if few < many else f"{name} ({many} run{'s' * (many > 1)})"

    named = [key for key in groups[0].values if key != facet]
    if named:
        handles = [Patch(color=color) for color in colors.values()]
        names = [entry(name) for name in colors]
        title = label(named[0]) if len(named) == 1 else None
        long = max(len(name) for name in names) > LONG and title is None
        names, columns = fitting(names)
        place: dict[str, Any] = {"loc": "outside right upper"}
        if long:
            place = {"loc": "outside upper left", "ncols": columns}
        figure.legend(handles, names, title=title, handlelength=1.0, labelspacing=0.3, **place)
    bands = [found for group in groups if (found := band(group.runs, scalar)) is not None]
    what = "member" if any("5-95%" in found.edges for found in bands) else "run"
    runs = f"mean and {bands[0].edges} band over {most} {what}s each" if most > 1 else "one run each"
    part = f"; {len(colors)} of {known} combinations shown, all are in summary.csv" if len(colors) < known else ""
    figure.supxlabel(runs + part, fontsize=8, style="italic", color=INK)
