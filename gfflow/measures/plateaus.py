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
) -> list[Plateau]:
    """The stretches along which the loss stays within a relative `change`, the longest taken first.

    A stretch counts if it lasts at least the fraction `least` of the run, if it does not touch a longer one (it is
    then that one's bend), and if its loss is above `zero` times the largest: below that the run has fitted its
    labels and is at no saddle. step and loss have the same shape (T,), step increasing; the stretches returned are
    disjoint and in order.
    """
    free = loss > zero * loss.max(initial=0.0)
    taken = np.zeros(len(step) + 2, dtype=bool)  # one cell more at each end, so that neighbours always exist
    found: list[Plateau] = []
    while True:
        i, j = _longest(step, loss, free, change)
        if j <= i or step[j] - step[i] < least * step[-1]:
            return sorted(found, key=lambda plateau: plateau.start)
        if not (taken[i] or taken[j + 2]):
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
