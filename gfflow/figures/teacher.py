"""Learning a teacher (arXiv 2306.06479): losses, angle and distance, and the rank of the hidden weights."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.registry import figure
from gfflow.figures.style import INK, MINUS, PLUS, iteration_axis, new_figure
from gfflow.records.run import Run


def _main(run: Run) -> bool:
    return run.config.get("data", {}).get("name") == "correlated_teacher"


@figure("teacher", "data with a teacher", main=_main)
def teacher(run: Run) -> Figure | None:
    """Left, training and test loss; middle, the mean angle with the teacher and the distance to it; right, the stable
    rank of W, against the least of an interpolator. All over logarithmic iterations; None without a teacher."""
    step, angle = run.column("teacher/angle")
    if len(step) < 3:
        return None
    figure = new_figure(2.6)
    left, middle, right = figure.subplots(1, 3)
    for name, color, style, label in (("loss", INK, "-", "training"), ("test/loss", MINUS, (0, (5, 1.5)), "test")):
        at, values = run.column(name)
        shown = (at > 0) & (values > 0)
        if shown.any():
            left.plot(at[shown], values[shown], color=color, linestyle=style, label=label)
    left.set(yscale="log", title="loss $L$")
    middle.plot(step[1:], angle[1:], color=PLUS, label="angle, radians")
    at, distance = run.column("teacher/distance")
    middle.plot(at[1:], distance[1:], color=MINUS, linestyle=(0, (5, 1.5)), label="distance, relative")
    middle.set(yscale="log", title="to the teacher")
    at, rank = run.column("structure/stable_rank")
    right.plot(at[at > 0], rank[at > 0], color=INK, label=r"$\Vert W\Vert_F^2/\Vert W\Vert^2$")
    right.axhline(1, color=PLUS, linewidth=0.8, linestyle=(0, (1.5, 2)), label="one direction")
    right.set(title="stable rank of $W$", ylim=(0, None))
    for axes in (left, middle, right):
        axes.set(xscale="log", xlim=(max(step[1], 1), step[-1]))
        iteration_axis(axes, None)
        axes.legend(loc="best")
    return figure
