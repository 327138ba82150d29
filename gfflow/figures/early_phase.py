"""The neurons on their way to the extremal directions, and what becomes of the clusters that they form there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gfflow.figures.events import end_of_smallness
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, FAINT, INK, OTHER, angle_axis, iteration_axis, new_figure, of_signs, spread
from gfflow.figures.thinned import drawn, how_many
from gfflow.measures import clusters
from gfflow.model.neurons import Neurons
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run, Trajectory
from gfflow.theory import EarlyPhase, ExtremalDirection, extremal_directions, solve_early_phase, takes_seconds
from gfflow.theory.early_phase import early_phase_known

Array = NDArray[np.float64]
LABELS = 24  # of extremal directions, at most


@figure("early_directions", "every run with frames whose directions are found in seconds")
def early_directions(run: Run) -> Figure | None:
    """In the plane, the angle of every neuron over logarithmic time, in the colour of the extremal direction that the
    limit process takes it to, the bolder the larger it is. Elsewhere, its cosine with that direction, and how many
    clusters the neurons form. None without frames, or where finding the directions would take minutes."""
    trajectory = run.trajectory
    if trajectory is None or len(trajectory.step) < 3 or not takes_seconds(len(trajectory.y), trajectory.w.shape[1]):
        return None
    data = training_set(trajectory)
    start = snapshot(trajectory, data, 0).neurons
    if not early_phase_known(data, start):
        return None
    phase = solve_early_phase(data, start)
    if trajectory.w.shape[2] == 2:
        listed = extremal_directions(trajectory.x, data.pulls.numpy(), start.activation.slope)
        return _in_the_plane(run, trajectory, phase, listed or [])
    return _in_space(run, trajectory, phase)


def _in_the_plane(run: Run, trajectory: Trajectory, phase: EarlyPhase, listed: Sequence[ExtremalDirection]) -> Figure:
    figure = new_figure(3.9)
    axes = figure.subplots()
    w = trajectory.w[1:]
    size = np.abs(w).max(axis=2)
    angles = np.degrees(np.arctan2(w[..., 1], w[..., 0]))
    norms = np.hypot(*np.moveaxis(w / np.where(size > 0, size, 1.0)[..., None], 2, 0)) * size
    weight = np.sqrt(norms / norms.max()) if norms.max() > 0 else norms
    colors = dict(enumerate(_colors(phase))) | {-1: OTHER}
    index = phase.index.numpy()
    shown_neurons = drawn(norms[-1])
    for j in shown_neurons[np.argsort(norms[-1][shown_neurons])]:
        _swelling(axes, trajectory.step[1:], angles[:, j], weight[:, j], colors[int(index[j])])
    labels = []
    for extremal in listed:
        angle = float(np.degrees(np.arctan2(*extremal.direction[::-1])))
        i = _place(phase, extremal)
        color = OTHER if i is None else colors[i]
        axes.axhline(angle, color=color, linewidth=0.8, linestyle="-" if extremal.stable else (0, (1.5, 2)), zorder=1)
        count = 0 if i is None else int((phase.index == i).sum())
        kind = _neurons(count) if extremal.stable else "unstable" + (f", {_neurons(count)}" if count else "")
        text = f"{angle:.0f}°: {kind}, {_sign(extremal.sign)}".replace("-", "\N{MINUS SIGN}")
        labels.append((-count, angle, text, color))
    # those of most neurons, where there is not the room for all
    shown = sorted((angle, text, color) for _, angle, text, color in sorted(labels)[:LABELS])
    axes.set(xscale="log", xlim=(trajectory.step[1], trajectory.step[-1]))
    angle_axis(axes)
    for place, (angle, text, color) in zip(spread([v for v, *_ in shown], 14, -180, 180), shown, strict=True):
        axes.annotate(
            text, (1, angle), (1.03, (place + 180) / 360), axes.get_yaxis_transform(), "axes fraction", va="center",
            fontsize=7.5, color=INK if color == OTHER else color, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0,
                        "relpos": (0, 0.5)},
        )  # fmt: skip
    iteration_axis(axes, None)
    lost = int((index < 0).sum())
    handles = [Line2D([], [], color=INK, lw=0.8, label="extremal direction, stable")]
    if any(not extremal.stable for extremal in listed):
        handles.append(Line2D([], [], color=INK, lw=0.8, ls=(0, (1.5, 2)), label="unstable"))
    if lost:
        handles.append(Line2D([], [], color=OTHER, lw=1.3, label=f"{_neurons(lost)} that would shrink or rest"))
    handles += _mark_small(axes, run)
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    note = f"one line a neuron, the bolder the larger the neuron{how_many(w.shape[1])}"
    figure.supxlabel(note, fontsize=8, style="italic")
    return figure


def _in_space(run: Run, trajectory: Trajectory, phase: EarlyPhase) -> Figure:
    data, step = training_set(trajectory), trajectory.step[1:]
    networks = [snapshot(trajectory, data, frame).neurons for frame in range(1, len(trajectory.step))]
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    cosines = np.stack([phase.cosines(neurons).numpy() for neurons in networks])
    colors = _colors(phase)
    few = len(set(colors)) == len(colors)  # enough of them to tell the directions apart
    handles: list[Line2D] = []
    for i in range(len(phase.rates)):
        mine = (phase.index == i).numpy()
        look = BY_SIGN[int(phase.signs[i])]
        color = colors[i] if few else look.color
        handles += left.plot(
            step, cosines[:, mine].mean(axis=1), color=color, linestyle=look.line,
            linewidth=1.2 if few else 0.5, alpha=1.0 if few else 0.45,
            label=f"{_neurons(int(mine.sum()))}, {_sign(float(phase.signs[i]))}" if few else None,
        )  # fmt: skip
    left.axhline(1, color=OTHER, linewidth=0.5, zorder=0)
    left.set(ylabel="cosine, mean of the neurons there", title="each neuron with its extremal direction")
    if not few:
        handles = of_signs()
    counts = [_count(neurons) for neurons in networks]
    alike = [_count(Neurons(neurons.directions, neurons.signs), 1.0) for neurons in networks]
    right.plot(step, alike, color=OTHER, label="all neurons")
    right.plot(step, counts, color=INK, label="99% of the mass")
    right.axhline(len(phase.rates), color=INK, linewidth=0.8, linestyle=(0, (1.5, 2)), label="directions")
    right.set(title="number of clusters, 5° wide", ylim=(0, 1.05 * max(*alike, *counts, 1)))
    right.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    for axes, shown in ((left, handles), (right, right.lines[:3])):
        axes.set(xscale="log", xlim=(step[0], step[-1]))
        iteration_axis(axes, None)
        marks = _mark_small(axes, run)
        axes.legend(
            handles=[*shown, *marks], loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, columnspacing=1.2,
            handlelength=1.8,
        )  # fmt: skip
    return figure


def _neurons(count: int) -> str:
    return f"{count} neuron" if count == 1 else f"{count} neurons"


def _sign(sign: float) -> str:
    return BY_SIGN[int(sign)].label


def _colors(phase: EarlyPhase) -> list[str]:
    """A colour for each direction, from the family of its sign; the label at its end tells more than four apart."""
    counts = {1: 0, -1: 0}
    colors = []
    for sign in map(int, phase.signs):
        family = BY_SIGN[sign].family
        colors.append(family[counts[sign] % len(family)])
        counts[sign] += 1
    return colors


def _count(neurons: Neurons, share: float = 0.99) -> int:
    return len(clusters(neurons, share))


def _place(phase: EarlyPhase, extremal: ExtremalDirection) -> int | None:
    """Which of the phase's directions this one is; None where no neuron goes to it."""
    near = (phase.directions - torch.from_numpy(extremal.direction)).norm(dim=1) < 1e-6
    found = torch.nonzero(near & (phase.signs == extremal.sign)).flatten()
    return int(found[0]) if len(found) else None


def _swelling(axes: Axes, step: NDArray[np.int64], angle: Array, weight: Array, color: str) -> None:
    """A line over the iterations that is the bolder the larger `weight` (T,), from 0 to 1, is; broken at +-180°."""
    points = np.column_stack([step, angle])
    segments = np.stack([points[:-1], points[1:]], axis=1)
    whole = np.abs(np.diff(angle)) < 180
    middle = (weight[:-1] + weight[1:])[whole] / 2
    shades = [to_rgba(color, 0.35 + 0.6 * share) for share in middle]
    axes.add_collection(
        LineCollection(list(segments[whole]), colors=shades, linewidths=0.5 + 2.5 * middle, capstyle="butt", zorder=2)
    )


def _mark_small(axes: Axes, run: Run) -> list[Line2D]:
    """A line where the loss has fallen by 1%, with its handle for the legend: before it the network is small, and the
    directions are its own."""
    small_until = end_of_smallness(run)
    if small_until is None or small_until <= axes.get_xlim()[0]:
        return []
    axes.axvline(small_until, color=FAINT, linewidth=0.8, zorder=0)
    return [Line2D([], [], color=FAINT, marker="|", markersize=10, linestyle="none", label="loss down by 1%")]
