"""Events: the iterations at which a measured curve crosses a threshold."""

from __future__ import annotations

import math

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
