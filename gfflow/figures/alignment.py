"""Alignment: the cosine between every neuron and the direction that draws it, over logarithmic time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gfflow.figures.events import mark_events
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, OTHER, Look, iteration_axis, new_figure, of_signs
from gfflow.figures.thinned import drawn, how_many
from gfflow.measures import cosines_with, own_cosines_by_neuron
from gfflow.records.frames import prediction, snapshot, training_set
from gfflow.records.run import Run


@figure("alignment", "every run with frames")
def alignment(run: Run) -> Figure | None:
    """One line a neuron: on the left its cosine with the direction s_j D_j that draws it at that instant, on the
    right, where S+ and S- have members, the cosine of these with D+ and -D-. None where no frames were recorded."""
    trajectory = run.trajectory
    if trajectory is None or len(trajectory.step) < 3:
        return None
    data, known = training_set(trajectory), prediction(run)
    shots = [snapshot(trajectory, data, frame) for frame in range(1, len(trajectory.step))]
    step = trajectory.step[1:].astype(np.float64)
    groups = () if known is None else known.groups
    figure = new_figure(2.6)
    panels = figure.subplots(1, 1 + bool(groups), sharey=True, squeeze=False)[0]
    shown = drawn(shots[-1].neurons.norms.numpy())
    own = np.stack([own_cosines_by_neuron(shot).numpy()[shown] for shot in shots])
    signs = trajectory.a[0][shown] > 0
    _lines(panels[0], step, own[:, ~signs], BY_SIGN[-1])
    _lines(panels[0], step, own[:, signs], BY_SIGN[1])
    panels[0].set(ylabel="cosine", title="every neuron with the direction $s_jD_j$ that draws it")
    if note := how_many(trajectory.w.shape[1]):
        figure.supxlabel(f"one line a neuron{note}", fontsize=8, style="italic")
    for group in groups:
        members = group.members.nonzero()[:, 0]
        members = members[drawn(shots[-1].neurons.norms[members].numpy())]
        cosines = np.stack([cosines_with(shot.neurons, group.direction)[members].numpy() for shot in shots])
        _lines(panels[1], step, cosines, BY_SIGN[group.sign])
        panels[1].set_title("members of $S_+$ with $D_+$, of $S_-$ with $-D_-$")
    for axes in panels:
        axes.set(xscale="log", xlim=(step[0], step[-1]), ylim=(-1.05, 1.05))
        axes.axhline(1, color=OTHER, linewidth=0.5, zorder=0)
        mark_events(axes, run)
        iteration_axis(axes, None)
    figure.legend(handles=of_signs(), loc="outside upper center", ncols=2)
    return figure


def _lines(axes: Axes, step: NDArray[np.float64], cosines: NDArray[np.float64], look: Look) -> None:
    """cosines is (T, number of neurons); a NaN interrupts its line."""
    lines = [np.column_stack([step, column]) for column in cosines.T]
    axes.add_collection(LineCollection(lines, colors=look.color, linestyles=[look.line], linewidths=0.6, alpha=0.6))
