"""The loss over training (Figures 3, 4(f) and 7(a)), its plateaus and the events."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.events import end_of_smallness, events, mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import BAND, BY_SIGN, FIT, INK, MINUS, PREDICTED, iteration_axis, lies_flat, new_figure
from gfflow.measures import plateaus
from gfflow.records.run import Run


@figure("loss", "every run", main=True)
def loss(run: Run) -> Figure:
    """The loss over the iterations: as it is, and with both axes logarithmic; plateaus shaded, events as lines."""
    step, values = run.column("loss")
    figure = new_figure(2.45, margins=(0.6, 0.25, 0.65, 0.1))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.3})
    left.plot(step, values, color=INK, label="training")
    left.plot(*run.column("theory/loss"), color=PREDICTED, linestyle=(0, (4, 3)), linewidth=0.9)
    tested, tests = run.column("test/loss")
    left.set_ylabel("loss $L$")
    first = over_iterations(left, run, ticks=4)
    top = max(values[step >= first].max(), tests[tested >= first].max(initial=0))
    if left.get_xscale() == "linear" and lies_flat(step, values):  # over a logarithm the fall itself is seen
        left.set_yscale("log")
    else:
        left.set_ylim(0, 1.14 * top)
    positive = (step > 0) & (values > 0)
    right.plot(step[positive], values[positive], color=INK)
    begins = (end_of_smallness(run) or 10) / 10  # before it nothing happens
    right.set(xscale="log", yscale="log" if positive.any() else "linear")
    right.set_xlim(max(1, min(begins, step[-1] / 10)), max(step[-1], 10))
    right.set_ylabel("loss $L$")
    if len(tested):
        for axes in (left, right):
            axes.plot(tested, tests, color=MINUS, linestyle=BY_SIGN[-1].line, label="test")
            _baselines(axes, run)
        left.legend(loc="best", fontsize=7)
    flat = plateaus(step, values)
    for axes in (left, right):
        for plateau in flat:
            axes.axvspan(max(plateau.start, 0.5), plateau.stop, color=BAND, linewidth=0, zorder=-1)
        mark_events(axes, run)
    iteration_axis(right, None)
    figure.align_xlabels()
    for plateau in flat:
        left.annotate(
            f"{plateau.loss:.3g}", (plateau.start, plateau.loss), (3, 4), textcoords="offset points", fontsize=8
        )
    dashed = ["dashes: predicted before training"] * ("theory/loss" in run.metrics)
    note = dashed + ["plateaus shaded"] * bool(flat) + ["vertical lines: measured events"] * bool(events(run))
    figure.text(0.5, 0.03, "; ".join(note), ha="center", fontsize=8, style="italic")
    return figure


def _baselines(axes: Axes, run: Run) -> None:
    """Horizontal lines at the test losses of what there is to compare with."""
    looks = {
        "least_squares": ((0, (1.5, 2)), "least squares, test"),
        "minimum_norm": ((0, (5, 1, 1, 1)), "least norm, test"),
    }
    for name, baseline in run.section("baselines").items():
        line, label = looks[name]
        if baseline["test_loss"]:
            axes.axhline(baseline["test_loss"], color=FIT, linewidth=0.9, linestyle=line, label=label)
