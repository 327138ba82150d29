"""Proposition 2: what happens at a gate for each choice of relu'(0)."""

from dataclasses import replace

import pytest
import torch

from gfflow.model.activations import Activation
from gfflow.model.data import orthogonal_pair
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import SGD

DURATION = 0.1  # flow time: the neuron and the residual hardly change in it


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


@pytest.mark.parametrize("c", [0.0, 0.25, 0.5, 1.0])
def test_speed_missing_at_a_gate_is_the_derivative_at_zero(c: float) -> None:
    """Eq. 39 asks for c times a unit of speed, and a curve can have none: a flow through the gate exists for c = 0
    alone."""
    assert missing_speed(c) == pytest.approx(c, abs=1e-12)  # rounding, extrapolated
