"""The principal components of the hidden weights in more than two dimensions (Figure 7(b))."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gfflow.figures.events import over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import FAINT, INK, MINUS, PLUS, new_figure
from gfflow.measures import principal_components
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run


@figure("explained_variance", "inputs in more than two dimensions")
def explained_variance(run: Run) -> Figure | None:
    """Left, the share of each principal component of the final hidden weights; right, the share of the two leading
    components of each frame's own weights. None for d <= 2 or without frames."""
    trajectory = run.trajectory
    if trajectory is None or trajectory.w.shape[2] <= 2 or trajectory.w.shape[1] < 2:
        return None
    data = training_set(trajectory)
    shares = np.stack(
        [
            principal_components(snapshot(trajectory, data, frame).neurons)[1].numpy()
            for frame in range(len(trajectory.step))
        ]
    )
    figure = new_figure(2.5)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    shown = min(10, shares.shape[1])
    left.bar(np.arange(1, shown + 1), 100 * shares[-1, :shown], color=FAINT, edgecolor=INK, linewidth=0.6, width=0.75)
    left.plot(
        np.arange(1, shown + 1),
        100 * shares[-1, :shown].cumsum(),
        "o-",
        color=INK,
        markersize=3,
        linewidth=0.9,
        label="cumulative",
    )
    left.set(xlabel="principal component", ylabel="explained (%)", ylim=(0, 104), title="final hidden weights")
    left.set_xticks(np.arange(1, shown + 1))
    left.legend(loc="lower left", bbox_to_anchor=(0.0, 1.1))
    step = trajectory.step
    curves = (
        (shares[:, :2].sum(axis=1), "first and second", INK, "-"),
        (shares[:, 0], "first", PLUS, (0, (5, 1.5))),
        (shares[:, 1], "second", MINUS, (0, (1.5, 1))),
    )
    for values, label, color, style in curves:
        right.plot(step, 100 * values, color=color, linestyle=style, label=label)
    right.annotate(
        f"{100 * curves[0][0][-1]:.1f} %",
        (step[-1], 100 * curves[0][0][-1]),
        (-2, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    right.set(ylim=(0, 102), title="hidden weights at each iteration")
    right.legend(loc="lower left", bbox_to_anchor=(0.0, 1.1), ncols=3)
    over_iterations(right, run, ticks=6)
    return figure
