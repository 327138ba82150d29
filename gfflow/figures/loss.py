"""The loss over training (Figures 3, 4(f) and 7(a)), its plateaus and the events."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import events, mark_events
from gfflow.figures.registry import figure
from gfflow.figures.style import BAND, INK, PREDICTED, iteration_axis, new_figure
from gfflow.measures import plateaus
from gfflow.records.run import Run


@figure("loss", "every run", main=True)
def loss(run: Run) -> Figure:
    """The loss over the iterations: as it is, and with both axes logarithmic; plateaus shaded, events as lines."""
    step, values = run.column("loss")
    figure = new_figure(2.45, margins=(0.6, 0.25, 0.65, 0.1))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.3})
    left.plot(step, values, color=INK)
    left.plot(*run.column("theory/loss"), color=PREDICTED, linestyle=(0, (4, 3)), linewidth=0.9)
    left.set(xlim=(0, max(step[-1], 1)), ylim=(0, 1.14 * values.max()), ylabel="loss $L$")
    positive = (step > 0) & (values > 0)
    right.plot(step[positive], values[positive], color=INK)
    right.set(xscale="log", yscale="log" if positive.any() else "linear", xlim=(1, max(step[-1], 10)))
    right.set_ylabel("loss $L$")
    flat = plateaus(step, values)
    for axes in (left, right):
        for plateau in flat:
            axes.axvspan(max(plateau.start, 0.5), plateau.stop, color=BAND, linewidth=0, zorder=-1)
        mark_events(axes, run)
        iteration_axis(axes, None, ticks=4)
    for plateau in flat:
        left.annotate(
            f"{plateau.loss:.3g}", (plateau.start, plateau.loss), (3, 4), textcoords="offset points", fontsize=8
        )
    dashed = ["dashes: predicted before training"] * ("theory/loss" in run.metrics)
    note = dashed + ["plateaus shaded"] * bool(flat) + ["vertical lines: measured events"] * bool(events(run))
    figure.text(0.5, 0.03, "; ".join(note), ha="center", fontsize=8, style="italic")
    return figure
