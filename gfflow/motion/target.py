"""From what neurons put out to what pulls at them, for any loss that compiled code knows and for the leaky ReLU.

A leaky neuron phi(z) = relu(z) - c relu(-z) of slope c is a ReLU neuron on twice as many inputs, x_k and -x_k: with
the outputs H of ReLU neurons there, h_k = H_k - c H_{n+k}, and the inputs pull with r_k and -c r_k. So the motion of
neurons (motion/gates.py) is the same for it; what is here ties the residuals of the N inputs, n or 2n, together. They
are multiplied by N/n, since forces are means over the N inputs.

The square loss of ReLU networks needs none of this: r = y - H.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import lean
from gfflow.model.compiled_losses import EXPONENTIAL, LOGISTIC, residual_at


class Target(NamedTuple):
    """What the network is trained to: loss, labels, and the slope of its activation below 0."""

    plain: bool  # square loss and ReLU: r = y - H
    code: int  # of the loss
    slope: float
    y: Any  # (n,), the labels


@lean
def _curvature(code, r):  # type: ignore[no-untyped-def]
    """d^2 l/dh^2 where the residual is r: for these losses it is a function of r."""
    if code == LOGISTIC:
        return abs(r) * (1.0 - abs(r))
    return abs(r) if code == EXPONENTIAL else 1.0


@lean
def to_residual(target, r):  # type: ignore[no-untyped-def]
    """The residuals of the N inputs in the place of minus their outputs H, in r (N,)."""
    n = target.y.size
    share = r.size / n
    for k in range(n):
        h = -r[k]
        if r.size > n:
            h += target.slope * r[n + k]
        r[k] = share * residual_at(target.code, h, target.y[k])
        if r.size > n:
            r[n + k] = -target.slope * r[k]


@lean
def to_slope(target, r, dr):  # type: ignore[no-untyped-def]
    """The slopes of the residuals r (N,) in the place of minus those of the outputs H, in dr (N,)."""
    n = target.y.size
    share = r.size / n
    for k in range(n):
        rise = dr[k] - target.slope * dr[n + k] if r.size > n else dr[k]
        dr[k] = share * _curvature(target.code, r[k] / share) * rise
        if r.size > n:
            dr[n + k] = -target.slope * dr[k]


@lean
def to_relaxation(target, r, kernel):  # type: ignore[no-untyped-def]
    """K with dr/dt = -K r in the place of that for outputs, dH/dt = K r, in kernel (N, N)."""
    n = target.y.size
    share = r.size / n
    for k in range(n):
        bend = share * _curvature(target.code, r[k] / share)
        for o in range(r.size):
            row = kernel[k, o] - target.slope * kernel[n + k, o] if r.size > n else kernel[k, o]
            kernel[k, o] = bend * row
            if r.size > n:
                kernel[n + k, o] = -target.slope * kernel[k, o]


@lean
def steepest(target, r):  # type: ignore[no-untyped-def]
    """The largest change of a residual for a unit change of an output."""
    largest, share = 0.0, r.size / target.y.size
    for k in range(target.y.size):
        largest = max(largest, share * _curvature(target.code, r[k] / share))
    return largest * (1.0 + target.slope * target.slope)


def of_residuals(target: Target, r: Any) -> Any:
    """The loss of each sample (n,) whose residuals are r (N,)."""
    r = np.abs(r[: len(target.y)]) * (len(target.y) / len(r))
    if target.code == LOGISTIC:
        return -np.log1p(-np.minimum(r, 1.0))
    return r if target.code == EXPONENTIAL else r**2 / 2
