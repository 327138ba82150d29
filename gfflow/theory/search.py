"""The first moment at which something holds, to the last bits: by dividing an interval into many parts at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PARTS = 64
ROUNDS = 10  # 64^10 = 2^60 parts in all


def first_moment(holds: Callable[[Array], NDArray[np.bool_]], low: float, high: float) -> float:
    """A moment in (low, high] at which it begins to hold, where it does not hold at `low` and does at `high`; `holds`
    takes increasing moments (T,)."""
    for _ in range(ROUNDS):
        inner = low + (high - low) * np.arange(1, PARTS) / PARTS
        found = np.flatnonzero(holds(inner))
        first = int(found[0]) if len(found) else len(inner)
        ends = [low, *inner.tolist(), high]
        low, high = ends[first], ends[first + 1]
    return high
