"""The timeline of Figure 1: the phases as the lemmas bound them, as predicted before training, as measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gfflow.figures.events import events, over_iterations
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, INK, new_figure, number, spread
from gfflow.records.event_names import OF_GROUPS
from gfflow.records.run import Run
from gfflow.theory.directions import timeline as bounds_of_lemmas

Steps = list[float]  # at which the phases end
Lane = tuple[str, Steps]  # with its name
Look = tuple[str, dict[str, Any]]  # a phase's name, and the options of its bars
HALF = 0.2  # half the height of a lane
START, STAY = "#E4E4E4", {"facecolor": "white", "hatch": "////"}
EDGE: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.6}
REACHED = re.compile(r"saddle_(\d+)_reached")


@figure("timeline", "both signs predicted, in the order of Figure 1; elsewhere the saddles of a forecast", main=True)
def timeline(run: Run) -> Figure | None:
    """Three lanes over the iterations; two, from saddle to saddle, where the theory has no groups but a forecast.
    None where neither predicts events, or where those of both signs do not follow one another as in Figure 1, since
    lambda is too large for phases."""
    if run.step_size is None:
        return None
    theory, known = run.section("theory"), {key: (predicted, measured) for key, predicted, measured in events(run)}
    plus_first = (theory.get("d_plus_norm") or 0) >= (theory.get("d_minus_norm") or 0)
    first, second = ("plus", "minus") if plus_first else ("minus", "plus")
    keys = ["aligned", f"{first}_fitted", f"{second}_leaves_zero", f"{second}_fitted"]
    if all(key in known for key in keys):
        predicted = [known[key][0] for key in keys]
        if predicted != sorted(predicted) or predicted[0] < 0:
            return None
        return _draw(run, [known[key] for key in keys], _looks(plus_first), _lemmas(theory, run.step_size))
    keys = [key for key in known if key not in OF_GROUPS]
    if "leaves_zero" not in keys:
        return None
    return _draw(run, [known[key] for key in keys], _saddle_looks(keys, theory.get("saddles") or []))


def _draw(
    run: Run, known: Sequence[tuple[float, float | None]], looks: Sequence[Look], bounds: Sequence[Lane] = ()
) -> Figure:
    """A lane for what was measured, one for what was predicted, and those of the bounds; known: (predicted, measured)
    of each event that ends a phase."""
    end = float(run.metrics["step"][-1])
    lanes: list[Lane] = [
        ("measured", _leading([measured for _, measured in known], end)),
        ("predicted before training", [predicted for predicted, _ in known]),
        *bounds,
    ]
    last = 1.02 * max(end, *(step for _, steps in lanes for step in steps))
    columns = 5 if len(looks) <= 5 else 4
    top = 0.15 + 0.2 * -(-len(looks) // columns)
    figure = new_figure(0.5 + top + 0.62 * len(lanes), margins=(1.6, 0.25, 0.5, top))
    axes = figure.subplots()
    first = over_iterations(axes, run, flow_time=True)
    axes.set(xlim=(first, last), ylim=(-0.6, len(lanes) - 0.65), yticks=[])
    for row, (name, steps) in enumerate(lanes):
        _lane(axes, row, steps, end if name == "measured" else last, looks)
        axes.annotate(name, (first, row), (-6, 0), textcoords="offset points", ha="right", va="center")
    axes.spines["left"].set_visible(False)
    patches = [Patch(label=label, **look) for label, look in looks]
    figure.legend(handles=patches, loc="upper center", ncols=columns, columnspacing=1.4, handlelength=1.6)
    return figure


def _saddle_looks(keys: Sequence[str], saddles: Sequence[dict[str, Any]]) -> list[Look]:
    """The phases between the events: stays, hatched, and falls, in turn."""
    looks: list[Look] = [("at zero", {"facecolor": START, **EDGE})]
    colors = cycle(BY_SIGN[1].family)
    for key in keys:
        if reached := REACHED.fullmatch(key):
            k = int(reached[1])
            looks.append((f"towards saddle {k}", {"facecolor": next(colors), **EDGE}))
            looks.append((f"at saddle {k}, loss {saddles[k - 1]['loss']:.3g}", {**STAY, **EDGE}))
        elif key == "fitted":
            looks.append(("towards the end", {"facecolor": next(colors), **EDGE}))
            looks.append(("at the end", {"facecolor": "white", **EDGE}))
    return looks


def _leading(steps: Sequence[float | None], end: float) -> Steps:
    """The steps up to the first that was not reached, or not in its turn."""
    kept: Steps = []
    for step in steps:
        if step is None or not (kept or [0.0])[-1] <= step <= end:
            break
        kept.append(step)
    return kept


def _lemmas(theory: dict[str, Any], step_size: float) -> list[Lane]:
    """t1, t2, the end of the stay near the saddle and t3 of Figure 1, for the largest epsilon of B.2."""
    epsilon, scale = theory["epsilon_max"], theory["lambda"]
    if epsilon is None or scale >= 1:
        return []
    line = bounds_of_lemmas(theory["d_plus_norm"], theory["d_minus_norm"], scale, epsilon)
    times = (line.aligned, line.first_fitted, line.saddle_left, line.second_fitted)
    return [(f"bounds of Figure 1\n($\\varepsilon = {epsilon:.3g}$)", [time / step_size for time in times])]


def _looks(plus_first: bool) -> list[Look]:
    signs = [("$S_+$ grows", BY_SIGN[1].color), ("$S_-$ grows", BY_SIGN[-1].color)]
    (first, dark), (second, light) = signs if plus_first else signs[::-1]
    return [
        ("early alignment", {"facecolor": START, **EDGE}),
        (first, {"facecolor": dark, **EDGE}),
        ("near the saddle", {**STAY, **EDGE}),
        (second, {"facecolor": light, **EDGE}),
        ("near the limit", {"facecolor": "white", **EDGE}),
    ]


def _lane(axes: Axes, row: int, steps: Steps, end: float, looks: Sequence[Look]) -> None:
    """The phases as bars, the one under way up to `end`, and below them the iteration at which each ends."""
    ends = np.maximum.accumulate([axes.get_xlim()[0], *steps, end])
    for start, stop, (_, look) in zip(ends, ends[1:], looks, strict=False):
        axes.barh(row, stop - start, 2 * HALF, left=start, **look)
    names = [number(step) for step in steps]
    to_axes = axes.transData + axes.transAxes.inverted()
    places = [float(to_axes.transform((max(step, axes.get_xlim()[0]), 0))[0]) for step in steps]
    for name, place in zip(names, spread(places, 0.075, 0.035, 0.97), strict=True):
        axes.annotate(name, (place, row - HALF), (0, -3), axes.get_yaxis_transform(), textcoords="offset points",
                      ha="center", va="top", fontsize=7.5)  # fmt: skip
