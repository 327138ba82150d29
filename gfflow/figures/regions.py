"""Decision regions over time: where in the plane the network says +1, and where -1."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from gfflow.figures.moments import moments
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, INK, new_figure, panels
from gfflow.measures import Snapshot
from gfflow.measures.margin import errors
from gfflow.model.data import TrainingSet
from gfflow.model.options import LOSSES
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run

CELLS = 160  # of the grid on which h is found, along each side
TINTS = ListedColormap(["#F9E3CC", "#D3E0F0"])  # light MINUS and PLUS


def _classifies(run: Run) -> bool:
    return run.config.get("loss", "square") in LOSSES and run.config.get("loss", "square") != "square"


@figure("regions", "classification of inputs in the plane, with bias or without", main=_classifies)
def regions(run: Run) -> Figure | None:
    """One panel for each of the moments: the samples, the sign of h, and the line h = 0. None where the loss is not
    one of classification, the inputs are not in the plane, or no frames were recorded."""
    trajectory = run.trajectory
    if trajectory is None or not classified_in_the_plane(data := training_set(trajectory)):
        return None
    shown = moments(run, trajectory)
    rows, columns = panels(len(shown))
    drawn = new_figure(0.5 + 2.0 * rows, margins=(0.5, 0.1, 0.4, 0.5))
    layout = {"hspace": 0.5, "wspace": 0.12}
    grid = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=layout).ravel()
    for i, (axes, moment) in enumerate(zip(grid, shown, strict=False)):
        shot = snapshot(trajectory, data, moment.frame)
        prepare_regions(axes, data)
        draw_regions(axes, shot)
        step = moment.caption(float(trajectory.step[moment.frame]))
        lines = [moment.name, step, f"{errors(shot)} of {data.n} misclassified"]
        axes.set_title("\n".join(line for line in lines if line), fontsize=8, linespacing=1.0)
        axes.set(xlabel="$x_1$" if i + columns >= len(shown) else "", ylabel="" if i % columns else "$x_2$")
    for axes in grid[len(shown) :]:
        axes.remove()
    return drawn


def classified_in_the_plane(data: TrainingSet) -> bool:
    """Whether labels are classes and inputs points of the plane: two coordinates, and perhaps a last one equal to
    1."""
    bias = data.d == 3 and bool((data.x[:, 2] == 1).all())
    return data.loss.is_classification and not data.one_dimensional and (data.d == 2 or bias)


def _edges(data: TrainingSet) -> tuple[float, float, float, float]:
    low, high = data.x[:, :2].aminmax(dim=0)
    room = 0.15 * float((high - low).max())
    return float(low[0]) - room, float(high[0]) + room, float(low[1]) - room, float(high[1]) + room


def _grid(data: TrainingSet) -> tuple[Tensor, Tensor, Tensor]:
    """Places along both axes, and the inputs (CELLS^2, d) of the grid."""
    left, right, below, above = _edges(data)
    first, second = (torch.linspace(*ends, CELLS, dtype=torch.float64) for ends in ((left, right), (below, above)))
    y, x = torch.meshgrid(second, first, indexing="ij")
    columns = [x.ravel(), y.ravel(), torch.ones(CELLS**2, dtype=torch.float64)][: data.d]
    return first, second, torch.stack(columns, dim=1)


def prepare_regions(axes: Axes, data: TrainingSet) -> None:
    """The limits of the axes, and their labels."""
    left, right, below, above = _edges(data)
    axes.set(xlim=(left, right), ylim=(below, above), xlabel="$x_1$", ylabel="$x_2$")


def draw_regions(axes: Axes, shot: Snapshot) -> None:
    """The samples, the sign of h, and the line h = 0 where there is one, of one snapshot."""
    data = shot.training_set
    first, second, inputs = _grid(data)
    h = shot.neurons.outputs(inputs).reshape(CELLS, CELLS)
    h = h / h.abs().max().clamp(min=1e-300)
    edges = _edges(data)
    axes.imshow(h > 0, extent=edges, origin="lower", aspect="auto", cmap=TINTS, vmin=0, vmax=1, zorder=0)
    if bool((h > 0).any() and (h <= 0).any()):
        axes.contour(first, second, h, levels=[0.0], colors=INK, linewidths=0.9, zorder=3)
    for sign, look in BY_SIGN.items():
        x = data.x[data.y == sign]
        axes.scatter(
            x[:, 0], x[:, 1], s=14, marker="o" if sign > 0 else "s", facecolors=look.face, edgecolors=look.color,
            linewidths=0.8, zorder=4,
        )  # fmt: skip
