"""Mean and band over seeds of any scalar, against the iteration or the rescaled time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfflow.records.run import Run

Array = NDArray[np.float64]
Clock = Callable[[Run], float | None]  # what one iteration is on the horizontal axis; None: not defined for the run
QUANTILES = (0.1, 0.9)  # the band: never below zero for a positive scalar, unlike mean and standard deviation
GRID = 1000  # points at most: about as many as a figure has pixels across


@dataclass(frozen=True, eq=False)
class Band:
    """Mean over runs, and the band from the 10% to the 90% quantile (of an ensemble's members, from 5% to 95%), on a
    common grid; each of shape (K,)."""

    x: Array
    mean: Array
    low: Array
    high: Array
    count: int  # runs, or members of one ensemble, that it is taken over
    edges: str = "10-90%"


def iterations(run: Run) -> float | None:
    """The clock of iterations."""
    return 1.0


def rescaled_time(run: Run) -> float | None:
    """The clock t / (-ln lambda), the theory's own: for small lambda the sign with direction D is fitted at 1/||D||.
    None where the run has no lambda below 1."""
    scale = run.section("theory").get("lambda")
    step_size = run.step_size
    return step_size / -np.log(scale) if scale is not None and 0 < scale < 1 and step_size is not None else None


def band(runs: Sequence[Run], scalar: str, clock: Clock = iterations, points: int = GRID) -> Band | None:
    """Mean and band of the scalar over those runs that have it, or over the members of the one run where that is an
    ensemble; None where none has.

    The runs measure at iterations of their own (the predicted event times differ from seed to seed). The grid is
    the union of all of theirs, and each run is interpolated linearly between its measurements; nothing is
    extrapolated: the grid begins where the last of the runs begins and ends where the first of them ends, so that
    every point is taken over all `count` runs. A run that ended because it had become stationary is the exception:
    its value no longer changes, and is continued. Of a grid of more than `points` evenly chosen ones stay, the
    ends among them.
    """
    if len(runs) == 1 and f"{scalar}/mean" in runs[0].metrics:
        return _of_members(runs[0], scalar, clock)
    curves = []
    for run in runs:
        unit = clock(run)
        step, values = run.column(scalar)
        if unit is not None and len(step):
            curves.append((unit * step, values, (run.summary or {}).get("stop_reason") == "stationary"))
    if not curves:
        return None
    ends = [x[-1] for x, _, stationary in curves if not stationary] or [max(x[-1] for x, _, _ in curves)]
    start, stop = max(x[0] for x, _, _ in curves), min(ends)
    grid = np.unique(np.concatenate([x for x, _, _ in curves]))
    grid = grid[(grid >= start) & (grid <= stop)]
    if not len(grid):
        return None
    if len(grid) > points:
        grid = grid[np.unique(np.linspace(0, len(grid) - 1, points).round().astype(int))]
    values = np.stack([np.interp(grid, x, y) for x, y, _ in curves])
    low, high = np.quantile(values, QUANTILES, axis=0)
    return Band(grid, values.mean(axis=0), low, high, len(curves))


def _of_members(run: Run, scalar: str, clock: Clock) -> Band | None:
    """The band that an ensemble has recorded of its members."""
    unit = clock(run)
    (step, mean), low, high = (run.column(f"{scalar}/{part}") for part in ("mean", "p05", "p95"))
    size = int(run.section("ensemble").get("size", 1))
    return None if unit is None else Band(unit * step, mean, low[1], high[1], size, "5-95%")
