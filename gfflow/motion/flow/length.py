"""How long steps are: from the error of one to the length of the next."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled

SHORTEST = 1e-13  # a step shorter than this part of the time reached no longer moves it reliably
WARY = 0.9  # of a step that has failed: how long the next ones may be, each FORGET times as long as the one before
FORGET = 1.25
SAFETY = 0.9


@compiled
def too_short(h, time):  # type: ignore[no-untyped-def]
    """Whether a step of length h no longer moves the time."""
    return h < SHORTEST * max(time, h) or not h > 0.0


@compiled
def next_length(h, longest, error, order):  # type: ignore[no-untyped-def]
    """(length of the next step, how long it may be, soon after one has failed), when a step of length h has had this
    error over the tolerance, proportional to h^order."""
    factor = 0.2
    if np.isfinite(error):
        factor = min(10.0, max(0.2, SAFETY * error ** (-1.0 / order))) if error > 0.0 else 10.0
    if error > 1.0:
        longest = WARY * h
    h = min(longest, h * factor)
    return h, (longest * FORGET if error <= 1.0 else longest)
