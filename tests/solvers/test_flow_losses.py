"""The flow of the logistic and the exponential loss and of the leaky ReLU: against autograd, against descent, and for
times that no descent reaches."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gfflow.errors import Stalled
from gfflow.measures.margin import margins, max_margin_vector, normalized_margin
from gfflow.model.activations import RELU, Activation, leaky_relu
from gfflow.model.data import TrainingSet
from gfflow.model.examples import orthogonally_separable
from gfflow.model.initialization import draw_start
from gfflow.model.losses import EXPONENTIAL, LOGISTIC, SQUARE, Loss
from gfflow.model.network import TwoLayerReLU
from gfflow.model.snapshot import Snapshot
from gfflow.motion.flow.coordinates import enter, merged
from gfflow.motion.flow.splitting import Splitting
from gfflow.motion.flow.step import relax
from gfflow.motion.flow.trajectory import Trajectory
from gfflow.solvers import Fused

LOSSES = [SQUARE, LOGISTIC, EXPONENTIAL]
ACTIVATIONS = [RELU, leaky_relu(0.3)]


def problem(loss: Loss, activation: Activation, scale: float = 0.3):
    """Six samples in R^3, two of them parallel, and ten neurons."""
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x[5] = 2 * x[0]
    data = TrainingSet(x, torch.tensor([1.0, 1, -1, 1, -1, 1], dtype=torch.float64), loss)
    return data, replace(draw_start(10, 3, scale, 1), activation=activation)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=["relu", "leaky"])
def test_residuals_their_slopes_and_their_relaxation_are_those_of_autograd(
    loss: Loss, activation: Activation
) -> None:
    data, start = problem(loss, activation)
    data = merged(data)  # with the square loss the parallel samples are one
    flow = Splitting(*enter(data, start), 0.0, 1e-6)

    def residual(w, a):
        h = torch.nn.functional.leaky_relu(data.x @ w.T, activation.slope) @ a
        (slope,) = torch.autograd.grad(loss.value(h, data.y).sum(), h, create_graph=True)
        return -slope

    w, a = start.w.clone().requires_grad_(), start.a.clone().requires_grad_()
    h = torch.nn.functional.leaky_relu(data.x @ w.T, activation.slope) @ a
    gradient = torch.autograd.grad(loss.value(h, data.y).mean(), (w, a))
    r, dr = torch.autograd.functional.jvp(residual, (start.w, start.a), tuple(-part for part in gradient))
    share = len(flow.residual) / data.n  # twice as many inputs pull at a leaky neuron, each with half the weight
    found, slope = (torch.from_numpy(part[: data.n]) / share for part in flow.machine.step.start[:2])
    assert (found - r).abs().max() < 1e-13 * r.abs().max()
    assert (slope - dr).abs().max() < 1e-12 * dr.abs().max()
    relax(flow.machine, flow.state, 1.0, 1e-6)
    relaxed = -flow.machine.step.decay @ flow.residual
    # K is assembled in single precision, 6e-8 a sum: it steers the steps, and what they come to is corrected
    assert np.abs(relaxed - flow.machine.step.start[1]).max() < 2e-6 * np.abs(relaxed).max()


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        (LOGISTIC, RELU),
        (EXPONENTIAL, leaky_relu(0.3)),
        pytest.param(LOGISTIC, leaky_relu(0.3), marks=pytest.mark.slow),
        pytest.param(EXPONENTIAL, RELU, marks=pytest.mark.slow),
        pytest.param(SQUARE, leaky_relu(0.3), marks=pytest.mark.slow),
    ],
)
def test_descent_tends_to_the_flow_to_first_order(loss: Loss, activation: Activation) -> None:
    data, start = problem(loss, activation)
    end, distances = 0.5, []  # before neurons slide along a gate, where descent's chatter has no order
    flow = Trajectory(data, start, 1e-9)
    flow.reach(end)
    for lr in (4e-3, 2e-3, 1e-3, 5e-4):
        network = TwoLayerReLU(start)
        Fused(lr).advance(network, data, 0, round(end / lr))
        distances.append(network.neurons().distance(flow.neurons(flow.at(end))))
    assert distances[-1] < 1e-3
    # where a gate lies within the step that crosses it changes the factor of each distance by some 10%
    assert np.log2(distances[0] / distances[-1]) / 3 == pytest.approx(1, abs=0.15)


def test_two_methods_agree_through_gates_and_sliding() -> None:
    data, start = problem(LOGISTIC, leaky_relu(0.3))
    ends = []
    for method in ("splitting", "runge_kutta"):
        flow = Trajectory(data, start, 1e-8, method)
        flow.reach(8.0)
        assert flow.integrator.counters["sliding_episodes"] > 0
        ends.append(flow.neurons(flow.at(8.0)))
    assert ends[0].distance(ends[1]) < 1e-6  # second order at gates, to the tolerance


@pytest.mark.slow
def test_orthogonally_separable_data_tends_to_the_max_margin_directions_like_one_over_ln_t() -> None:
    """Phuong and Lampert's limit, on other data than the experiment's, up to t = 1e100."""
    data = replace(orthogonally_separable(8, 3, seed=11), loss=LOGISTIC)
    start = draw_start(20, 3, 1e-6 / math.sqrt(20), 0)
    vectors = {sign: max_margin_vector(data, sign) for sign in (1, -1)}
    best = 1 / (2 * sum(float(vector.norm()) for vector in vectors.values()))
    flow, exponents, apart, gaps = Trajectory(data, start), (25, 50, 100), {1: [], -1: []}, []
    for exponent in exponents:
        flow.reach(10.0**exponent)
        neurons = flow.neurons(flow.at(10.0**exponent))
        snapshot = Snapshot(neurons, data)
        assert bool((margins(snapshot) > 0).all())
        gaps.append(1 - normalized_margin(snapshot) / best)
        heavy = neurons.norms > 0.1 * neurons.norms.max()
        for sign, vector in vectors.items():
            mine = heavy & (neurons.signs == sign)
            apart[sign].append(1 - float((neurons.directions[mine] @ (vector / vector.norm())).min()))
    times = math.log(10) * np.array(exponents)
    assert 0 < gaps[-1] < 0.01
    for values in (gaps, *apart.values()):
        powers = np.diff(np.log(values)) / np.diff(np.log(times))
        assert np.all(powers < -0.8), powers  # like 1/ln t, or, in directions that supporting samples span, faster


def test_where_residuals_fade_the_flow_says_so() -> None:
    data = replace(orthogonally_separable(4, 2, seed=1), loss=EXPONENTIAL)
    flow = Trajectory(data, draw_start(4, 2, 0.1, 0))
    with pytest.raises(Stalled, match=r"residuals have fallen below 1e-140.*solver.stop_loss"):
        flow.reach(1e200)
