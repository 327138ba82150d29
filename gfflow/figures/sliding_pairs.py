"""The gates on which the flow slides."""

from __future__ import annotations

from matplotlib.figure import Figure

from gfflow.figures.events import events, is_late, label_events, mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import INK, PLUS, new_figure, number
from gfflow.records.run import Run


@figure("sliding_pairs", "`solver=flow`, where a gate slid")
def sliding_pairs(run: Run) -> Figure | None:
    """The number of pairs (neuron, sample) whose gate slides, over the iterations, above the loss; None where none
    ever did, as on orthogonal data, or where they were not counted."""
    step, pairs = run.column("flow/sliding_pairs")
    if not pairs.any():
        return None
    figure = new_figure(3.6)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2, 1]})
    upper.fill_between(step, pairs, color=PLUS, alpha=0.15, linewidth=0, step="post")
    upper.plot(step, pairs, color=PLUS, drawstyle="steps-post")
    i = int(pairs.argmax())
    upper.plot(step[i], pairs[i], "o", color=PLUS, markersize=3.5)
    over_iterations(lower, run, flow_time=True)
    right = is_late(upper, step[i], 0.6)
    upper.annotate(
        f"{number(pairs[i])} at iteration {number(step[i])}", (step[i], pairs[i]), (-6 if right else 6, 3),
        textcoords="offset points", ha="right" if right else "left", fontsize=8,
    )  # fmt: skip
    upper.set(ylabel="pairs $(j, k)$ that slide", ylim=(0, 1.15 * pairs.max()))
    upper.yaxis.set_major_formatter(lambda value, _: number(value))
    lower.plot(*run.column("loss"), color=INK)
    lower.set(yscale="log", ylabel="loss $L$")
    for axes in (upper, lower):
        mark_events(axes, run)
    if events(run):
        label_events(upper, run)
    return figure
