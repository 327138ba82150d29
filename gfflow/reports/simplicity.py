"""From lazy to rich: how simple the fitted function is, against the scale of the start."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from gfflow.figures.style import INK, PLUS, new_figure, styled
from gfflow.measures.kinks import kinks
from gfflow.neurons import Neurons
from gfflow.records import Run
from gfflow.reports.sweep import Sweep

SCALE = "init.scale"


def kink_count(run: Run) -> int | None:
    """The number of kinks of the function at the end of the run, between the outermost samples; None where the
    data is not a line with bias (d = 2, second coordinate 1), or no trajectory was kept."""
    frames = run.trajectory
    if frames is None or frames.x.shape[1] != 2 or not (frames.x[:, 1] == 1).all() or len(frames.x) < 2:
        return None
    end = Neurons(torch.from_numpy(frames.w[-1]), torch.from_numpy(frames.a[-1]))
    return len(kinks(end, float(frames.x[:, 0].min()), float(frames.x[:, 0].max())))


@styled
def simplicity(sweep: Sweep) -> Figure | None:
    """Final norm and number of kinks against the scale; None unless the scale was swept on a line with bias, with
    more than two samples (two give no choice of function)."""
    if SCALE not in sweep.keys:
        return None
    points = []
    for job in sweep.finished:
        if job.run is None or job.run.trajectory is None or len(job.run.trajectory.x) < 3:
            continue
        count, norm = kink_count(job.run), job.number("final.half_norm_squared")
        if count is not None and norm is not None:
            points.append((float(job.overrides[SCALE]), norm, count, job.number("final.loss")))  # type: ignore[arg-type]
    if not points:
        return None
    scale, norm, count, loss = np.array(points).T
    levels = np.unique(scale)
    figure = new_figure(4.8)
    panels = figure.subplots(3, 1, sharex=True)
    for axes, values, name in zip(
        panels,
        (norm, count, loss),
        (r"final $\frac{1}{2}\Vert\theta\Vert^2$", "kinks between\nthe samples", "final loss"),
        strict=True,
    ):
        means = [values[scale == level].mean() for level in levels]
        axes.plot(scale, values, "o", color=PLUS, markersize=3.5, markeredgewidth=0, alpha=0.5, label="runs")
        axes.plot(
            levels, means, color=INK, linewidth=1.0, marker="o", markerfacecolor="none", markersize=5, label="mean"
        )
        axes.set_ylabel(name)
    panels[0].set(xscale="log", yscale="log")
    panels[1].set_ylim(0, None)
    panels[2].set(yscale="log", xlabel="scale of the start   (rich on the left, lazy on the right)")
    panels[0].legend(loc="upper left")
    figure.align_ylabels()
    return figure
