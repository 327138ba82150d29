"""How near the run comes to the saddle and to the limit that were predicted before it began (Fact 1, Theorem 1)."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import is_late, label_events, mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import INK, PLUS, new_figure, number, quantity
from gfflow.records.run import Run


@figure("saddle", "a predicted saddle or limit")
def saddle(run: Run) -> Figure | None:
    """Distances to theta_S and theta* over the iterations; None where neither was predicted."""
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
        axes.plot(step, distance, color=color, linestyle=style, label=label)
        i = int(distance.argmin())
        axes.plot(step[i], distance[i], "o", color=color, markersize=3.5)
        right = is_late(axes, step[i], 0.7)
        axes.annotate(
            f"{quantity(distance[i])} at iteration {number(step[i])}".replace("\N{THIN SPACE}", "$\\,$"),
            (max(step[i], axes.get_xlim()[0]), distance[i]), (-4 if right else 6, -2),
            textcoords="offset points", ha="right" if right else "left", va="top", fontsize=8,
        )  # fmt: skip
    axes.set(yscale="log", ylabel="distance in all weights")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 3, high)
    mark_events(axes, run)
    axes.legend(loc="lower left", frameon=True, edgecolor="none", framealpha=1.0)
    label_events(axes, run)
    return figure
