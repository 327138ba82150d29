"""The losses of model/losses.py for compiled code, which knows each by its `code`: the same formulas for numbers.

Labels of the classification losses are +-1, so that y y stands for a 1 of the numbers' own precision.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.model.losses import Exponential, Logistic

LOGISTIC, EXPONENTIAL = Logistic.code, Exponential.code


@lean
def residual_at(code, h, y):  # type: ignore[no-untyped-def]
    """r = -dl/dh; it neither overflows nor is NaN for any finite margin of the logistic loss."""
    if code == LOGISTIC:
        return y / (y * y + np.exp(y * h))
    if code == EXPONENTIAL:
        return y * np.exp(-(y * h))
    return y - h


@lean
def curvature_from(code, r):  # type: ignore[no-untyped-def]
    """d^2 l/dh^2 where the residual is r: of these losses it is a function of r."""
    if code == LOGISTIC:
        return abs(r) * (1.0 - abs(r))
    return abs(r) if code == EXPONENTIAL else 1.0


@lean
def residuals_at(code, h, y, r):  # type: ignore[no-untyped-def]
    """r of all samples into r (n,)."""
    for k in range(r.size):
        r[k] = residual_at(code, h[k], y[k])
