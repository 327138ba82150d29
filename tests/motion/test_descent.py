"""Descent's own modes with a frozen residual: against the steps themselves, one by one."""

import numpy as np
import pytest
import torch

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.motion.flow.coordinates import enter, leave
from gfflow.motion.frozen_residual import move
from gfflow.motion.state import new_room

ETA = 2e-3
PIECE = 40  # steps between two calls


@pytest.mark.parametrize(("n", "d"), [(3, 2), (12, 2), (6, 4), (3, 7)])
def test_many_neurons_move_as_the_steps_say(n, d):
    """1,000 neurons in ten pieces of 40 steps. Those that cross no gate are where the steps have brought them, to
    rounding; those that do turn within a step of the right one, which costs O(eta) of their size."""
    rng = np.random.default_rng(n)
    x, r = rng.normal(size=(n, d)), rng.normal(size=n)
    w = rng.normal(size=(1000, d))
    a = rng.choice([-1.0, 1.0], 1000) * np.linalg.norm(w, axis=1)
    neurons = Neurons(torch.from_numpy(w), torch.from_numpy(a))
    problem, state = enter(TrainingSet(torch.from_numpy(x), torch.ones(n)), neurons)
    start = problem.start._replace(imbalance=np.full(1000, np.nan))  # descent keeps no neuron balanced
    room = new_room(problem.gates, 1000)
    first, stays, size, by_groups = w @ x.T > 0, np.ones(1000, dtype=bool), np.linalg.norm(w, axis=1), 0
    w, a = w.copy(), a.copy()
    for _ in range(10):
        move(problem.gates, state, PIECE * ETA, r, start, ETA, room)
        by_groups += int(room.moved.sum())
        for _ in range(PIECE):
            field = ((w @ x.T > 0) * (r / n)) @ x
            w, a = w + ETA * a[:, None] * field, a + ETA * (w * field).sum(axis=1)
            stays &= ((w @ x.T > 0) == first).all(axis=1)
        size = np.maximum(size, np.maximum(np.linalg.norm(w, axis=1), np.abs(a)))
        end = leave(problem, state)
        off = np.linalg.norm(end.w.numpy() - w, axis=1) / size + np.abs(end.a.numpy() - a) / size
        assert off[stays].max() < 1e-12
        assert off.max() < 10 * ETA
    assert 50 < stays.sum() < 1000
    assert by_groups > 2000
    resting = ~first.any(axis=1)
    np.testing.assert_array_equal(w[resting], neurons.w.numpy()[resting])
