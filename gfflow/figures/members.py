"""The members of an ensemble one by one: predicted against measured, and who failed and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.registry import figure
from gfflow.figures.style import (
    BY_SIGN,
    EVENT_LABELS,
    FAINT,
    INK,
    MINUS,
    OTHER,
    PLUS,
    iteration_ticks,
    new_figure,
    quantity,
)
from gfflow.records.ensemble_closing import event_title, events_of, largest_difference
from gfflow.records.event_names import OF_GROUPS
from gfflow.records.members import Members
from gfflow.records.run import Array, Run


class LookOfEvent(NamedTuple):
    """How the points of one event are drawn."""

    color: str
    marker: str
    label: str


def shown_events(run: Run) -> list[tuple[str, Array, Array]]:
    """(event, predicted, measured) of each event, by members: those of groups where the theory names any, elsewhere
    those of the loss."""
    found = [] if run.members is None else events_of(run.members)
    of_groups = [event for event in found if event[0] in OF_GROUPS and np.isfinite(event[1]).any()]
    return of_groups or found


def look_of(key: str) -> LookOfEvent:
    """Blue for what is of u+, orange for what is of u-; another shape for each event of one colour."""
    color = PLUS if key.startswith("plus") else MINUS if key.startswith("minus") else OTHER
    others = {"aligned": "D", "leaves_zero": "o", "fitted": "s"}
    marker = "o" if key.endswith("leaves_zero") else "s" if key.endswith("_fitted") else others.get(key, "^")
    return LookOfEvent(color, marker, EVENT_LABELS.get(key, event_title(key)))


@figure("members_diagonal", "ensembles with predicted events", main=True, members=True)
def diagonal(run: Run) -> Figure | None:
    """Every event of every member, measured against predicted, and by how much it is off. None for a single run, and
    where no event is both predicted and measured."""
    events = [e for e in shown_events(run) if np.isfinite(e[1] + e[2]).any()]
    if run.members is None or not events:
        return None
    figure = new_figure(3.6, margins=(0.75, 0.2, 0.5, 0.55))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.35})
    for key, predicted, measured in events:
        look = look_of(key)
        drawn = {"color": look.color, "marker": look.marker, "markersize": 2.6, "linestyle": "", "alpha": 0.35}
        drawn |= {"markeredgewidth": 0, "rasterized": True}
        left.plot(predicted, measured, label=look.label, **drawn)
        with np.errstate(divide="ignore", invalid="ignore"):
            off = 100 * (measured / predicted - 1)
        right.plot(predicted, off, **drawn)
    known = np.concatenate([np.concatenate([p[np.isfinite(p + m)], m[np.isfinite(p + m)]]) for _, p, m in events])
    room = 0.08 * (known.max() - known.min())
    ends = (known.min() - room, known.max() + room)
    for key, predicted, measured in events:
        _name_farthest(right, run.members, look_of(key).color, predicted, measured, ends)
    left.plot(ends, ends, color=INK, linewidth=0.6, zorder=0)
    right.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    left.set(xlim=ends, ylim=ends, xlabel="predicted iteration", ylabel="measured iteration")
    right.set(xlim=ends, xlabel="predicted iteration", ylabel="measured $-$ predicted (%)")
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        iteration_ticks(axis, 5)
    figure.legend(loc="upper center", ncols=5, fontsize=7, markerscale=2, handletextpad=0.2, columnspacing=1.2)
    return figure


def _name_farthest(
    axes: Axes, members: Members, color: str, predicted: Array, measured: Array, ends: tuple[float, float]
) -> None:
    """The seed beside the point farthest from its prediction, kept off the sides of the axes, which lie at the
    ends."""
    worst = largest_difference(predicted, measured)
    if worst is None:
        return
    at = worst[0]
    off = 100 * (measured[at] / predicted[at] - 1)
    place = (predicted[at] - ends[0]) / (ends[1] - ends[0])
    side = "left" if place < 0.15 else "right" if place > 0.85 else "center"
    shift = {"left": -3, "right": 3, "center": 0}[side]
    axes.annotate(
        f"seed {members.seeds[at]}", (predicted[at], off), (shift, 3 if off >= 0 else -8),
        textcoords="offset points", ha=side, fontsize=6.5, color=color,
    )  # fmt: skip


@figure("members_failures", "ensembles", main=True, members=True)
def failures(run: Run) -> Figure | None:
    """How often something fails, as a share of the members: an empty S+ or S- beside its exact probability with the
    standard error of so many members, and how the others ended. None for a single run."""
    said = run.section("ensemble")
    if run.members is None or not said:
        return None
    m = len(run.members)
    bars: list[tuple[str, float, float | None]] = []
    names = {"plus": "$S_+$ empty", "minus": "$S_-$ empty", "either": "$S_+$ or $S_-$ empty"}
    for key, empty in said["empty"].items():
        if empty["of"]:
            bars.append((names[key], empty["count"] / empty["of"], empty["probability"]))
    reasons = run.members.words("stop_reason")
    bars.append(("at rest, labels not fitted", reasons.count("stationary") / m, None))
    bars.append(("diverged", reasons.count("diverged") / m, None))
    bars.append(("could not be trained", reasons.count("") / m, None))
    figure = new_figure(0.75 + 0.32 * len(bars), margins=(1.75, 0.75, 0.5, 0.25))
    axes = figure.subplots()
    colors = [BY_SIGN[1].color, BY_SIGN[-1].color, INK]
    for row, (_, share, chance) in enumerate(bars):
        axes.barh(row, share, 0.55, color=colors[row] if row < 3 else OTHER, alpha=0.6)
        label = f"{round(share * m):,} of {m:,}"
        if chance is not None:
            error = (chance * (1 - chance) / m) ** 0.5
            axes.errorbar(chance, row, xerr=error, color=INK, marker="|", markersize=11, capsize=3, linewidth=1.0)
            label += f" ({share:.3g}; exact {quantity(chance)})"
        end = max(share, 0 if chance is None else chance + error)
        axes.annotate(label, (end, row), (6, 0), textcoords="offset points", va="center", fontsize=7.5)
    top = max([5 / m] + [share for _, share, _ in bars] + [chance or 0 for *_, chance in bars])
    axes.set(yticks=range(len(bars)), xlim=(0, 1.6 * top), xlabel="share of the members; bars: exact $\\pm$ 1 s.e.")
    axes.set_yticklabels([name for name, *_ in bars])
    axes.invert_yaxis()
    return figure
