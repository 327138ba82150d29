"""The state of training (Figures 2, 4 and 5): data, network function and every neuron, for inputs on a line."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gfflow.figures.moments import Moment, moments
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, FAINT, FIT, INK, new_figure, panels
from gfflow.figures.thinned import drawn, how_many
from gfflow.measures import Snapshot, kinks_on_line, line_interval
from gfflow.model.data import TrainingSet
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run


@figure("training", "inputs on a line, with bias or without", main=True)
def training_state(run: Run, steps: Sequence[float] | None = None) -> Figure | None:
    """One panel for each of the moments, or for the recorded frames nearest to the given iterations.

    A star stands at (-w_j2 / w_j1, s_j ||w_j||): below it is the kink of its neuron, its height is the output
    weight of a balanced one; without bias all kinks are at zero. None where the inputs are not on a line, or no
    frames were recorded.
    """
    trajectory = run.trajectory
    if trajectory is None or not _on_line(data := training_set(trajectory)):
        return None
    shown = moments(run, trajectory) if steps is None else [Moment("", trajectory.nearest(step)) for step in steps]
    shots = [snapshot(trajectory, data, moment.frame) for moment in shown]
    line = along(shots[0])
    rows, columns = panels(len(shown))
    note = how_many(trajectory.w.shape[1])
    below = 0.16 if note else 0.0
    figure = new_figure(0.75 + 1.65 * rows + below, margins=(0.65, 0.1, 0.45 + below, 0.72))
    layout = {"hspace": 0.42 + 0.02 * rows, "wspace": 0.1}
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=layout).ravel()
    limits = heights(shots, line)
    grid[0].set_ylim(limits)
    for axes, moment, shot in zip(grid, shown, shots, strict=False):
        draw_state(axes, shot, line)
        step = moment.caption(float(trajectory.step[moment.frame]))
        name = f"end: {_count(shot)}" if moment.name == "end" else moment.name
        values = _function(shot, line)
        if float(values.min()) > limits[1] or float(values.max()) < limits[0]:
            step += ", $h$ off the scale"
        axes.xaxis.set_major_locator(MaxNLocator(3, prune="both"))  # labels of neighbours do not meet
        axes.set_title(f"{name}\n{step}" if name else step, fontsize=8, linespacing=1.0)
    for axes in grid[len(shown) :]:
        axes.remove()
    for i, axes in enumerate(grid[: len(shown)]):
        if i + columns >= len(shown):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("input $x$, kink of neuron $j$", fontsize=8)
        if i % columns == 0:
            axes.set_ylabel("$h(x)$,  $s_j\\Vert w_j\\Vert$")
    if note:
        figure.text(0.5, 0.005, note[2:], fontsize=7, style="italic", ha="center", va="bottom")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=4, columnspacing=1.6, handletextpad=0.4)
    return figure


def _function(shot: Snapshot, line: torch.Tensor) -> torch.Tensor:
    """h along the line."""
    inputs = torch.stack([line, torch.ones_like(line)][: shot.training_set.d], dim=1)
    return shot.neurons.outputs(inputs)


def _count(shot: Snapshot) -> str:
    places = kinks_on_line(shot)
    if places is None:  # without bias
        return "one kink at most"
    return f"{len(places)} kink{'' if len(places) == 1 else 's'}"


def heights(shots: Sequence[Snapshot], line: torch.Tensor) -> tuple[float, float]:
    """A range that holds the data, every neuron, and the last function between the data."""
    data = shots[-1].training_set
    between = (line >= data.x[:, 0].min()) & (line <= data.x[:, 0].max())
    shown = [
        data.y,
        _function(shots[-1], line)[between],
        *(shot.neurons.signs * shot.neurons.norms for shot in shots),
    ]
    values = torch.cat(shown)
    low, high = (float(edge) for edge in values[values.isfinite()].aminmax())  # a run about to diverge may overflow
    margin = 0.12 * max(high - low, 1e-3)
    return low - margin, high + margin


def draw_state(axes: Axes, shot: Snapshot, line: torch.Tensor) -> None:
    """Data, function and neurons of one snapshot."""
    neurons, data = shot.neurons, shot.training_set
    axes.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    axes.plot(line, _function(shot, line), color=FIT, zorder=2, label="$h(x)$")
    axes.scatter(
        data.x[:, 0], data.y, s=26, color=FIT, edgecolors=INK, linewidths=0.7, zorder=4, label="data $(x_k, y_k)$"
    )
    neurons = neurons.at(drawn(neurons.norms.numpy()))
    places = -neurons.w[:, 1] / neurons.w[:, 0] if data.d == 2 else torch.zeros_like(neurons.a)
    edge = 0.03 * float(line[-1] - line[0])  # no star cut in half
    for sign, look in BY_SIGN.items():
        mine = (neurons.signs == sign) & (places >= line[0] + edge) & (places <= line[-1] - edge)
        axes.scatter(
            places[mine], sign * neurons.norms[mine],
            marker="*", s=34, facecolors=look.face, edgecolors=look.color, linewidths=0.7, alpha=0.85, zorder=3,
            label=f"neurons with {look.label}",
        )  # fmt: skip
    axes.set_xlim(float(line[0]), float(line[-1]))


def along(shot: Snapshot) -> torch.Tensor:
    """Inputs along the line, (600,), over the interval on which kinks are counted."""
    data = shot.training_set
    low, high = line_interval(data)
    if data.d == 1:  # zero, where the kinks are, is shown too
        low, high = min(low, -high / 4), max(high, -low / 4)
    return torch.linspace(low, high, 600, dtype=data.x.dtype)


def _on_line(data: TrainingSet) -> bool:
    return data.one_dimensional or data.d == 1
