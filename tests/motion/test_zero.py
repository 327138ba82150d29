"""Neurons that reach w = 0 with a != 0, in the plane, against F(w) = s sum_k c_k relu(<w, x_k>) at many angles.

Next to 0 a neuron climbs F (s = sign a). So it falls into 0 along a local maximum of F on the circle that is
negative, and can leave 0 only along one that is positive.
"""

import numpy as np
import pytest
import torch

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.motion.flow.coordinates import enter, leave
from gfflow.motion.frozen_residual import move
from gfflow.motion.gates import SLIDING
from gfflow.motion.state import new_room

ANGLES = np.linspace(-np.pi, np.pi, 7200, endpoint=False)
APART = 2e-3  # of two angles: twice the distance of these
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
FACTORS = {"general": None, "twice": 1.0, "parallel": 1.7, "opposite": -0.6}
FAR = 1e-2  # heights of F nearer to 0 are left out: next to it neither angles nor times are of order one


def tops(x, r, sign):
    """Where F has its local maxima on the circle, angles and heights."""
    height = sign / len(r) * np.maximum(CIRCLE @ x.T, 0) @ r
    top = (height > np.roll(height, 1)) & (height >= np.roll(height, -1))
    return ANGLES[top], height[top]


def cases(kind: str, count: int):
    """Samples (n, 2), frozen residuals (n,), a sign, the angles of the ways out and the angle of a neuron that falls
    into 0, for `count` seeds where one does."""
    found = 0
    for seed in range(10_000):
        rng = np.random.default_rng([seed, list(FACTORS).index(kind)])
        n = int(rng.integers(3, 7))
        x, r, sign = rng.normal(size=(n, 2)), rng.normal(size=n), rng.choice([-1.0, 1.0])
        if kind != "general":
            x[n // 2 :] = FACTORS[kind] * x[: n - n // 2]
        at, height = tops(x, r, sign)
        rays = np.arctan2(x[:, 0], -x[:, 1])  # those on the gates
        rays = np.concatenate([rays, rays + np.pi])
        falls = [ray for top in at[height < -FAR] for ray in rays if abs(np.sin((ray - top) / 2)) < APART / 2]
        if falls and (np.abs(height) > FAR).all():
            yield x, r, sign, at[height > 0], falls[0]
            found += 1
        if found == count:
            return


def moved(x, r, w, a, time: float):
    """The neuron (w, a) after the time, the residual frozen at r."""
    data = TrainingSet(torch.from_numpy(x), torch.ones(len(x)))
    problem, state = enter(data, Neurons(torch.from_numpy(w[None]), torch.tensor([a], dtype=torch.float64)))
    room = new_room(problem.gates, 1)
    for _ in range(4):
        move(problem.gates, state, time / 4, r, problem.start, 0.0, room)
    assert room.counts[2] == 0
    end = leave(problem, state)  # which a gate that reads open fails
    return end.w[0].numpy(), float(end.a[0])


@pytest.mark.parametrize("kind", FACTORS)
def test_it_leaves_where_f_has_a_positive_maximum_and_rests_where_it_has_none(kind):
    outcomes = [0, 0]
    for x, r, sign, ways, ray in cases(kind, 60):
        w, order = 0.01 * np.array([np.cos(ray), np.sin(ray)]), np.random.default_rng(0).permutation(len(r))
        # it falls at a rate of FAR at least
        end, a = moved(x, r, w, sign, 2 * 0.01 / FAR)
        assert a**2 - end @ end == pytest.approx(1 - w @ w, rel=1e-12)
        other, _ = moved(x[order], r[order], w, sign, 2 * 0.01 / FAR)
        if len(ways) < 2:
            np.testing.assert_allclose(other, end, atol=1e-12 * np.abs(end).max())
        closed = bool(((CIRCLE @ x.T) <= 0).all(axis=1).any())
        if len(ways) == 0:
            assert not end.any()
        elif end.any() or not closed:  # else it may have come to where no sample is open
            assert np.abs(np.sin((ways - np.arctan2(end[1], end[0])) / 2)).min() < APART / 2
        outcomes[int(end.any())] += 1
    assert min(outcomes) >= 5


def test_one_that_is_pinned_at_zero_leaves_when_the_residuals_open_a_way():
    """Three samples around 0 that all pull back, until one of them pulls out: then it leaves along that, by sinh."""
    turns = 2 * np.pi / 3 * np.arange(3)
    x = np.column_stack([np.cos(turns), np.sin(turns)])
    w = 0.01 * np.array([0.0, 1.0])
    data = TrainingSet(torch.from_numpy(x), torch.ones(3))
    problem, state = enter(data, Neurons(torch.from_numpy(w[None]), torch.ones(1, dtype=torch.float64)))
    room = new_room(problem.gates, 1)
    pulls = -np.array([3.0, 3.1, 3.2])
    for _ in range(3):
        move(problem.gates, state, 0.5, pulls, problem.start, 0.0, room)
    assert not leave(problem, state).w.any()
    assert (state.gate == SLIDING).any()
    pulls[0] = 1.5
    # off the side samples, which pull back by more: D = x_0 / 2 between their gates
    move(problem.gates, state, 0.2, pulls, problem.start, 0.0, room)
    size = np.sqrt(1 - w @ w) * np.sinh(0.5 * 0.2)
    np.testing.assert_allclose(leave(problem, state).w[0], [size, 0.0], atol=1e-14)
