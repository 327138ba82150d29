"""The timeline of Figure 1: the phases as the lemmas bound them, as predicted before training, as measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gfflow.figures.events import events
from gfflow.figures.registry import figure
from gfflow.figures.style import BY_SIGN, INK, OF_GROUPS, iteration_axis, new_figure, number, spread
from gfflow.records.run import Run
from gfflow.theory.directions import timeline as bounds

Steps = list[float]  # ends of: early alignment, growth of the first group, saddle, growth of the second
HALF = 0.2  # half the height of a lane


@figure("timeline", "both signs predicted, in the order of Figure 1; elsewhere the saddles of a forecast", main=True)
def timeline(run: Run) -> Figure | None:
    """Three lanes over the iterations; two, from saddle to saddle, where the theory has no groups but a forecast.
    None where neither predicts events, or where those of both signs do not follow one another as in Figure 1, since
    lambda is too large for phases."""
    theory = (run.summary or {}).get("theory") or {}
    known = {key: (predicted, measured) for key, predicted, measured in events(run)}
    plus_first = (theory.get("d_plus_norm") or 0) >= (theory.get("d_minus_norm") or 0)
    first, second = ("plus", "minus") if plus_first else ("minus", "plus")
    keys = ["aligned", f"{first}_fitted", f"{second}_leaves_zero", f"{second}_fitted"]
    if run.step_size is None or any(key not in known for key in keys):
        return None if run.step_size is None else _from_saddle_to_saddle(run, known)
    predicted = [known[key][0] for key in keys]
    if predicted != sorted(predicted) or predicted[0] < 0:
        return None
    end = float(run.metrics["step"][-1])
    lanes = [("measured", _leading([known[key][1] for key in keys], end)), ("predicted\nbefore training", predicted)]
    lanes += _lemmas(run, run.step_size)
    last = 1.02 * max(end, *(step for _, steps in lanes for step in steps))
    figure = new_figure(0.85 + 0.62 * len(lanes), margins=(1.3, 0.25, 0.5, 0.35))
    axes = figure.subplots()
    looks = _looks(plus_first)
    for row, (name, steps) in enumerate(lanes):
        _lane(axes, row, steps, end if name == "measured" else last, last, looks)
        axes.annotate(name, (0, row), (-6, 0), textcoords="offset points", ha="right", va="center")
    axes.set(xlim=(0, last), ylim=(-0.6, len(lanes) - 0.65), yticks=[])
    axes.spines["left"].set_visible(False)
    iteration_axis(axes, run.step_size)
    patches = [Patch(label=label, **look) for label, look in looks]
    figure.legend(handles=patches, loc="upper center", ncols=5, columnspacing=1.4, handlelength=1.6)
    return figure


def _from_saddle_to_saddle(run: Run, known: dict[str, tuple[float, float | None]]) -> Figure | None:
    """Two lanes, measured and predicted: at zero, towards saddle 1, at saddle 1, ..., at the end."""
    keys = [key for key in known if key not in OF_GROUPS]
    if "leaves_zero" not in keys:
        return None
    end = float(run.metrics["step"][-1])
    lanes = [
        ("measured", _leading([known[key][1] for key in keys], end)),
        ("predicted\nbefore training", [known[key][0] for key in keys]),
    ]
    last = 1.02 * max(end, *(step for _, steps in lanes for step in steps))
    figure = new_figure(2.1, margins=(1.3, 0.25, 0.5, 0.55))
    axes = figure.subplots()
    looks = _saddle_looks(run, keys)
    for row, (name, steps) in enumerate(lanes):
        _lane(axes, row, steps, end if name == "measured" else last, last, looks)
        axes.annotate(name, (0, row), (-6, 0), textcoords="offset points", ha="right", va="center")
    axes.set(xlim=(0, last), ylim=(-0.6, len(lanes) - 0.65), yticks=[])
    axes.spines["left"].set_visible(False)
    iteration_axis(axes, run.step_size)
    patches = [Patch(label=label, **look) for label, look in looks]
    figure.legend(handles=patches, loc="upper center", ncols=5, columnspacing=1.2, handlelength=1.4)
    return figure


def _saddle_looks(run: Run, keys: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """The phases between the events: stays, hatched, and falls, in turn."""
    edge: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.6}
    saddles = ((run.summary or {}).get("theory") or {}).get("saddles") or []
    looks: list[tuple[str, dict[str, Any]]] = [("at zero", {"facecolor": "#E4E4E4", **edge})]
    falls = (BY_SIGN[1].color, *BY_SIGN[1].family[1:])
    for key in keys[1:]:
        color = falls[sum("facecolor" in look and look["facecolor"] in falls for _, look in looks) % len(falls)]
        if key.endswith("_reached"):
            k = int(key.split("_")[1])
            looks += [
                (f"towards saddle {k}", {"facecolor": color, **edge}),
                (
                    f"at saddle {k}, loss {saddles[k - 1]['loss']:.3g}",
                    {"facecolor": "white", "hatch": "////", **edge},
                ),
            ]
        elif key == "fitted":
            looks += [
                ("towards the end", {"facecolor": color, **edge}),
                ("at the end", {"facecolor": "white", **edge}),
            ]
    return looks


def _leading(steps: Sequence[float | None], end: float) -> Steps:
    """The steps up to the first that was not reached, or not in its turn."""
    kept: Steps = []
    for step in steps:
        if step is None or not (kept or [0.0])[-1] <= step <= end:
            break
        kept.append(step)
    return kept


def _lemmas(run: Run, step_size: float) -> list[tuple[str, Steps]]:
    """t1, t2, the end of the stay near the saddle and t3 of Figure 1, for the largest epsilon of B.2."""
    theory = (run.summary or {})["theory"]
    epsilon, scale = theory["epsilon_max"], theory["lambda"]
    if epsilon is None or scale >= 1:
        return []
    line = bounds(theory["d_plus_norm"], theory["d_minus_norm"], scale, epsilon)
    times = (line.aligned, line.first_fitted, line.saddle_left, line.second_fitted)
    return [(f"bounds of Figure 1\n($\\varepsilon = {epsilon:.3g}$)", [time / step_size for time in times])]


def _looks(plus_first: bool) -> list[tuple[str, dict[str, Any]]]:
    signs = [("$S_+$ grows", BY_SIGN[1].color), ("$S_-$ grows", BY_SIGN[-1].color)]
    (first, dark), (second, light) = signs if plus_first else signs[::-1]
    edge: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.6}
    return [
        ("early alignment", {"facecolor": "#E4E4E4", **edge}),
        (first, {"facecolor": dark, **edge}),
        ("near the saddle", {"facecolor": "white", "hatch": "////", **edge}),
        (second, {"facecolor": light, **edge}),
        ("near the limit", {"facecolor": "white", **edge}),
    ]


def _lane(
    axes: Axes, row: int, steps: Steps, end: float, last: float, looks: Sequence[tuple[str, dict[str, Any]]]
) -> None:
    """The phases as bars, the one under way up to `end`, and below them the iteration at which each ends."""
    ends = np.maximum.accumulate([0.0, *steps, end])
    for start, stop, (_, look) in zip(ends, ends[1:], looks, strict=False):
        axes.barh(row, stop - start, 2 * HALF, left=start, **look)
    for tick, place in zip(steps, spread(steps, 0.075 * last, 0, 0.97 * last), strict=True):
        axes.text(place, row - HALF - 0.06, number(tick), ha="center", va="top", fontsize=7.5)
