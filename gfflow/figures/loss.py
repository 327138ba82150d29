"""The loss over training (Figures 3, 4(f) and 7(a)), its plateaus and the events."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import mark_events
from gfflow.figures.style import BAND, INK, iteration_axis, new_figure, styled
from gfflow.measures import plateaus
from gfflow.records import Run


@styled
def loss(run: Run) -> Figure:
    """The loss over the iterations: as it is, and with both axes logarithmic; plateaus shaded, events as lines."""
    step, values = run.column("loss")
    figure = new_figure(2.5)
    left, right = figure.subplots(1, 2)
    left.plot(step, values, color=INK)
    left.set(xlim=(0, max(step[-1], 1)), ylim=(0, None), ylabel="loss $L$")
    positive = (step > 0) & (values > 0)
    right.plot(step[positive], values[positive], color=INK)
    right.set(xscale="log", yscale="log", xlim=(1, max(step[-1], 10)))
    stays = plateaus(step, values)
    for axes in (left, right):
        for stay in stays:
            axes.axvspan(max(stay.start, 0.5), stay.stop, color=BAND, linewidth=0, zorder=-1)
        mark_events(axes, run)
    for stay in stays:
        left.annotate(
            f"{stay.loss:.3g}", ((stay.start + stay.stop) / 2, stay.loss), (0, 3), textcoords="offset points",
            ha="center", va="bottom", fontsize=8,
        )  # fmt: skip
    iteration_axis(left, None)
    iteration_axis(right, None)
    note = ["plateaus shaded"] * bool(stays) + ["vertical lines: measured events"] * bool(
        run.column("theory/u_plus")[0].size
    )
    if note:
        figure.supxlabel("; ".join(note), fontsize=8, style="italic")
    return figure
