"""The main figure: the loss from saddle to saddle, and below it both masses beside their predicted curves."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.events import LABEL_HEIGHT, events, is_late, label_events, mark_events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, FAINT, INK, PREDICTED, lies_flat, new_figure
from gfflow.records.run import Run


@figure("overview", "every run", main=True)
def overview(run: Run) -> Figure:
    """Loss above, u+ and u- below, over the iterations: measured and, where the theory gives them, predicted."""
    labels = LABEL_HEIGHT if events(run) else 0.1
    figure = new_figure(3.55 + labels, margins=(0.65, 0.25, 0.5, labels))
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.24})
    step, loss = run.column("loss")
    top.plot(step, loss, color=INK, linewidth=2.0, label="measured")
    top.set(ylabel="loss $L$")
    over_iterations(bottom, run, flow_time=True)  # the same for both
    draw_predicted_loss(top, run)
    if lies_flat(step, loss, top.get_xlim()[0]):
        top.set_yscale("log")
    else:
        top.set_ylim(0, 1.06 * loss[step >= top.get_xlim()[0]].max())
    draw_masses(bottom, run)
    for axes in (top, bottom):
        mark_events(axes, run)
    label_events(top, run)
    figure.align_ylabels()
    return figure


def draw_predicted_loss(axes: Axes, run: Run) -> None:
    """The predicted loss as dashes on top of the measured one, and the levels of the predicted saddles."""
    step, predicted = run.column("theory/loss")
    if not len(step):
        return
    axes.plot(
        step, predicted, color=PREDICTED, linestyle=(0, (4, 3)), linewidth=1.1, label="predicted before training"
    )
    theory = run.section("theory")
    for i, saddle in enumerate(theory.get("saddles") or [], start=1):
        axes.axhline(saddle["loss"], color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
        reached = predicted < 1.05 * saddle["loss"]
        left = not reached.any() or is_late(axes, step[int(reached.argmax())], 0.3)  # before the fall there is room
        axes.annotate(
            f"saddle {i}: $L={saddle['loss']:.4g}$", (0.008 if left else 0.992, saddle["loss"]), (0, 2),
            ("axes fraction", "data"), "offset points", fontsize=8, va="bottom", ha="left" if left else "right",
        )  # fmt: skip
    axes.legend(loc="best", ncols=2)  # upper right, unless the loss falls late


def draw_masses(axes: Axes, run: Run, **legend: Any) -> None:
    """Both measured masses, their predictions as dashes on top, and their limits as dotted lines;
    `legend` are options of the legend above the axes."""
    theory = run.section("theory")
    predicted = "theory/u_plus" in run.metrics or "theory/u_minus" in run.metrics
    limits: list[tuple[float, str]] = []
    for side, sign, color in (("plus", "+", BY_SIGN[1].color), ("minus", "-", BY_SIGN[-1].color)):
        step, mass = run.column(f"mass/u_{side}")
        if not len(step):
            continue
        axes.plot(step, mass, color=color, linewidth=2.4, label=f"$u_{sign}$ measured")
        limit = theory.get(f"u_{side}_limit") if predicted else None
        if limit is not None:
            axes.axhline(limit, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
            limits.append((limit, f"$u_{sign}^*={limit:.4g}$"))
    for side in ("plus", "minus"):
        step, mass = run.column(f"theory/u_{side}")
        if len(step):
            label = "predicted before training" if side == "plus" or "theory/u_plus" not in run.metrics else None
            axes.plot(step, mass, color=INK, linestyle=(0, (4, 3)), linewidth=0.9, label=label)
    axes.set_ylabel("masses $u_+$, $u_-$" if predicted else "masses by sign of $a_j$")
    top = 1.12 * axes.get_ylim()[1]
    axes.set_ylim(0, top)
    close = len(limits) == 2 and abs(limits[0][0] - limits[1][0]) < 0.13 * top  # then side by side
    for i, (limit, text) in enumerate(limits):
        place = (0.008 + 0.16 * i * close, limit)
        axes.annotate(text, place, (0, 2), ("axes fraction", "data"), "offset points", fontsize=8, va="bottom")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=3, borderaxespad=0.0, **legend)
