"""From lazy to rich: how simple the fitted function is, against the scale of the start."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gfflow.figures.style import INK, PLUS, new_figure, styled
from gfflow.reports.finals import swept_axis
from gfflow.reports.jobs import Sweep
from gfflow.reports.labels import is_logarithmic

SCALE = "init.scale"
LITTLE = 1.1  # times the least value


@styled
def simplicity(sweep: Sweep) -> Figure | None:
    """Final norm and number of kinks against the scale, and the final loss where it differs; None unless the scale
    was swept on a line with bias, with inputs that are not orthogonal (orthogonal ones are two, and leave no choice
    of function)."""
    if SCALE not in sweep.keys:
        return None
    points = []
    for job in sweep.finished:
        places, norm = job.summary.get("structure.kinks"), job.number("final.half_norm_squared")
        scale = job.overrides.get(SCALE)
        here = isinstance(scale, (int, float)) and places is not None and norm is not None
        if here and not job.summary.get("theory.orthogonal"):
            points.append((float(scale), norm, len(places), job.number("final.loss")))  # type: ignore[arg-type]
    if not points:
        return None
    scale, norm, count, loss = np.array(points).T
    levels = np.unique(scale)
    rows = [(r"final $\frac{1}{2}\Vert\theta\Vert^2$", norm), ("kinks", count)]
    if is_logarithmic(loss.tolist()):  # some run did not fit its samples: its norm and kinks are of something else
        rows.append(("final loss", loss))
    figure = new_figure(0.7 + 1.5 * len(rows))
    panels = figure.subplots(len(rows), 1, sharex=True)
    for axes, (name, values) in zip(panels, rows, strict=True):
        means = [values[scale == level].mean() for level in levels]
        runs = {"color": PLUS, "markersize": 3.5, "markeredgewidth": 0, "alpha": 0.5, "label": "runs"}
        mean = {"color": INK, "linewidth": 1.0, "markerfacecolor": "none", "markersize": 5, "label": "mean"}
        axes.plot(scale, values, "o", clip_on=False, **runs)
        axes.plot(levels, means, "-o", clip_on=False, **mean)
        axes.set_ylabel(name)
        if name != "kinks":
            axes.set_yscale("log")
            if values.max() < LITTLE * values.min():  # one number, to the digits of a label
                axes.set_ylim(values.min() / LITTLE**2, LITTLE**2 * values.max())
    panels[1].set_ylim(0, None)
    panels[-1].set(xscale="log", xlabel="scale of the start   (rich on the left, lazy on the right)")
    swept_axis(panels[-1], levels)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.align_ylabels()
    return figure
