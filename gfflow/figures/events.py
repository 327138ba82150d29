"""The events on an axis of iterations: where they were measured, and where they were predicted."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from gfflow.figures.style import EVENT_LABELS, FAINT, INK, iteration_axis, number, spread
from gfflow.records.event_names import OF_GROUPS, SADDLE_EVENT
from gfflow.records.run import Run
from gfflow.theory.early_phase import SMALL

LABEL_HEIGHT = 0.75  # inches that the labels take above the axes
CROWDED = 100  # times the iteration at which the loss has fallen by 1%


def events(run: Run) -> list[tuple[str, float, float | None]]:
    """(event, predicted step, measured step or None) in the order predicted; empty where nothing is predicted. Where
    the theory names groups of neurons, their events; elsewhere those of the loss."""
    recorded = run.section("events")
    known = [(key, e["predicted_step"], e["measured_step"]) for key, e in recorded.items() if e is not None]
    of_groups = [event for event in known if event[0] in OF_GROUPS]
    return sorted(of_groups or known, key=lambda event: event[1])


def event_name(key: str) -> str:
    """What the event is called in a figure, on two lines."""
    saddle = SADDLE_EVENT.fullmatch(key)
    return f"saddle {saddle[1]}\n{saddle[2]}" if saddle else EVENT_LABELS[key]


def end_of_smallness(run: Run) -> float | None:
    """The first measured iteration at which the loss has fallen by 1%: before it the network is small, and its
    neurons align. None where it has not."""
    step, loss = run.column("loss")
    fall = first_fall(loss)
    return None if fall is None else float(step[fall])


def first_fall(loss: NDArray[np.float64]) -> int | None:
    """At which of the values the loss has fallen by 1%; None where it has not."""
    fallen = np.flatnonzero(loss < SMALL * loss[0]) if len(loss) else loss
    return int(fallen[0]) if len(fallen) else None


def begins(step: NDArray[np.float64], loss: NDArray[np.float64]) -> float | None:
    """The iteration from which a logarithmic axis shows the run: a tenth of that at which the loss has fallen by 1%.
    None where a linear axis does, as the run ends no more than CROWDED times as late."""
    fall = first_fall(loss)
    if fall is None or step[-1] <= CROWDED * max(step[fall], 1.0):
        return None
    return max(1.0, float(step[fall]) / 10)


def over_iterations(axes: Axes, run: Run, ticks: int = 9, flow_time: bool = False) -> float:
    """Makes the horizontal axis that of the whole run's iterations, and labels it: logarithmic where on a linear one
    all that happens would crowd at the left edge. Returns where it begins."""
    last, first = max(float(run.metrics["step"][-1]), 1.0), begins(*run.column("loss"))
    axes.set(xscale="linear" if first is None else "log", xlim=(first or 0.0, last))
    iteration_axis(axes, run.step_size if flow_time else None, ticks)
    return first or 0.0


def is_late(axes: Axes, step: float, share: float) -> bool:
    """Whether the iteration lies beyond so much of the horizontal axis, where a text at it stands to its left."""
    first, last = axes.get_xlim()
    place = np.log(max(step, first) / first) / np.log(last / first) if axes.get_xscale() == "log" else step / last
    return bool(place > share)


def mark_events(axes: Axes, run: Run) -> None:
    """A thin vertical line at each measured event."""
    for _, _, measured in events(run):
        if measured is not None:
            axes.axvline(measured, color=FAINT, linewidth=0.6, zorder=0)


def label_events(axes: Axes, run: Run) -> None:
    """Above the axes, tied to its line: each event's name, measured and predicted iteration, in LABEL_HEIGHT inches.

    The axes' limits and scale must be set before.
    """
    shown = [(key, predicted, measured) for key, predicted, measured in events(run) if measured is not None]
    shown.sort(key=lambda event: event[2])
    if not shown:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    measured = np.maximum([step for _, _, step in shown], axes.get_xlim()[0])  # a logarithmic axis may begin later
    ticks = [float(to_axes.transform((step, axes.get_ylim()[0]))[0]) for step in measured]
    texts = [(-0.02, "right", "italic", ("", "measured", "predicted"))]
    for tick, place, (key, predicted, measured) in zip(ticks, spread(ticks, 0.135, 0.04, 0.96), shown, strict=True):
        texts.append((place, "center", "normal", (event_name(key), number(measured), number(predicted))))
        lifted = offset_copy(axes.transAxes, axes.get_figure(root=True), 0, 7, "points")
        tie = ConnectionPatch((tick, 1), (place, 1), axes.transAxes, lifted, color=FAINT, linewidth=0.6)
        tie.set_in_layout(False)
        axes.add_artist(tie)
    for place, side, style, lines in texts:
        for text, height in zip(lines, (29, 18, 8), strict=True):
            axes.annotate(
                text, (place, 1), (0, height), "axes fraction", "offset points", ha=side, va="bottom",
                fontsize=7.5, fontstyle=style, color=INK, linespacing=1.1,
            )  # fmt: skip
