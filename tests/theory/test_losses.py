"""The theory with other losses and the leaky ReLU: the early phase, the forecast, the max-margin problem; and what
does not carry over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.experiment import build
from gfflow.measures.margin import (
    cosine,
    gradient_cosine,
    margins,
    max_margin_vector,
    normalized_margin,
    smoothed_margin,
)
from gfflow.model.activations import leaky_relu
from gfflow.model.data import TrainingSet, orthogonal_pair
from gfflow.model.examples import orthogonally_separable, two_blobs
from gfflow.model.initialization import draw_start
from gfflow.model.losses import EXPONENTIAL, LOGISTIC, SQUARE, Loss
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.solvers import Fused
from gfflow.theory import extremal_directions, make_forecast, predict, solve_early_phase
from gfflow.theory.staircase import staircase


def labelled(n: int, d: int, seed: int) -> TrainingSet:
    """Gaussian inputs with random labels +-1: nothing separates them along one direction."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return TrainingSet(x, 1 - 2.0 * torch.randint(2, (n,), generator=generator).double())


def test_early_phase_of_the_logistic_loss_is_that_of_labels_halved() -> None:
    data = labelled(7, 3, 1)
    start = draw_start(40, 3, 1e-8, 0)
    logistic = solve_early_phase(replace(data, loss=LOGISTIC), start)
    halved = solve_early_phase(replace(data, y=data.y / 2), start)
    assert bool((logistic.index >= 0).any())
    assert torch.equal(logistic.index, halved.index)
    assert torch.allclose(logistic.directions, halved.directions, rtol=0, atol=1e-12)
    assert torch.allclose(logistic.rates, halved.rates, rtol=1e-12)


def test_early_directions_of_a_leaky_relu_are_those_that_descent_finds() -> None:
    """Independently: plain descent by torch's own leaky ReLU from a start so small that h stays 0."""
    data, slope = replace(labelled(6, 2, 4), loss=LOGISTIC), 0.2
    start = replace(draw_start(25, 2, 1e-30, 3), activation=leaky_relu(slope))
    phase = solve_early_phase(data, start)
    w, a = start.w.clone().requires_grad_(), start.a.clone().requires_grad_()
    fastest = float(phase.rates.max())
    for _ in range(2000):
        h = torch.nn.functional.leaky_relu(data.x @ w.T, slope) @ a
        gradients = torch.autograd.grad(torch.nn.functional.softplus(-data.y * h).mean(), (w, a))
        with torch.no_grad():
            w -= 0.02 / fastest * gradients[0]
            a -= 0.02 / fastest * gradients[1]
    assert float(w.detach().norm()) < 1e-8
    assigned = phase.index >= 0
    assert int(assigned.sum()) > 12
    # growth by e^40 leaves e^-40 of what they were off, but for the slowest, which have grown by e^10
    assert float(phase.cosines(Neurons(w.detach(), a.detach()))[assigned].min()) > 0.9999
    chosen = phase.directions  # each is the direction of its own field, gates weighing 1 and the slope
    weights = slope + (1 - slope) * (chosen @ data.x.T > 0).double()
    fields = (weights * data.pulls) @ data.x / data.n
    fields = phase.signs[:, None] * fields / fields.norm(dim=1, keepdim=True)
    off_gates = (chosen @ data.x.T).abs().amin(dim=1) > 1e-9  # on a gate the field is a mean of both sides'
    assert int(off_gates.sum()) >= 3
    assert torch.allclose(chosen[off_gates], fields[off_gates], rtol=0, atol=1e-9)
    listed = extremal_directions(data.x.numpy(), data.pulls.numpy(), slope)
    assert listed is not None
    for direction, sign, rate in zip(chosen.numpy(), phase.signs.tolist(), phase.rates.tolist(), strict=True):
        (same,) = [e for e in listed if e.sign == sign and np.abs(e.direction - direction).max() < 1e-9]
        assert same.stable and same.rate == pytest.approx(rate, rel=1e-9)


SETS = {
    "blobs": (two_blobs(20, 2.5, 0.5, 1), LOGISTIC, 1e-3),
    "random": (labelled(8, 3, 2), LOGISTIC, 1e-4),
    "apart": (orthogonally_separable(6, 4, 5), EXPONENTIAL, 1e-4),
}


@pytest.mark.parametrize(
    "name", ["apart", *(pytest.param(name, marks=pytest.mark.slow) for name in ("blobs", "random"))]
)
def test_forecast_and_measured_loss_agree_within_one_percent(name: str) -> None:
    data, loss, scale = SETS[name]
    data, lr, steps = replace(data, loss=loss), 0.02, 20000
    start = draw_start(20, data.d, scale, 0)
    found = make_forecast(data, start, lr * steps, lr)
    assert found.note is None and found.course is not None and found.end_kind != "at rest"
    network, solver, at = TwoLayerReLU(start), Fused(lr), 0
    for stop in (200, 500, 1000, 2000, 5000, 10000, 20000):
        solver.advance(network, data, at, stop)
        at = stop
        measured = Snapshot(network.neurons(), data).loss
        assert float(found.course.loss(lr * stop)) == pytest.approx(measured, rel=0.01)
    assert measured < 0.6 * data.loss_at_zero
    times = found.events
    assert times["leaves_zero"] is not None and 0 < times["leaves_zero"] < lr * steps


