"""The exact motion with a frozen residual: against scipy, its own reversal, closed forms over a million e-folds."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.motion.flow.coordinates import directions, enter, leave, log_norms
from gfflow.motion.frozen_residual import move
from gfflow.motion.gates import SLIDING
from gfflow.motion.state import new_room


def entered(x, w, a):
    """The problem and the state of neurons w (m, d), a (m,) on inputs x (n, d), and room to move them."""
    data = TrainingSet(torch.as_tensor(x, dtype=torch.float64), torch.ones(len(x)))
    neurons = Neurons(torch.as_tensor(w, dtype=torch.float64), torch.as_tensor(a, dtype=torch.float64))
    problem, state = enter(data, neurons)
    return problem, state, new_room(problem.gates, len(state.a))


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("d", [2, 3, 9])
@pytest.mark.parametrize("balanced", [True, False])
def test_motion_is_exact(n, d, balanced):
    """Against scipy on w' = a D(w), a' = <D(w), w> with r frozen, through every gate change without sliding."""
    compared = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, r, w = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
        a = rng.choice([-1.0, 1.0]) * (np.linalg.norm(w) if balanced else 0.5)
        problem, state, room = entered(x, w[None], [a])
        move(problem.gates, state, 1.5, r, problem.start, 0.0, room)
        assert room.counts[2] == 0
        if room.counts[1] or (state.gate >= SLIDING).any():
            continue

        def velocity(_, q, x=x, c=r / n):
            drive = (c * (x @ q[:-1] > 0)) @ x
            return np.append(q[-1] * drive, drive @ q[:-1])

        q = solve_ivp(velocity, (0, 1.5), np.append(w, a), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        end = leave(problem, state)
        # scipy steps over the kinks within its tolerance
        np.testing.assert_allclose(end.w[0], q[:-1], atol=1e-7 * np.abs(q).max() * n)
        assert float(end.a[0]) == pytest.approx(q[-1], abs=1e-7 * np.abs(q).max())
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("time", [1.0, 30.0, 1000.0])
def test_a_line_is_gone_to_and_fro(time, balanced):
    """One sample is open and its residual changes its sign: the neuron comes back by the way it went, from a size by
    e^1000 larger too, since the flow of -r is that of r backwards; only gates that were left open once stay so."""
    x = np.array([[1.0, 0.5, -0.3], [-1.0, 0.2, 0.4]])
    w = np.array([[0.7, 0.4, 0.2]])
    a = [np.linalg.norm(w) if balanced else 0.3]
    problem, state, room = entered(x, w, a)
    before = state.copy()
    r = np.array([2 / np.linalg.norm(x[0]), 0.0])  # ||D|| = 1
    move(problem.gates, state, time, r, problem.start, 0.0, room)
    assert float(log_norms(state)[0] - log_norms(before)[0]) == pytest.approx(time, abs=2)
    move(problem.gates, state, time, -r, problem.start, 0.0, room)
    # log-norms of size `time` are rounded
    np.testing.assert_allclose(log_norms(state), log_norms(before), atol=1e-14 * (1 + time))
    np.testing.assert_allclose(directions(problem, state), directions(problem, before), atol=1e-13 * (1 + time))
    assert (state.gate == before.gate).all()


@pytest.mark.parametrize("d", [2, 3, 5])
def test_a_pinned_neuron_shrinks_for_ever_in_one_direction(d):
    """On d - 1 gates that push back from both sides, against the field: e^{-Nt} for a million e-folds, then back."""
    axes = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
    ray, sides = axes[0], axes[1:]
    x = np.concatenate([sides, [ray - 0.3 * sides.sum(axis=0)]])
    r = -float(d) * np.ones(
        d
    )  # c = -1: the last sample shrinks the neuron and pushes the sides on, where they push back
    start = ray[None] + 1e-3 * sides.sum(axis=0)
    problem, state, room = entered(x, start, [np.linalg.norm(start)])
    move(problem.gates, state, 40.0, r, problem.start, 0.0, room)
    pinned, before = directions(problem, state), log_norms(state)[0]
    if (state.gate == SLIDING).sum() != d - 1:
        pytest.fail("the neuron is not pinned")
    np.testing.assert_allclose(pinned[0] @ sides.T, 0, atol=1e-15)
    for time in (1e3, 1e6):
        move(problem.gates, state, time, r, problem.start, 0.0, room)
    # the field along the ray is -c <x, ray> = -1
    assert log_norms(state)[0] - before == pytest.approx(-1.001e6, rel=1e-12)
    np.testing.assert_allclose(directions(problem, state), pinned, atol=1e-15)  # put back to length one
    assert float(leave(problem, state).w.abs().max()) == 0.0


def test_what_was_outside_the_span_stays():
    x, w = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0]]), np.array([[0.6, -0.2, 0.3], [-0.1, 0.5, 1e-5]])
    problem, state, room = entered(x, w, np.linalg.norm(w, axis=1) * [1, -1])
    move(problem.gates, state, 3.0, np.array([1.0, -2.0]), problem.start, 0.0, room)
    np.testing.assert_allclose(leave(problem, state).w[:, 2], w[:, 2], rtol=1e-13)


@pytest.mark.parametrize("scale", [1.0, 1e-300])
def test_unbalanced_neurons_conserve_their_imbalance(scale):
    rng = np.random.default_rng(0)
    x, r = rng.normal(size=(4, 3)), rng.normal(size=4)
    w, a = rng.normal(size=(50, 3)), rng.normal(size=50)
    problem, state, room = entered(x, scale * w, scale * a)
    imbalance = a**2 - (w**2).sum(axis=1)
    for time in (1.0, 3.0, 4.0):
        move(problem.gates, state, time, r, problem.start, 0.0, room)
        size = np.exp(state.rho - np.log(scale))
        squares = size**2 * np.maximum(state.a**2, (state.v**2).sum(axis=1))
        drift = size**2 * (state.a**2 - (state.v**2).sum(axis=1)) - imbalance
        assert (np.abs(drift) <= 1e-12 * (1 + squares)).all()  # rounding of logarithms near 700
