"""The neurons in more than two dimensions, on two principal components of the final weights (Figure 6)."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from gfflow.figures.moments import moments
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, FAINT, INK, new_figure, panels, quantity
from gfflow.figures.thinned import drawn, how_many
from gfflow.measures import principal_components
from gfflow.model.neurons import Neurons
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run, Trajectory


@figure("polar", "inputs in more than two dimensions")
def polar(run: Run) -> Figure | None:
    """One polar panel for each of the moments: every neuron's hidden weights projected on the two leading
    uncentred components of the final ones. The inner circle is length zero, so that directions show even where
    lengths do not. None for d <= 2 or without frames."""
    trajectory = run.trajectory
    if trajectory is None or trajectory.w.shape[2] <= 2 or trajectory.w.shape[1] < 2:
        return None
    shown = moments(run, trajectory)
    plane, largest = final_plane(trajectory)
    data = training_set(trajectory)
    rows, columns = panels(len(shown))
    figure = new_figure(0.3 + 2.05 * rows)
    grid = figure.subplots(rows, columns, subplot_kw={"projection": "polar"}, squeeze=False).ravel()
    for axes, moment in zip(grid, shown, strict=False):
        prepare_polar(axes, largest)
        draw_polar(axes, snapshot(trajectory, data, moment.frame).neurons, plane)
        caption = moment.caption(float(trajectory.step[moment.frame]))
        axes.set_title(f"{moment.name}\n{caption}", fontsize=8, linespacing=1.0)
    for axes in grid[len(shown) :]:
        axes.remove()
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, handletextpad=0.2)
    note = (
        f"inner circle: length 0; outer circle: projected length {quantity(largest)}{how_many(trajectory.w.shape[1])}"
    )
    figure.supxlabel(note, fontsize=8, style="italic")
    return figure


def final_plane(trajectory: Trajectory) -> tuple[torch.Tensor, float]:
    """The two leading uncentred components of the final hidden weights, (d, 2), and the largest length of a
    neuron projected on them at any frame."""
    components, _ = principal_components(
        Neurons(torch.from_numpy(trajectory.w[-1]), torch.from_numpy(trajectory.a[-1]))
    )
    plane = components[:2].T
    return plane, max(float((torch.from_numpy(w) @ plane).norm(dim=1).max()) for w in trajectory.w)


def prepare_polar(axes: Axes, largest: float) -> None:
    """A polar grid whose inner circle is length 0 and whose outer one is `largest`."""
    assert isinstance(axes, PolarAxes)
    axes.set_rorigin(-0.5 * largest)
    axes.set_rlim(0, largest)
    axes.set_rticks([largest / 2], [])
    axes.set_thetagrids(range(0, 360, 45), [])
    axes.grid(color=FAINT, linewidth=0.4)
    axes.spines["polar"].set(color=FAINT, linewidth=0.6)
    circle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(circle, np.zeros_like(circle), color=INK, linewidth=0.7, zorder=1)


def draw_polar(axes: Axes, neurons: Neurons, plane: torch.Tensor) -> None:
    """A star for each neuron, at the angle and the length of its projection on the plane (d, 2)."""
    neurons = neurons.at(drawn(neurons.norms.numpy()))
    # directions are projected, not weights: those of size 1e-300 then keep their angle
    flat = (neurons.directions @ plane).numpy()
    angle, length = np.arctan2(flat[:, 1], flat[:, 0]), np.hypot(*flat.T) * neurons.norms.numpy()
    for sign, look in BY_SIGN.items():
        mine = (neurons.signs == sign).numpy()
        axes.scatter(
            angle[mine], length[mine], marker="*", s=30, facecolors=look.face, edgecolors=look.color, linewidths=0.6,
            alpha=0.85, zorder=3, clip_on=False, label=look.label,
        )  # fmt: skip
