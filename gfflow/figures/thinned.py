"""Which neurons a picture shows: of a wide network not all, and the picture says how many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWN = 1000  # more lines or stars cannot be told apart, and each costs time and room in the file


def drawn(sizes: NDArray[np.float64]) -> NDArray[np.int64]:
    """The neurons to draw, in increasing order, given a size of each, (m,): all of at most DRAWN; otherwise the
    DRAWN / 2 largest, which make the function, and as many of the others, evenly spaced in the order of the network,
    which of independent draws is a fair sample."""
    m = len(sizes)
    if m <= DRAWN:
        return np.arange(m)
    largest = np.argsort(-sizes, kind="stable")[: DRAWN // 2]
    others = np.setdiff1d(np.arange(m), largest)
    spaced = others[np.linspace(0, len(others) - 1, DRAWN - DRAWN // 2).astype(np.int64)]
    return np.sort(np.concatenate([largest, spaced]))


def how_many(m: int) -> str:
    """'; 1,000 of 20,000 neurons are drawn', or nothing where all are."""
    return "" if m <= DRAWN else f"; {DRAWN:,} of {m:,} neurons are drawn"
