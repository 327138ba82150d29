"""Where a network stops interpolating: losses against the number of samples (arXiv 2410.02348)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gfflow.figures.style import BAND, INK, MINUS, PLUS, new_figure, styled
from gfflow.reports.jobs import Sweep

SAMPLES = "data.n"


@styled
def threshold(sweep: Sweep) -> Figure | None:
    """Left, training and test loss of the network and of least squares against n, means over seeds, every run a dot;
    right, how far the network's function is from that of least squares on the test inputs, relative. None unless n
    was swept on data with a test set."""
    jobs = [job for job in sweep.finished if job.number("final.test_loss") is not None and SAMPLES in job.overrides]
    if SAMPLES not in sweep.keys or not jobs:
        return None
    n = np.array([float(job.overrides[SAMPLES]) for job in jobs])  # type: ignore[arg-type]
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2)
    for path, color, style, label in (
        ("final.loss", PLUS, "-", "network, training"),
        ("baselines.least_squares.loss", PLUS, (0, (1.5, 2)), "least squares, training"),
        ("final.test_loss", MINUS, "-", "network, test"),
        ("baselines.least_squares.test_loss", MINUS, (0, (1.5, 2)), "least squares, test"),
    ):
        values = np.array([job.number(path) or 0.0 for job in jobs])
        levels = np.unique(n)
        left.plot(levels, [values[n == level].mean() for level in levels], color=color, linestyle=style, label=label)
        if style == "-":
            left.plot(n, values, "o", color=color, markersize=3, markeredgewidth=0, alpha=0.6)
    left.set(xscale="log", xlabel="samples $n$", ylabel="loss $L$", ylim=(0, None))
    left.legend(loc="upper right")
    distance = np.array([job.number("final.least_squares_distance") or np.nan for job in jobs])
    right.axhspan(1e-6, 0.05, color=BAND, linewidth=0, zorder=-1)
    right.plot(n, distance, "o", color=INK, markersize=4)
    right.annotate("within 5%", (0, 0.05), (3, -3), ("axes fraction", "data"), "offset points", ha="left", va="top",
                   fontsize=8)  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="samples $n$", ylim=(0.5 * min(0.04, np.nanmin(distance)), None))
    right.set_ylabel(r"$\Vert h-\ell\Vert/\Vert\ell\Vert$ on test inputs")
    return figure
