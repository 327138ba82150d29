"""Descent beside the flow."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import label_events, mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import INK, PLUS, new_figure, quantity
from gfflow.records.run import Run


@figure("flow_distance", "`callbacks.flow=true`")
def flow_distance(run: Run) -> Figure | None:
    """Distance of descent to the flow at equal time, in all weights and on the training inputs, over the iterations;
    None where the flow was not integrated alongside."""
    known = [
        (run.column("flow/distance"), r"in all weights, $\Vert\theta - \theta_{\mathrm{flow}}\Vert$", INK, "-"),
        (
            run.column("flow/function_distance"),
            r"on the training inputs, $\max_k |h(x_k) - h_{\mathrm{flow}}(x_k)|$", PLUS, (0, (5, 1.5)),
        ),
    ]  # fmt: skip
    known = [curve for curve in known if (curve[0][1] > 0).any()]
    if not known:
        return None
    figure = new_figure(3.1)
    axes = figure.subplots()
    for (step, distance), label, color, style in known:
        axes.plot(
            step, distance, color=color, linestyle=style, label=f"{label}: {quantity(distance.max())} at most",
            marker="o", markersize=3.5, markevery=[int(distance.argmax())],
        )  # fmt: skip
    axes.set(yscale="log", ylabel="distance of descent to the flow")
    over_iterations(axes, run, flow_time=True)
    mark_events(axes, run)
    axes.legend(loc="lower right", frameon=True, edgecolor="none", framealpha=1.0)
    label_events(axes, run)
    return figure
