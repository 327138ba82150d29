"""Events: the iterations at which a measured curve crosses a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def crossing(step: NDArray[np.float64], values: NDArray[np.float64], threshold: float) -> float | None:
    """The first step at which `values` reaches `threshold`, interpolated linearly; None if it never does.

    step and values have the same shape (T,), step increasing. Entries of values that are NaN are skipped.
    """
    there = np.isfinite(values)
    step, values = step[there], values[there]
    above = np.flatnonzero(values >= threshold)
    if len(above) == 0:
        return None
    i = int(above[0])
    if i == 0:
        return float(step[0])
    fraction = (threshold - values[i - 1]) / (values[i] - values[i - 1])
    return float(step[i - 1] + fraction * (step[i] - step[i - 1]))


def mass_crossing(
    step: NDArray[np.float64], mass: NDArray[np.float64], limit: float, fraction: float
) -> float | None:
    """The first step at which `mass` reaches `fraction` of `limit`, or None.

    Interpolated in the logit of mass/limit, in which a logistic curve is a straight line, so that coarse
    measurements give the crossing without bias. A mass at or above its limit counts as logit 40 (one minus 1e-17).
    """
    share = mass / limit
    with np.errstate(divide="ignore", invalid="ignore"):
        logit = np.where(share < 1, np.log(share) - np.log1p(-share), 40.0)
    return crossing(step, np.maximum(logit, -1e4), math.log(fraction / (1 - fraction)))


CLOSE = 0.01  # part of the fall of the loss between two critical levels by which one is left and the next reached


class Span(NamedTuple):
    """An event of the loss: it has made the part of its fall from one critical level to the next."""

    high: float
    low: float
    part: float

    @property
    def goal(self) -> float:
        """The loss at the event."""
        return self.high - self.part * (self.high - self.low)


def loss_events(levels: Sequence[float], ended: bool) -> dict[str, Span | None]:
    """The events of a loss that falls from one critical level to the next, each with the levels that define it.

    levels: of the network at zero, of the saddles in the order of passage, and, if `ended`, of the end point, each
    below the one before. The events are leaves_zero, saddle_1_reached, saddle_1_left, saddle_2_reached, ..., fitted;
    None: a level that it needs is not known.
    """
    saddles = max(0, len(levels) - 1 - ended)
    events: dict[str, Span | None] = {"leaves_zero": None}
    for k in range(1, saddles + 1):
        events |= {f"saddle_{k}_reached": None, f"saddle_{k}_left": None}
    events["fitted"] = None
    for k, (high, low) in enumerate(pairwise(levels)):
        events["leaves_zero" if k == 0 else f"saddle_{k}_left"] = Span(high, low, CLOSE)
        events["fitted" if k == saddles else f"saddle_{k + 1}_reached"] = Span(high, low, 1 - CLOSE)
    return events


def fall(step: NDArray[np.float64], loss: NDArray[np.float64], span: Span | None) -> float | None:
    """The first step at which the loss has made that part of its fall between the two levels, or None.

    Interpolated in the logit of the part, in which what grows or relaxes exponentially is a straight line."""
    if span is None:
        return None
    high, low, part = span
    least = min(part, 1 - part) / 100
    return mass_crossing(step, np.clip((high - loss) / (high - low), least, 1 - least), 1.0, part)
