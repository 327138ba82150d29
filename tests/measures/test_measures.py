"""Masses, cosines, invariants and events on cases that can be counted by hand or known in closed form."""

import math

import numpy as np
import pytest
import torch

from gfflow.measures import (
    Snapshot,
    balance,
    balance_drift,
    cosines_with,
    crossing,
    largest_norm,
    mass,
    mass_crossing,
    own_cosines,
    reactivations,
)
from gfflow.model.data import TrainingSet, five_points, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.model.neurons import Neurons


def neurons(w: list[list[float]], a: list[float]) -> Neurons:
    return Neurons(torch.tensor(w, dtype=torch.float64), torch.tensor(a, dtype=torch.float64))


def test_mass_and_largest_norm_count_the_members_alone() -> None:
    three = neurons([[3.0, 4.0], [5.0, 12.0], [8.0, 15.0]], [1.0, 1.0, 1.0])
    members = torch.tensor([True, True, False])
    assert mass(three, members) == 25 + 169
    assert mass(three, torch.zeros(3, dtype=torch.bool)) == 0
    assert largest_norm(three, members) == 13


@pytest.mark.parametrize("size", [1.0, 1e-300])
def test_cosines_are_of_angles_whatever_the_sizes(size: float) -> None:
    angles = [0.0, 0.3, math.pi / 2, 3.0]
    w = [[size * math.cos(t), size * math.sin(t)] for t in angles] + [[0.0, 0.0]]
    cosines = cosines_with(neurons(w, [1.0] * 5), torch.tensor([7.0, 0.0], dtype=torch.float64))
    assert cosines.tolist() == pytest.approx([*(math.cos(t) for t in angles), 0.0], abs=1e-15)


def test_own_cosine_is_with_the_direction_in_which_the_neuron_turns() -> None:
    """A neuron is drawn to s_j D_j: after a tiny step of the flow its own cosine has not fallen."""
    data, start = five_points(), draw_start(30, 2, 1e-3, seed=0)
    snapshot = Snapshot(start, data)
    cosines = own_cosines(snapshot)
    moving = [j for j in range(30) if any(start.w[j] @ x > 0 for x in data.x)]
    assert len(cosines) == len(moving)
    for cosine, j in zip(cosines.tolist(), moving, strict=True):
        w, a = start.w[j], float(start.a[j])
        field = sum((r * x / 5 for r, x in zip(snapshot.residuals, data.x, strict=True) if w @ x > 0), torch.zeros(2))
        turned = w + 1e-6 * a * field  # Eq. 3
        expected = math.copysign(1, a) * float(w @ field / w.norm() / field.norm())
        assert cosine == pytest.approx(expected, abs=1e-13)
        assert math.copysign(1, a) * float(turned @ field / turned.norm() / field.norm()) >= expected - 1e-15


def test_own_cosines_leave_out_dead_neurons_and_fitted_labels() -> None:
    data = orthonormal([1.0, -1.0])
    fitted = neurons([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
    assert own_cosines(Snapshot(fitted, data)).numel() == 0
    one_dead = neurons([[0.1, 0.1], [-1.0, -1.0]], [0.1, 1.0])
    assert own_cosines(Snapshot(one_dead, data)).shape == (1,)


@pytest.mark.parametrize("size", [1.0, 1e-150])
def test_balance_is_the_difference_of_squares(size: float) -> None:
    two = neurons([[3 * size, 4 * size], [1 * size, 0.0]], [5 * size, -2 * size])
    assert (balance(two) / size**2).tolist() == pytest.approx([0.0, 3.0], abs=1e-14)


def test_balance_drift_is_the_largest_change() -> None:
    start = neurons([[3.0, 4.0], [1.0, 0.0]], [5.0, -2.0])  # balances 0 and 3
    later = neurons([[3.0, 4.0], [2.0, 0.0]], [4.0, -2.0])  # balances -9 and 0
    assert balance_drift(later, start) == 9
    assert balance_drift(start, start) == 0


def test_balance_of_a_balanced_start_is_rounding() -> None:
    start = draw_start(100, 3, 1.0, seed=0)
    assert float((balance(start).abs() / start.norms**2).max()) < 1e-15  # two norms, each good to some 1e-16


def test_reactivations_count_gates_that_come_on_again() -> None:
    before = torch.tensor([[True, True], [False, False]])
    now = torch.tensor([[True, False], [True, False]])
    assert reactivations(before, now) == 1
    assert reactivations(now, now) == 0


def test_crossing_of_a_straight_line_is_exact() -> None:
    step = np.array([0.0, 1.0, 4.0, 10.0])
    assert crossing(step, 2 * step + 1, 6.0) == pytest.approx(2.5, rel=1e-15)
    assert crossing(step, 2 * step + 1, 9.0) == 4.0
    assert crossing(step, 2 * step + 1, 0.5) == 0.0  # already there at the start
    assert crossing(step, 2 * step + 1, 21.5) is None


def test_crossing_is_the_first_and_skips_what_was_not_measured() -> None:
    step = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    values = np.array([np.nan, 0.0, np.nan, 2.0, 0.0, 2.0])
    assert crossing(step, values, 1.0) == 2.0  # between steps 1 and 3
    assert crossing(step, np.full(6, np.nan), 1.0) is None


@pytest.mark.parametrize("gap", [7.0, 50.0, 333.0])
@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("limit", [0.4472, 3.0])
def test_crossing_of_a_coarsely_sampled_logistic(gap: float, fraction: float, limit: float) -> None:
    middle, width = 812.34, 40.0
    step = np.arange(0, 2001, gap)
    measured = limit / (1 + np.exp(-(step - middle) / width))
    exact = middle + width * math.log(fraction / (1 - fraction))
    # with the largest gap the next sample's share is 1 - 1e-10 at worst, whose logit is rounded to 1e-6
    found = mass_crossing(step, measured, limit, fraction)
    assert found == pytest.approx(exact, rel=1e-10 if gap < 100 else 1e-6)


def test_mass_crossing_bears_zero_and_the_limit_itself() -> None:
    step = np.array([0.0, 10.0, 20.0, 30.0])
    assert mass_crossing(step, np.array([0.0, 1e-12, 0.5, 1.0]), 1.0, 0.5) == pytest.approx(20.0, rel=1e-15)
    found = mass_crossing(step, np.array([0.0, 0.0, 1.0, 1.0]), 1.0, 0.5)
    assert found is not None
    assert 10 < found <= 20
    assert mass_crossing(step, np.full(4, 0.3), 1.0, 0.5) is None
    assert mass_crossing(step, np.full(4, 2.0), 1.0, 0.5) == 0.0


def test_measuring_changes_nothing() -> None:
    data = TrainingSet(torch.eye(3), torch.tensor([1.0, -1.0, 0.5]))
    start = draw_start(10, 3, 1.0, seed=0)
    w, a, state = start.w.clone(), start.a.clone(), torch.get_rng_state()
    snapshot = Snapshot(start, data)
    own_cosines(snapshot)
    balance_drift(start, start)
    assert snapshot.gradient_norm > 0
    assert torch.equal(start.w, w)
    assert torch.equal(start.a, a)
    assert torch.equal(torch.get_rng_state(), state)
