"""Plateaus of the loss: where a run stays near a saddle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plateau:
    """A stretch of iterations along which the loss hardly moves."""

    start: float
    stop: float
    loss: float  # in its middle


def plateaus(
    step: NDArray[np.float64],
    loss: NDArray[np.float64],
    change: float = 0.05,
    least: float = 0.02,
    zero: float = 1e-3,
    flatter: float = 2.0,
) -> list[Plateau]:
    """The stretches along which the loss changes by at most a relative `change`, the longest taken first.

    A stretch counts if
    - it lasts at least the fraction `least` of the run;
    - it does not touch a longer one, whose beginning or end it then is;
    - ln(loss) changes at least `flatter` times as much in an equally long time before it (unless the run begins
      with it) and after it (unless the run ends with it): a steady fall has no plateau;
    - its loss is above `zero` times the largest: below that the run has fitted its labels and is at no saddle.

    step and loss have the same shape (T,), step increasing; the stretches returned are disjoint and in order.
    """
    free = loss > zero * loss.max(initial=0.0)
    taken = np.zeros(len(step) + 2, dtype=bool)  # one cell more at each end, so that neighbours always exist
    found: list[Plateau] = []
    while True:
        i, j = _longest(step, loss, free, change)
        if j <= i or step[j] - step[i] < least * step[-1]:
            return sorted(found, key=lambda plateau: plateau.start)
        if not (taken[i] or taken[j + 2]) and _flat(step, loss, i, j, flatter):
            middle = float(np.interp((step[i] + step[j]) / 2, step, loss))
            found.append(Plateau(float(step[i]), float(step[j]), middle))
        free[i : j + 1] = False
        taken[i + 1 : j + 2] = True


def _longest(
    step: NDArray[np.float64], loss: NDArray[np.float64], free: NDArray[np.bool_], change: float
) -> tuple[int, int]:
    """The longest stretch [i, j] of free measurements with max <= (1 + change) min, by two pointers."""
    best, start = (0, 0), 0
    for stop in range(len(step)):
        if not free[stop]:
            start = stop + 1
            continue
        while loss[start : stop + 1].max() > (1 + change) * loss[start : stop + 1].min():
            start += 1
        if step[stop] - step[start] > step[best[1]] - step[best[0]]:
            best = start, stop
    return best


def _flat(step: NDArray[np.float64], loss: NDArray[np.float64], i: int, j: int, flatter: float) -> bool:
    """Whether ln(loss) changes `flatter` times as much before and after the stretch [i, j] as along it."""
    logs = np.log(np.maximum(loss, np.finfo(np.float64).tiny))
    duration, along = step[j] - step[i], np.ptp(logs[i : j + 1])
    before, after = np.interp([step[i] - duration, step[j] + duration], step, logs)
    return bool(
        (i == 0 or abs(before - logs[i]) >= flatter * along)
        and (j == len(step) - 1 or abs(after - logs[j]) >= flatter * along)
    )
