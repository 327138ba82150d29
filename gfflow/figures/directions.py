"""Early alignment and what comes of it (the figures of arXiv 2401.10791): angles of all neurons, function before and
after, for inputs on a line with bias."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gfflow.figures.events import end_of_smallness
from gfflow.figures.registry import figure
from gfflow.figures.style import (
    BY_SIGN,
    FIT,
    INK,
    OTHER,
    angle_axis,
    iteration_axis,
    new_figure,
    number,
    of_signs,
    quantity,
)
from gfflow.figures.training import along
from gfflow.measures import Snapshot
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run, Trajectory
from gfflow.theory.baselines import least_squares

MOST = 500  # neurons drawn, evenly chosen
SHOWN = ("early_alignment", "piecewise_linear")  # data whose runs end with this figure


def _main(run: Run) -> bool:
    return run.config.get("data", {}).get("name") in SHOWN


@figure("directions", "inputs on a line with bias, with frames", main=_main)
def directions(run: Run) -> Figure | None:
    """Left, the angle of every neuron over the iterations, with the moment when the loss has fallen by 1%; right, the
    function at that moment (on its own scale where it is small), at the end, and the line of least squares."""
    trajectory = run.trajectory
    if trajectory is None or len(trajectory.step) < 3 or not (data := training_set(trajectory)).one_dimensional:
        return None
    aligned = end_of_smallness(run)
    figure = new_figure(3.0)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _angles(left, trajectory)
    if aligned is not None and aligned > left.get_xlim()[0]:
        left.axvline(aligned, color=INK, linewidth=0.8, linestyle=(0, (1.5, 2)), zorder=0)
    shots = [snapshot(trajectory, data, i) for i in (0, trajectory.nearest(aligned or 0), -1)]
    _functions(right, shots, aligned)
    handles = [*of_signs(dashed=False), Line2D([], [], color=INK, lw=0.8, ls=(0, (1.5, 2)), label="loss down by 1%")]
    left.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0)
    return figure


def _angles(axes: Axes, trajectory: Trajectory) -> None:
    """One thin line a neuron, broken where the angle passes 180 degrees."""
    m = trajectory.w.shape[1]
    chosen = np.unique(np.linspace(0, m - 1, min(m, MOST)).round().astype(int))
    w, step = trajectory.w[1:, chosen], trajectory.step[1:].astype(np.float64)
    angles = np.degrees(np.arctan2(w[..., 1], w[..., 0]))
    broken = np.abs(np.diff(angles, axis=0)) > 180
    for j, sign in enumerate(np.sign(trajectory.a[0, chosen])):
        parts = np.split(np.column_stack([step, angles[:, j]]), np.flatnonzero(broken[:, j]) + 1)
        axes.add_collection(LineCollection(list(parts), colors=BY_SIGN[int(sign)].color, linewidths=0.5, alpha=0.45))
    axes.set(xscale="log", xlim=(step[0], step[-1]))
    angle_axis(axes)
    if len(chosen) < m:
        axes.set_title(f"{len(chosen)} of {number(m)} neurons", loc="right", fontsize=8, y=-0.24)
    iteration_axis(axes, None)


def _functions(axes: Axes, shots: list[Snapshot], aligned: float | None) -> None:
    start, early, end = shots
    data, line = end.training_set, along(end)
    inputs = torch.stack([line, torch.ones_like(line)], dim=1)
    axes.plot(line, start.neurons.outputs(inputs), color=OTHER, linewidth=1.0, label="$h$ at the start")
    if aligned is not None and early.iteration not in (start.iteration, end.iteration):
        h = early.neurons.outputs(inputs)
        peak = float(h.abs().max())
        factor = 10.0 ** np.floor(np.log10(0.5 * float(data.y.abs().max()) / peak)) if peak > 0 else 1.0
        times = f", times {factor:g}" if factor > 1 else ""
        axes.plot(line, max(factor, 1.0) * h, color=OTHER, linestyle=(0, (1.5, 2)), label=f"aligned{times}")
    fit, h = inputs @ least_squares(data), end.neurons.outputs(inputs)
    axes.plot(line, h, color=FIT, linewidth=2.2, label=f"$h$ at the end, loss {quantity(end.loss)}")
    axes.plot(line, fit, color=INK, linewidth=1.0, linestyle=(0, (5, 2)), label="least squares", zorder=3)
    axes.plot(data.x[:, 0], data.y, "o", color=FIT, markeredgecolor=INK, markersize=4, label="data", zorder=5)
    between = (line >= data.x[:, 0].min()) & (line <= data.x[:, 0].max())
    values = torch.cat([data.y, h[between]])
    margin = 0.25 * float(values.max() - values.min())
    axes.set(xlim=(float(line[0]), float(line[-1])), xlabel="input $x$", ylabel="$h(x)$")
    axes.set_ylim(min(float(values.min()), 0) - margin, float(values.max()) + margin)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7, columnspacing=1.0)
