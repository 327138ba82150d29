"""The members of an ensemble together: curves as bands, events and end points as histograms."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from gfflow.figures.events import over_iterations
from gfflow.figures.members import look_of, shown_events
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, INK, OTHER, PREDICTED, iteration_ticks, new_figure, quantity
from gfflow.records.members import prediction_of
from gfflow.records.run import Array, Run

PANELS = (  # names in one panel, what they are, and whether on a logarithmic axis
    (("loss",), "loss $L$", False),
    (("mass/u_plus", "mass/u_minus"), "masses $u_+$, $u_-$", False),
    (("alignment/plus_min", "alignment/minus_min"), "least cosine in $S_+$, $S_-$", False),
    (("saddle/distance",), "distance to the saddle", True),
    (("limit/distance",), "distance to the limit", True),
    (("gradient/norm",), r"$\Vert\nabla L\Vert$", True),
)
ENDS = (  # of summary.json, what it is, and whether on a logarithmic axis where it spans more than a decade
    ("final.loss", "loss at the end", True),
    ("final.norm_gap", "norm gap at the end", False),
    ("final.limit_distance", "distance to the limit", True),
    ("saddle.distance_min", "least distance to the saddle", True),
)
MOST = 40  # bins of a histogram
COLUMNS = 3


@figure("members_bands", "ensembles", main=True, members=True)
def bands(run: Run) -> Figure | None:
    """Median and ranges of the main scalars over the members, with the same of their predictions. None for a single
    run."""
    there = [panel for panel in PANELS if any(f"{name}/p50" in run.metrics for name in panel[0])]
    if run.members is None or not there:
        return None
    rows = -(-len(there) // 2)
    figure = new_figure(0.5 + 1.75 * rows, margins=(0.65, 0.2, 0.7, 0.1))
    places = figure.subplots(rows, 2, squeeze=False, gridspec_kw={"wspace": 0.28, "hspace": 0.42}).flat
    for axes, (names, title, logarithmic) in zip(places, there, strict=False):
        for name in names:
            _band(axes, run, name)
        axes.set(ylabel=title, yscale="log" if logarithmic else "linear")
        over_iterations(axes, run, ticks=5)
    for empty in figure.axes[len(there) :]:
        empty.set_axis_off()
    note = f"{len(run.members):,} members: median, half and 90% of them; dashes: the same of the predictions"
    figure.text(0.5, 0.015, note, ha="center", fontsize=8, style="italic")
    return figure


def _band(axes: Axes, run: Run, name: str) -> None:
    step, median = run.column(f"{name}/p50")
    if not len(step):
        return
    look = BY_SIGN[-1 if "minus" in name else 1]
    color = look.color if "plus" in name or "minus" in name else INK
    for low, high, strength in (("p05", "p95", 0.18), ("p25", "p75", 0.3)):
        edges = run.column(f"{name}/{low}")[1], run.column(f"{name}/{high}")[1]
        axes.fill_between(step, *edges, color=color, alpha=strength, linewidth=0)
    axes.plot(step, median, color=color)
    for part, width in (("p05", 0.6), ("p50", 0.9), ("p95", 0.6)):
        predicted = run.column(f"{prediction_of(name)}/{part}")
        over = PREDICTED if color == INK else INK
        axes.plot(*predicted, color=over, linestyle=(0, (4, 3)), linewidth=width)


@figure("members_histograms", "ensembles", main=True, members=True)
def histograms(run: Run) -> Figure | None:
    """When the events came, measured and predicted, and where the members ended. None for a single run."""
    if run.members is None:
        return None
    events = [event for event in shown_events(run) if np.isfinite(event[1]).any()]
    ends = [(run.members.numbers(name), title, log) for name, title, log in ENDS]
    ends = [(values[np.isfinite(values)], title, log) for values, title, log in ends if np.isfinite(values).any()]
    rows = -(-(len(events) + len(ends)) // COLUMNS)
    figure = new_figure(0.4 + 1.5 * rows, margins=(0.4, 0.15, 0.65, 0.25))
    places = iter(figure.subplots(rows, COLUMNS, squeeze=False, gridspec_kw={"wspace": 0.22, "hspace": 0.6}).flat)
    for (key, predicted, measured), axes in zip(events, places, strict=False):
        look = look_of(key)
        both = [values[np.isfinite(values)] for values in (measured, predicted)]
        edges = _edges(np.concatenate(both))
        axes.hist(both[0], edges, color=look.color, alpha=0.55)
        axes.hist(both[1], edges, histtype="step", color=INK, linewidth=0.8)
        axes.set_title("iteration: " + look.label.replace("\n", " "), fontsize=7.5)
        iteration_ticks(axes.xaxis, 4)
    for (values, title, log), axes in zip(ends, places, strict=False):
        log = log and bool((values > 0).all()) and float(values.max()) > 10 * float(values.min())
        edges = _edges(np.log10(values)) if log else _edges(values)
        axes.hist(values, 10**edges if log else edges, color=OTHER)
        axes.set_xscale("log" if log else "linear")
        axes.set_title(f"{title}: median {quantity(float(np.median(values)))}", fontsize=7.5)
    for axes in places:
        axes.set_axis_off()
    for axes in figure.axes:
        axes.tick_params(labelsize=7, which="both")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.locator_params(axis="y", nbins=4)
        if axes.get_xscale() == "linear":
            axes.locator_params(axis="x", nbins=4)
    note = f"{len(run.members):,} members: how many; filled: measured, outlined: predicted before training"
    figure.text(0.5, 0.02, note, ha="center", fontsize=8, style="italic")
    return figure


def _edges(values: Array) -> Array:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = max(1e-9 * max(abs(low), abs(high)), 1e-3 * (high - low)) or 0.5
    return np.linspace(low - margin, high + margin, min(MOST, 5 + len(values) // 10) + 1)
