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
    return float(first_moments(lambda times: holds(times[0])[None], np.array([low]), np.array([high]))[0])


def first_moments(holds: Callable[[Array], NDArray[np.bool_]], low: Array, high: Array) -> Array:
    """`first_moment` of several conditions, each in an interval of its own, low and high (E,): shape (E,); `holds`
    takes moments (E, T), increasing along T, and answers of condition i in row i."""
    rows = np.arange(len(low))
    for _ in range(ROUNDS):
        if bool((np.nextafter(low, high) >= high).all()):
            break  # nothing lies between
        inner = low[:, None] + (high - low)[:, None] * np.arange(1, PARTS) / PARTS
        found = np.column_stack([holds(inner), np.ones(len(low), dtype=np.bool_)]).argmax(axis=1)
        ends = np.column_stack([low, inner, high])
        low, high = ends[rows, found], ends[rows, found + 1]
    return high
