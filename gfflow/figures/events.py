"""The five events on an axis of iterations: where they were measured, and where they were predicted."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from gfflow.figures.style import EVENT_NAMES, FAINT, INK, number, spread
from gfflow.records import Run


def events(run: Run) -> list[tuple[str, float, float | None]]:
    """(event, predicted step, measured step or None) in the order predicted; empty where nothing is predicted."""
    recorded = (run.summary or {}).get("events") or {}
    known = [(key, e["predicted_step"], e["measured_step"]) for key, e in recorded.items() if e is not None]
    return sorted(known, key=lambda event: event[1])


def mark_events(axes: Axes, run: Run) -> None:
    """A thin vertical line at each measured event."""
    for _, _, measured in events(run):
        if measured is not None:
            axes.axvline(measured, color=FAINT, linewidth=0.6, zorder=0)


def label_events(axes: Axes, run: Run) -> None:
    """Above the axes, tied to its line: each event's name, measured and predicted iteration.

    The axes' limits and scale must be set before.
    """
    shown = [(key, predicted, measured) for key, predicted, measured in events(run) if measured is not None]
    shown.sort(key=lambda event: event[2])
    if not shown:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    ticks = [float(to_axes.transform((event[2], axes.get_ylim()[0]))[0]) for event in shown]
    mixed = blended_transform_factory(axes.transAxes, axes.transAxes)
    for x, name, height in ((0.0, "measured", 1.145), (0.0, "predicted", 1.06)):
        axes.text(x - 0.02, height, name, transform=mixed, ha="right", va="bottom", fontsize=7.5, style="italic")
    for tick, place, (key, predicted, measured) in zip(ticks, spread(ticks, 0.135, 0.04, 0.96), shown, strict=True):
        axes.plot([tick, place], [1.0, 1.05], transform=mixed, color=FAINT, linewidth=0.6, clip_on=False)
        lines = ((EVENT_NAMES[key], 1.24), (number(measured), 1.145), (number(predicted), 1.06))
        for text, height in lines:
            axes.text(
                place,
                height,
                text,
                transform=mixed,
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=INK,
                linespacing=1.1,
            )
