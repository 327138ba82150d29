"""How near the run comes to the saddle and to the limit that were predicted before it began (Fact 1, Theorem 1)."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import label_events, mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import INK, PLUS, new_figure, number, quantity
from gfflow.records.run import Run


@figure("saddle", "a predicted saddle or limit")
def saddle(run: Run) -> Figure | None:
    """Distances to theta_S and theta* over the iterations, and the least of each; None where none was predicted."""
    known = [
        (run.column("saddle/distance"), r"to the saddle $\theta_S$", INK, "-"),
        (run.column("limit/distance"), r"to the limit $\theta^*$", PLUS, (0, (5, 1.5))),
    ]
    known = [curve for curve in known if len(curve[0][0])]
    if not known:
        return None
    figure = new_figure(3.1)
    axes = figure.subplots()
    over_iterations(axes, run, flow_time=True)
    for (step, distance), label, color, style in known:
        i = int(distance.argmin())
        least = f"{quantity(distance[i])} at iteration {number(step[i])}".replace("\N{THIN SPACE}", "$\\,$")
        axes.plot(
            step, distance, color=color, linestyle=style, label=f"{label}: {least}",
            marker="o", markersize=3.5, markevery=[i],
        )  # fmt: skip
    axes.set(yscale="log", ylabel="distance in all weights")
    mark_events(axes, run)
    figure.legend(loc="outside lower center", ncols=2)
    label_events(axes, run)
    return figure
