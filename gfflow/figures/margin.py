"""Margins over time: how near classification is to the largest margin, and to the directions that have it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, FAINT, INK, new_figure
from gfflow.measures import Snapshot
from gfflow.measures.margin import cosine, is_orthogonally_separable, max_margin_vector
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run

HEAVY = 0.1  # of the largest norm, from which on a neuron counts as grown
LATE = 0.5  # of ln t at the end, from which on a power of ln t is fitted
LEAST = 1e-14  # of 1 - cosine, below which it is rounding

Array = NDArray[np.float64]


@figure("margin", "the logistic and the exponential loss")
def margin(run: Run) -> Figure | None:
    """Above, the normalized margin over flow time, and the largest that any network has, where the run computed it.
    Below, where frames were recorded, 1 - cosine over ln t: of theta with its own end, and on orthogonally separable
    data of the grown neurons of each sign with the max-margin vector of their class, with the power of ln t that fits
    their second half. None where the loss is not one of classification."""
    step, values = run.column("margin/normalized")
    if not len(step) or run.step_size is None or step[-1] * run.step_size <= np.e**2:
        return None
    drawn = new_figure(4.2)
    top, bottom = drawn.subplots(2, 1)
    later = step > 0
    top.plot(run.step_size * step[later], values[later], color=INK, label="normalized margin")
    least = run.section("theory").get("min_half_norm")
    if least:
        top.axhline(1 / (2 * least), color=FAINT, linestyle=":", label="the largest, by the convex program")
    top.set(xscale="log", xlabel="flow time $t$", ylabel=r"$\min_k y_k h(x_k)\,/\,\Vert\theta\Vert^2$")
    last, largest = float(values[-1]), float(values.max())
    top.set_ylim(bottom=min(0.0, last) - 0.05 * abs(last), top=1.25 * max(largest, 0.2 * abs(last)))
    top.legend(loc="best")
    _distances(bottom, run)
    return drawn


def _distances(axes: Axes, run: Run) -> None:
    """1 - cosine over ln t."""
    trajectory = run.trajectory
    if trajectory is None or run.step_size is None:
        axes.remove()
        return
    data = training_set(trajectory)
    shots = [snapshot(trajectory, data, frame) for frame in range(len(trajectory.step))]
    times = run.step_size * trajectory.step
    later = [i for i, time in enumerate(times) if time > np.e]
    logs, end = np.log(times[later]), shots[-1].neurons
    own = np.array([1 - cosine(shots[i].neurons, end) for i in later])
    _curve(axes, logs[:-1], own[:-1], INK, r"$\theta$ with its own end", fitted=False)
    if is_orthogonally_separable(data):
        for sign, look in BY_SIGN.items():
            apart = np.array([_apart(shots[i], sign) for i in later])
            _curve(axes, logs, apart, look.color, f"{look.label} with its max-margin vector", fitted=True)
    axes.set(xscale="log", yscale="log", xlabel=r"$\ln t$", ylabel="$1-\\cos$")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))  # seldom more than two decades
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="lower left")


def _apart(shot: Snapshot, sign: int) -> float:
    """1 - least cosine of the grown neurons of a sign with the max-margin vector of their class; NaN without any."""
    vector, neurons = max_margin_vector(shot.training_set, sign), shot.neurons
    mine = (neurons.signs == sign) & (neurons.norms > HEAVY * neurons.norms.max())
    if vector is None or not bool(mine.any()):
        return float("nan")
    return 1 - float((neurons.directions[mine] @ (vector / vector.norm())).min())


def _curve(axes: Axes, logs: Array, values: Array, color: str, label: str, fitted: bool) -> None:
    there = values > LEAST
    if not there.any():
        return
    axes.plot(logs[there], values[there], color=color, label=label)
    late = there & (logs > LATE * logs[-1])
    if fitted and late.sum() > 2:
        power, offset = np.polyfit(np.log(logs[late]), np.log(values[late]), 1)
        shown = np.exp(offset) * logs[late] ** power
        law = f"$\\propto(\\ln t)^{{{power:.2f}}}$"
        axes.plot(logs[late], shown, color=INK, linestyle="--", linewidth=0.9, label=law)
