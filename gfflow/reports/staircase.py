"""When the loss jumps, at ever smaller lambda, on the lines of the limit lambda -> 0."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gfflow.errors import InvalidInput, Unresolved
from gfflow.figures.style import BY_SIGN, FAINT, INK, new_figure, quantity, styled
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run
from gfflow.reports.jobs import Job, Sweep, Value
from gfflow.reports.labels import group_label
from gfflow.theory.staircase import Staircase, staircase

Array = NDArray[np.float64]
SCALE = "init.scale"
SMALL, FEW = 1e-3, 3  # at least so many scales below SMALL
LARGEST = 20_000  # m times n, up to which the limit is computed for a figure
MOST, COLUMNS = 6, 3  # panels
COLORS = [color for pair in zip(BY_SIGN[1].family, BY_SIGN[-1].family, strict=True) for color in pair]
MARKERS = ("o", "s", "^", "D", "v", "P")
TICKS = (4, 8, 20)  # powers of ten


@dataclass(frozen=True, eq=False)
class Measured:
    """One start on one training set: its limit, and when the flow jumped at each lambda."""

    name: str
    limit: Staircase
    ell: Array  # (S,), ln(1/lambda), increasing
    times: Array  # (S, K), flow times; NaN where the loss never fell so far


def measured(sweep: Sweep) -> list[Measured]:
    """Of each start that was trained by the flow at some small scales; those whose limit is not determined, or too
    large to be computed here, are left out."""
    if SCALE not in sweep.keys:
        return []
    others = [key for key in [*sweep.keys, "seed"] if key != SCALE]
    sets: dict[tuple[Value, ...], list[Job]] = {}
    for job in sweep.finished:
        scale = job.number("theory.lambda")
        integrated = "solver.evaluations" in job.summary  # not descended: steps are the flow's own
        if integrated and scale is not None and scale < SMALL:
            sets.setdefault(tuple(job.overrides.get(key) for key in others), []).append(job)
    found = []
    for values, jobs in sets.items():
        jobs.sort(key=lambda job: -(job.number("theory.lambda") or 0.0))
        limit = _limit(jobs[0]) if len(jobs) >= FEW else None
        if limit is not None and limit.jumps:
            shown = {key: value for key, value in zip(others, values, strict=True) if value is not None}
            ell = -np.log([job.number("theory.lambda") for job in jobs])  # type: ignore[arg-type]
            times = np.array([_times(job.run, limit) for job in jobs if job.run is not None])
            found.append(Measured(_name(shown), limit, ell, times))
    return found


def _name(values: dict[str, Value]) -> str:
    data, rest = values.pop("data", None), {key.removeprefix("data."): value for key, value in values.items()}
    words = [] if data is None else [str(data).replace("_", " ")]
    return ", ".join([*words, *([group_label(rest, named=True)] if rest else [])])


def _limit(job: Job) -> Staircase | None:
    frames, scale = job.run.trajectory if job.run is not None else None, job.number("theory.lambda")
    if frames is None or scale is None or frames.a.shape[1] * len(frames.y) > LARGEST:
        return None
    data = training_set(frames)
    first = snapshot(frames, data, 0).neurons
    try:
        return staircase(data, replace(first, w=first.w / scale, a=first.a / scale))
    except (InvalidInput, Unresolved):
        return None


def _times(run: Run | None, limit: Staircase) -> list[float]:
    """When the loss first falls below the middle between two critical points, by the cubic through two measurements
    and their slopes: dL/dt = -||grad L||^2 along the flow."""
    assert run is not None
    loss, time, gradient = (run.metrics[name] for name in ("loss", "time", "gradient/norm"))
    times = []
    for high, low in pairwise(limit.losses):
        after = int(np.argmax(loss < (high + low) / 2))
        times.append(np.nan if after == 0 else _crossing(time, loss, -(gradient**2), after, (high + low) / 2))
    return times


def _crossing(time: Array, loss: Array, slope: Array, after: int, level: float) -> float:
    h = time[after] - time[after - 1]
    (f0, f1), (g0, g1) = loss[after - 1 : after + 1] - level, slope[after - 1 : after + 1] * h
    low, high = 0.0, 1.0
    for _ in range(50):
        q = (low + high) / 2
        value = f0 + q * (g0 + q * (3 * (f1 - f0) - 2 * g0 - g1 + q * (2 * (f0 - f1) + g0 + g1)))
        low, high = (low, q) if value < 0 else (q, high)
    return float(time[after - 1] + high * h)


@styled
def staircases(sweep: Sweep) -> Figure | None:
    """T_k / ln(1/lambda) against 1 / ln(1/lambda), a panel for each start: measured points, and the lines
    A_k + B_k / ln(1/lambda) of the limit, which meet the left edge, lambda = 0, at A_k. None where no start was
    trained by the flow at three small scales."""
    found = measured(sweep)
    if not found:
        return None
    shown = found[:MOST]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(0.5 + 2.3 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, each in zip(panels, shown, strict=False):
        _draw(axes, each)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel(r"$T_k\,/\,\ln(1/\lambda)$")
    part = f"; {len(shown)} of {len(found)} starts shown" if len(found) > len(shown) else ""
    text = r"points: the flow;  lines: $A_k+B_k/\ln(1/\lambda)$, computed without any $\lambda$"
    figure.supxlabel(text + part, fontsize=8, style="italic", color=INK)
    return figure


def _draw(axes: Axes, each: Measured) -> None:
    inverse = 1 / each.ell
    right = 1.06 * inverse.max()
    for k, jump in enumerate(each.limit.jumps):
        color, marker = COLORS[k % len(COLORS)], MARKERS[k % len(MARKERS)]
        axes.plot([0, right], [jump.A, jump.A + jump.B * right], color=color, linewidth=0.9)
        axes.plot(
            inverse, each.times[:, k] / each.ell, marker, color=color, markersize=3.8, markerfacecolor="white",
            clip_on=False, zorder=3, label=f"$A_{k + 1}=$ {jump.A:.5g}",
        )  # fmt: skip
    axes.set_xlim(0, right)
    values = np.concatenate([(each.times / each.ell[:, None]).ravel(), each.limit.A])
    low, high = np.nanmin(values), np.nanmax(values)
    axes.set_ylim(max(0.0, low - 0.1 * (high - low)), high + 0.45 * (high - low))
    decades = [d for d in TICKS if 1 / (d * np.log(10)) <= right]
    axes.set_xticks([0, *(1 / (d * np.log(10)) for d in decades)], ["0", *(f"$10^{{-{d}}}$" for d in decades)])
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    axes.set_title(each.name, loc="left", fontsize=8)
    axes.set_xlabel(r"$\lambda$")
    axes.legend(
        loc="upper right", handlelength=0.8, labelspacing=0.2, fontsize=7, ncols=1 + (len(each.limit.jumps) > 2)
    )
    end = "labels fitted" if each.limit.fits else f"ends at loss {quantity(each.limit.losses[-1])}"
    axes.set_title(end, loc="right", fontsize=7, color=INK)