def test_what_does_not_carry_over_says_so() -> None:
    start = draw_start(10, 2, 1e-3, 0)
    with pytest.raises(InvalidInput, match="loss: received logistic; allowed: square, for the limit lambda"):
        staircase(replace(orthogonal_pair(), loss=LOGISTIC), start)
    frozen = replace(start, frozen="output")
    note = make_forecast(orthogonal_pair(), frozen, 1.0).note
    assert note is not None and note.startswith("no forecast: it knows both layers trained")
    for other in (frozen, replace(start, activation=leaky_relu(0.1))):
        prediction = predict(orthogonal_pair(), other, 1e-3)
        assert prediction.source == "none" and prediction.groups == () and prediction.min_half_norm is None
    values = {"loss": "logistic", "network": {"activation": "leaky_relu", "frozen": "hidden"}, "solver": {"lr": 0.1}}
    notes = build(values, orthogonal_pair()).notes  # the loss of the configuration counts for data that has none
    assert sum(line.startswith(("loss=logistic", "leaky ReLU", "network.frozen=hidden")) for line in notes) == 3


def test_margins_by_hand() -> None:
    x = torch.tensor([[2.0, 0.0], [0.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    data = TrainingSet(x, torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64), LOGISTIC)
    neurons = Neurons(
        torch.tensor([[1.0, 0.0], [0.0, -2.0]], dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)
    )
    snapshot = Snapshot(neurons, data)
    assert margins(snapshot).tolist() == [2.0, 4.0, 3.0]
    assert normalized_margin(snapshot) == pytest.approx(2 / 10, rel=1e-15)
    smoothed = smoothed_margin(snapshot)
    assert smoothed is not None and 0 < smoothed < 2 / 10
    assert smoothed == pytest.approx(-np.log(np.expm1(sum(np.log1p(np.exp(-np.array([2.0, 4.0, 3.0])))))) / 10)
    assert cosine(neurons, Neurons(3 * neurons.w, 3 * neurons.a)) == pytest.approx(1, abs=1e-15)
    w, a = (part.clone().requires_grad_() for part in (neurons.w, neurons.a))
    loss = torch.nn.functional.softplus(-data.y * (torch.relu(x @ w.T) @ a)).mean()
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, (w, a))])
    theta = torch.cat([w.flatten(), a]).detach()
    wanted = float(-gradient @ theta / gradient.norm() / theta.norm())
    assert gradient_cosine(snapshot) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("loss", [SQUARE, LOGISTIC])
def test_max_margin_vector_is_that_of_scipy(loss: Loss) -> None:
    from scipy.optimize import minimize

    data = replace(orthogonally_separable(10, 4, 3), loss=loss)
    for sign in (1, -1):
        x = data.x[data.y == sign].numpy()
        limits = {"type": "ineq", "fun": lambda w, x=x: x @ w - 1, "jac": lambda w, x=x: x}
        options = {"ftol": 1e-15, "maxiter": 1000}
        found = minimize(
            lambda w: w @ w, 3.0 * sign * np.ones(4), method="SLSQP", constraints=[limits], options=options
        )
        vector = max_margin_vector(data, sign)
        assert vector is not None and np.abs(vector.numpy() - found.x).max() < 1e-6
    around = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)  # zero is inside
    assert max_margin_vector(TrainingSet(around, torch.ones(3, dtype=torch.float64), loss), 1) is None


def test_the_convex_program_has_the_closed_form_of_orthogonally_separable_data() -> None:
    """The least 1/2||theta||^2 is the sum of both classes' ||w||, its network has margins of at least 1, and the dual
    bound closes the gap."""
    pytest.importorskip("clarabel")
    from gfflow.theory.minimum_norm import minimum_norm

    data = replace(orthogonally_separable(6, 3, 2), loss=LOGISTIC)
    found = minimum_norm(data)
    vectors = [max_margin_vector(data, sign) for sign in (1, -1)]
    least = sum(float(vector.norm()) for vector in vectors if vector is not None)
    assert found.exact and found.lower is not None
    assert found.upper == pytest.approx(least, rel=1e-6)  # Clarabel's tolerance on weak constraints
    assert found.lower <= found.upper * (1 + 1e-12) and found.lower > 0.999 * least
    assert found.residual < 1e-12
    leaky = minimum_norm(data, 0.5)
    assert leaky.neurons.activation.slope == 0.5 and leaky.upper < found.upper
    assert float((data.y * leaky.neurons.outputs(data.x)).min()) > 1 - 1e-9
