"""How lazy the training was: how far the weights moved, and whether a kernel would have learnt the same
(Figure 5)."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.events import over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import FIT, INK, new_figure, quantity
from gfflow.measures import Snapshot, kernel_interpolator, line_interval
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run


@figure("lazy", "every run with frames")
def lazy(run: Run) -> Figure | None:
    """||W - W_0|| / ||W_0|| over the iterations and, for inputs on a line, the final function beside the
    interpolator of the tangent kernel at the start. None without frames."""
    trajectory = run.trajectory
    if trajectory is None or len(trajectory.step) < 2:
        return None
    data = training_set(trajectory)
    scale = np.abs(trajectory.w[0]).max()  # divided out first, so that no square underflows
    start = np.linalg.norm(trajectory.w[0] / scale)
    moved = np.array([np.linalg.norm((w - trajectory.w[0]) / scale) / start for w in trajectory.w])
    beside = data.one_dimensional and data.loss.is_square  # the kernel's limit is that of least squares
    figure = new_figure(2.6 + 0.2 * beside)
    panels = figure.subplots(1, 1 + beside, squeeze=False)[0]
    left = panels[0]
    left.plot(trajectory.step[1:], moved[1:], color=INK)
    rich = moved.max() > 10
    left.set(ylabel=r"$\Vert W - W_0\Vert \,/\, \Vert W_0\Vert$")
    left.set(yscale="log") if rich else left.set_ylim(0, None)
    left.set_title(f"movement of the hidden weights: {quantity(moved[-1])} at the end")
    over_iterations(left, run, ticks=5)
    if beside:
        last = len(trajectory.step) - 1
        _functions(panels[1], snapshot(trajectory, data, 0), snapshot(trajectory, data, last))
        figure.legend(loc="outside lower right", ncols=3)  # no curve leaves a place free for certain
    return figure


def _functions(axes: Axes, start: Snapshot, end: Snapshot) -> None:
    """h at the end, the interpolator of the tangent kernel at the start, and how far one is from the other between
    the data, root mean square and at most, relative to the range of h and the labels there."""
    data = start.training_set
    low, high = float(data.x[:, 0].min()), float(data.x[:, 0].max())
    line = torch.linspace(*line_interval(data), 800, dtype=data.x.dtype)
    inputs = torch.stack([line, torch.ones_like(line)], dim=1)
    final = end.neurons.outputs(inputs)
    kernel = kernel_interpolator(start, inputs)
    axes.plot(line, final, color=FIT, linewidth=2.2, label="network, end of training")
    axes.plot(line, kernel, color=INK, linestyle=(0, (4, 2)), linewidth=1.0, label="tangent kernel at the start")
    axes.plot(data.x[:, 0], data.y, "o", color=FIT, markeredgecolor=INK, markersize=5, label="data")
    inside = (line >= low) & (line <= high)
    gap, shown = (final - kernel)[inside], torch.cat([final[inside], data.y, data.y.new_zeros(1)])
    extent = float(shown.max() - shown.min()) or 1.0
    root_mean_square, largest = float(gap.square().mean().sqrt()) / extent, float(gap.abs().max()) / extent
    axes.set(xlabel="input $x$", ylabel="$h(x)$", xlim=(float(line[0]), float(line[-1])))
    axes.set_title(f"network to kernel: {_percent(root_mean_square)} of the range, at most {_percent(largest)}")


def _percent(fraction: float) -> str:
    return f"{quantity(float(f'{100 * fraction:.2g}'))}%"
