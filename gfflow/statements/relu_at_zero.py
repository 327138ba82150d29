"""Proposition 2 (Appendix D): a gradient flow exists for all time only with relu'(0) = 0."""

from __future__ import annotations

from dataclasses import replace

import torch

from gfflow.model.activations import Activation
from gfflow.model.data import orthogonal_pair
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import SGD
from gfflow.statements.base import Finding, statement
from gfflow.statements.case import Case

CHOICES = (0.0, 0.25, 0.5, 1.0)
DURATION = 0.1  # flow time: the neuron and the residual hardly change in it
AGREE = 1e-9  # relative: rounding


@statement("Proposition 2", "relu'(0) = 0 in this run", epsilon=False)
def own_derivative(case: Case) -> Finding:
    return Finding(case.relu_derivative_at_zero, "<=", 0.0)


@statement(
    "Proposition 2",
    "of relu'(0) = 0, 0.25, 0.5, 1 only 0 has a flow at a gate (largest that has)",
    epsilon=False,
)
def only_zero(case: Case) -> Finding:
    """A run of its own: see `missing_speed`. A flow through the gate exists where no speed is missing."""
    missing = {c: missing_speed(c) for c in CHOICES}
    agreeing = [c for c, speed in missing.items() if speed <= AGREE]
    note = "speed missing: " + ", ".join(f"{speed:.3g}" for speed in missing.values())
    return Finding(max(agreeing, default=float("inf")), "<=", 0.0, note=note)


def missing_speed(c: float) -> float:
    """How much of the speed that Eq. 39 asks for at a gate no curve can have, in units of |y_k| a ||x_k||^2 / n.

    On Figure 2's samples a neuron (a > 0) starts exactly on the gate of the negative sample. Eq. 39 asks for
    d<w, x_k>/dt = c y_k a ||x_k||^2 / n, seen in a single step, but once <w, x_k> is negative it no longer moves.
    Descent leaves the gate by one step and stops; its mean speed is extrapolated to steps of size zero.
    """
    data = orthogonal_pair()
    w = data.x[1:2] / 32  # a power of two: <w, x_0> = 0 exactly
    start = Neurons(w, w.norm(dim=1))
    unit = abs(float(data.y[0])) * float(start.a[0]) * float(data.norms[0]) ** 2 / data.n
    asked = _mean_speed(start, c, DURATION / 20, 1)
    coarse, fine = (_mean_speed(start, c, DURATION, steps) for steps in (10, 20))
    return abs(asked - (2 * fine - coarse)) / unit  # linear in the step size


def _mean_speed(start: Neurons, c: float, duration: float, steps: int) -> float:
    """-<w, x_k> at the end over the duration, by descent with relu'(0) = c."""
    data = orthogonal_pair()
    network = TwoLayerReLU(replace(start, activation=Activation(at_zero=c)))
    with torch.enable_grad():
        SGD(duration / steps).advance(network, data, 0, steps)
    return -float(network.neurons().w[0] @ data.x[0]) / duration
