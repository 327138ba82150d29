"""The state of training (Figures 2, 4 and 5): data, network function and every neuron, for inputs on a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.frames import moments
from gfflow.figures.style import FAINT, FIT, INK, MINUS, PLUS, WIDTH, new_figure, number, styled
from gfflow.frames import snapshot, training_set
from gfflow.measures import Snapshot, kinks
from gfflow.records import Run


@styled
def training_state(run: Run, steps: Sequence[float] | None = None) -> Figure | None:
    """One panel for each telling frame, or for the recorded frames nearest to the given iterations.

    A star stands at (-w_j2 / w_j1, s_j ||w_j||): below it is the kink of its neuron, its height is the output
    weight of a balanced one. None where the inputs are not on a line with bias, or no frames were recorded.
    """
    trajectory = run.trajectory
    if trajectory is None or not (data := training_set(trajectory)).one_dimensional:
        return None
    told = moments(run, trajectory) if steps is None else [("", trajectory.nearest(step)) for step in steps]
    shots = [snapshot(trajectory, data, frame) for _, frame in told]
    line = _line(shots[0])
    columns = min(4, len(told))
    rows = -(-len(told) // columns)
    figure = new_figure(0.45 + 1.75 * rows, WIDTH * max(columns, 2) / 4)
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    for axes, (name, frame), shot in zip(grid, told, shots, strict=False):
        draw_state(axes, shot, line)
        step = number(float(trajectory.step[frame]))
        axes.set_title(f"{name}\niteration {step}" if name else f"iteration {step}", fontsize=8)
    for axes in grid[len(told) :]:
        axes.remove()
    for i, axes in enumerate(grid[: len(told)]):
        if i + columns >= len(told):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("input $x$, kink of neuron $j$", fontsize=8)
        if i % columns == 0:
            axes.set_ylabel("$h(x)$,  $s_j\\Vert w_j\\Vert$")
    _legend(figure, grid[0])
    if shots[-1].iteration == trajectory.step[-1]:
        count = len(kinks(shots[-1].neurons, float(line[0]), float(line[-1])))
        text = f"{count} kink{'' if count == 1 else 's'}"
        grid[len(told) - 1].annotate(
            text, (0.97, 0.03), xycoords="axes fraction", ha="right", va="bottom", fontsize=8
        )
    return figure


def draw_state(axes: Axes, shot: Snapshot, line: torch.Tensor) -> None:
    """Data, function and neurons of one snapshot."""
    neurons, data = shot.neurons, shot.training_set
    inputs = torch.stack([line, torch.ones_like(line)], dim=1)
    axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    axes.plot(line, (inputs @ neurons.w.T).clamp(min=0) @ neurons.a, color=FIT, zorder=2, label="$h(x)$")
    axes.scatter(
        data.x[:, 0], data.y, s=26, color=FIT, edgecolors=INK, linewidths=0.7, zorder=4, label="data $(x_k, y_k)$"
    )
    places = -neurons.w[:, 1] / neurons.w[:, 0]
    for sign, color, face in ((1, PLUS, PLUS), (-1, MINUS, "white")):
        mine = (neurons.signs == sign) & (places >= line[0]) & (places <= line[-1])
        label = f"neurons with $a_j {'>' if sign > 0 else '<'} 0$"
        axes.scatter(
            places[mine], sign * neurons.norms[mine],
            marker="*", s=34, facecolors=face, edgecolors=color, linewidths=0.7, alpha=0.85, zorder=3, label=label,
        )  # fmt: skip
    axes.set_xlim(float(line[0]), float(line[-1]))


def _line(shot: Snapshot) -> torch.Tensor:
    """Inputs along the line: the data and half their extent more on either side."""
    x = shot.training_set.x[:, 0]
    margin = 0.5 * max(float(x.max() - x.min()), 1.0)
    return torch.linspace(float(x.min()) - margin, float(x.max()) + margin, 600, dtype=x.dtype)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, columnspacing=1.6, handletextpad=0.4)
