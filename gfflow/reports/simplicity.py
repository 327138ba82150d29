"""From lazy to rich: how simple the fitted function is, against the scale of the start."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gfflow.figures.style import INK, PLUS, new_figure, styled
from gfflow.reports.sweep import Sweep

SCALE = "init.scale"


@styled
def simplicity(sweep: Sweep) -> Figure | None:
    """Final norm, number of kinks and loss against the scale; None unless the scale was swept on a line with bias,
    with inputs that are not orthogonal (orthogonal ones are two, and leave no choice of function)."""
    if SCALE not in sweep.keys:
        return None
    points = []
    for job in sweep.finished:
        places, norm = job.summary.get("structure.kinks"), job.number("final.half_norm_squared")
        if places is not None and norm is not None and not job.summary.get("theory.orthogonal"):
            points.append((float(job.overrides[SCALE]), norm, len(places), job.number("final.loss")))  # type: ignore[arg-type]
    if not points:
        return None
    scale, norm, count, loss = np.array(points).T
    levels = np.unique(scale)
    figure = new_figure(4.8)
    panels = figure.subplots(3, 1, sharex=True)
    for axes, values, name in zip(
        panels,
        (norm, count, loss),
        (r"final $\frac{1}{2}\Vert\theta\Vert^2$", "kinks", "final loss"),
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
