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

from gfflow.compiled import compiled, lean
from gfflow.model.compiled_losses import EXPONENTIAL, LOGISTIC, curvature_from, residual_at

FADED = 1e-140  # residuals of a loss without a minimum, below which their slopes, r^2 or so, have no digits


class Target(NamedTuple):
    """What the network is trained to: loss, labels, and the slope of its activation below 0."""

    plain: bool  # square loss and ReLU: r = y - H
    code: int  # of the loss
    slope: float
    y: Any  # (n,), the labels


@compiled
def faded(target, r):  # type: ignore[no-untyped-def]
    """Whether residuals r of a loss without a minimum have fallen below FADED, or are no numbers any more."""
    return not (target.plain or np.abs(r).max() > FADED)


@lean
def _joined(target, values, k):  # type: ignore[no-untyped-def]
    """The part of the sample k in what the N inputs put out."""
    n = target.y.size
    return values[k] - target.slope * values[n + k] if values.size > n else values[k]


@lean
def _shared_out(target, values, k, value):  # type: ignore[no-untyped-def]
    """Puts the value of the sample k in its place, and what is left of it on the other side."""
    n = target.y.size
    values[k] = value
    if values.size > n:
        values[n + k] = -target.slope * value


@lean
def to_residual(target, r):  # type: ignore[no-untyped-def]
    """The residuals of the N inputs in the place of minus their outputs H, in r (N,)."""
    share = r.size / target.y.size
    for k in range(target.y.size):
        _shared_out(target, r, k, share * residual_at(target.code, -_joined(target, r, k), target.y[k]))


@lean
def to_slope(target, r, dr):  # type: ignore[no-untyped-def]
    """The slopes of the residuals r (N,) in the place of minus those of the outputs H, in dr (N,)."""
    share = r.size / target.y.size
    for k in range(target.y.size):
        bend = share * curvature_from(target.code, r[k] / share)
        _shared_out(target, dr, k, bend * _joined(target, dr, k))


@lean
def to_relaxation(target, r, kernel):  # type: ignore[no-untyped-def]
    """K with dr/dt = -K r in the place of that for outputs, dH/dt = K r, in kernel (N, N)."""
    share = r.size / target.y.size
    for k in range(target.y.size):
        bend = share * curvature_from(target.code, r[k] / share)
        for o in range(r.size):
            _shared_out(target, kernel[:, o], k, bend * _joined(target, kernel[:, o], k))


@lean
def steepest(target, r):  # type: ignore[no-untyped-def]
    """The largest change of a residual for a unit change of an output."""
    largest, share = 0.0, r.size / target.y.size
    for k in range(target.y.size):
        largest = max(largest, share * curvature_from(target.code, r[k] / share))
    return largest * (1.0 + target.slope * target.slope)


def of_residuals(target: Target, r: Any) -> Any:
    """The loss of each sample (n,) whose residuals are r (N,)."""
    r = np.abs(r[: len(target.y)]) * (len(target.y) / len(r))
    if target.code == LOGISTIC:
        return -np.log1p(-np.minimum(r, 1.0))
    return r if target.code == EXPONENTIAL else r**2 / 2
