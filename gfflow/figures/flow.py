"""Descent beside the flow, and the gates on which the flow slides."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import events, label_events, mark_events
from gfflow.figures.style import INK, PLUS, iteration_axis, new_figure, number, quantity, styled
from gfflow.records.run import Run


@styled
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
    axes.set(yscale="log", ylabel="distance of descent to the flow", xlim=(0, max(run.metrics["step"][-1], 1)))
    mark_events(axes, run)
    axes.legend(loc="lower right", frameon=True, edgecolor="none", framealpha=1.0)
    label_events(axes, run)
    iteration_axis(axes, run.step_size)
    return figure


@styled
def sliding_pairs(run: Run) -> Figure | None:
    """The number of pairs (neuron, sample) whose gate slides, over the iterations, above the loss; None where none
    ever did, as on orthogonal data, or nobody counted."""
    step, pairs = run.column("flow/sliding_pairs")
    if not pairs.any():
        return None
    figure = new_figure(3.6)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2, 1]})
    upper.fill_between(step, pairs, color=PLUS, alpha=0.15, linewidth=0, step="post")
    upper.plot(step, pairs, color=PLUS, drawstyle="steps-post")
    i = int(pairs.argmax())
    upper.plot(step[i], pairs[i], "o", color=PLUS, markersize=3.5)
    right = step[i] > 0.6 * step[-1]
    upper.annotate(
        f"{number(pairs[i])} at iteration {number(step[i])}", (step[i], pairs[i]), (-6 if right else 6, 3),
        textcoords="offset points", ha="right" if right else "left", fontsize=8,
    )  # fmt: skip
    upper.set(ylabel="pairs $(j, k)$ that slide", xlim=(0, max(step[-1], 1)), ylim=(0, 1.15 * pairs.max()))
    upper.yaxis.set_major_formatter(lambda value, _: number(value))
    lower.plot(*run.column("loss"), color=INK)
    lower.set(yscale="log", ylabel="loss $L$")
    for axes in (upper, lower):
        mark_events(axes, run)
    if events(run):
        label_events(upper, run)
    iteration_axis(lower, run.step_size)
    return figure
