"""The masses on a logarithmic scale, where growth is a straight line, and how far the prediction is off."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gfflow.figures.events import mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, INK, new_figure
from gfflow.records.run import Run

SIDES = (("plus", "+", BY_SIGN[1].color, BY_SIGN[1].line), ("minus", "-", BY_SIGN[-1].color, BY_SIGN[-1].line))


@figure("masses", "masses that float64 can hold")
def masses(run: Run) -> Figure | None:
    """u+ and u- with their predictions and the largest neuron outside both groups; below, the error of the
    prediction in percent of the limit. None where no mass was measured, or all are below the smallest number."""
    if not any((run.column(f"mass/u_{side}")[1] > 0).any() for side, *_ in SIDES):
        return None
    theory = run.section("theory")
    limits = {side: theory.get(f"u_{side}_limit") for side, *_ in SIDES}
    named = [side for side, *_ in SIDES if f"theory/u_{side}" in run.metrics]
    predicted = len(named) == 2 and None not in limits.values()
    figure = new_figure(4.2 if predicted else 2.6)
    rows = figure.subplots(
        2 if predicted else 1, 1, sharex=True, squeeze=False, height_ratios=[1.6, 1][: 1 + predicted]
    )
    top = rows[0, 0]
    for side, sign, color, style in SIDES:
        step, mass = run.column(f"mass/u_{side}")
        top.plot(step, mass, color=color, linestyle=style, linewidth=2.2, label=f"$u_{{{sign}}}$ measured")
    for side in named:
        label = "predicted" if side == named[0] else None
        top.plot(*run.column(f"theory/u_{side}"), color=INK, linestyle=(0, (1, 2)), linewidth=1.0, label=label)
    step, largest = run.column("mass/other_max")
    if len(step):
        top.plot(step, largest**2, color="#777777", linewidth=0.8, label=r"largest $\Vert w_j\Vert^2$ outside")
    top.set(yscale="log", ylabel="mass" if named else "mass by sign of $a_j$")
    top.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=4, borderaxespad=0.0, columnspacing=1.5)
    if predicted:
        bottom = rows[1, 0]
        for side, sign, color, style in SIDES:
            step, measured = run.column(f"mass/u_{side}")
            expected = np.interp(step, *run.column(f"theory/u_{side}"))
            error = 100 * (measured - expected) / float(limits[side] or np.nan)
            worst = np.abs(error).max()
            bottom.plot(step, error, color=color, linestyle=style, label=f"$u_{{{sign}}}$: at most {worst:.2g} %")
        bottom.set_ylabel("measured $-$ predicted\n(% of the limit)")
        bottom.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=2, borderaxespad=0.0)
    for axes in rows[:, 0]:
        mark_events(axes, run)
    over_iterations(rows[-1, 0], run, flow_time=True)
    figure.align_ylabels()
    return figure
