"""The function of least norm through the data, beside the one that training found (Proposition 1)."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.figures.registry import figure
from gfflow.figures.style import FIT, INK, new_figure, quantity
from gfflow.measures import Snapshot, kinks_on_line, line_interval
from gfflow.model.neurons import Neurons
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run
from gfflow.theory.minimum_norm import MinimumNorm, installed, minimum_norm

EQUAL = 1e-4  # relative difference of two norms below which they are called the same
FITTED = 1e-6  # of the zero network's loss, below which norms are compared


def _asked(run: Run) -> bool:
    return bool(run.config.get("callbacks", {}).get("minimum_norm", False))


@figure("least_norm", "inputs on a line with bias, with the extra `convex`", main=_asked)
def least_norm(run: Run) -> Figure | None:
    """h at the end of training and a function of the least 1/2 ||theta||^2 that fits the data, with their kinks.

    None where the inputs are not on a line with bias, where no network fits the labels, without frames, or without
    the extra `convex`.
    """
    trajectory = run.trajectory
    if trajectory is None or not installed():
        return None
    data = training_set(trajectory)
    if not data.one_dimensional:
        return None
    try:
        least = minimum_norm(data)
    except InvalidInput:
        return None
    figure = new_figure(3.0)
    _draw(figure.subplots(), snapshot(trajectory, data, len(trajectory.step) - 1), least)
    return figure


def _draw(axes: Axes, end: Snapshot, least: MinimumNorm) -> None:
    data, norm = end.training_set, end.neurons.half_norm_squared
    line = torch.linspace(*line_interval(data), 801, dtype=data.x.dtype)
    named = r"$\frac{1}{2}\Vert\theta\Vert^2$"
    for neurons, color, style, width, marker, label in (
        (end.neurons, FIT, "-", 2.2, "v", f"end of training: {named} = {norm:.4g}"),
        (least.neurons, INK, (0, (4, 2)), 1.2, "^", f"least norm: {named} = {least.upper:.4g}"),
    ):
        axes.plot(line, _function(neurons, line), color=color, linestyle=style, linewidth=width, label=label)
        places = kinks_on_line(Snapshot(neurons, data))
        if places is None or not len(places):
            continue
        axes.plot(
            places, _function(neurons, places), marker, color=color, markersize=6, markerfacecolor="white",
            label=f"its {len(places)} kink{'' if len(places) == 1 else 's'}",
        )  # fmt: skip
    axes.plot(data.x[:, 0], data.y, "o", color=FIT, markeredgecolor=INK, markersize=5, label="data", zorder=5)
    axes.set(xlabel="input $x$", ylabel="$h(x)$", xlim=(float(line[0]), float(line[-1])))
    axes.set_title(_verdict(end, norm / least.upper - 1))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _verdict(end: Snapshot, excess: float) -> str:
    if end.loss > FITTED * end.training_set.loss_at_zero:
        return f"the labels are not fitted, loss {quantity(end.loss)}: the norms do not compare"
    if abs(excess) < EQUAL:
        return f"trained network: of the least norm, to {EQUAL:.2%}"
    if excess > 1:
        return f"trained network: {quantity(1 + excess)} times the least norm"
    return f"trained network: {quantity(100 * abs(excess))}% {'above' if excess > 0 else 'below'} the least norm"


def _function(neurons: Neurons, line: Tensor) -> Tensor:
    inputs = torch.stack([line, torch.ones_like(line)], dim=1)
    return neurons.outputs(inputs)
