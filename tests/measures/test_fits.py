"""What no network can fit, against networks: the least squares over the features of many random neurons."""

import numpy as np
import pytest
import torch

from gfflow.measures import least_loss, lines_of
from gfflow.measures.critical_points import _lowering
from gfflow.model.data import TrainingSet
from gfflow.model.losses import LOGISTIC


def by_random_features(x, y) -> float:
    """min L over the output weights of 4,000 random neurons, which are more than the samples."""
    w = np.random.default_rng(0).standard_normal((x.shape[1], 4000))
    h = np.maximum(x @ w, 0)
    rest = y - h @ np.linalg.lstsq(h, y, rcond=1e-10)[0]
    return float(rest @ rest) / (2 * len(y))


CASES = {
    "equal inputs": ([[1, 0], [1, 0], [0, 1]], [1, -1, 2]),
    "equal inputs and labels": ([[1, 0], [1, 0], [0, 1]], [1, 1, 2]),
    "parallel inputs": ([[1, 2], [2, 4], [0, 1]], [1, -1, 2]),
    "parallel and consistent": ([[1, 2], [2, 4], [0, 1]], [1, 2, 2]),
    "a pair of opposite inputs": ([[1, 2], [-1, -2]], [1, 3]),
    "one dimension": ([[-1], [-0.3], [1]], [0.5, -0.2, 0.7]),
    "opposite pairs, as many as dimensions": ([[1, 0], [-1, 0], [0, 1], [0, -1]], [1, 2, 3, -4]),
    "more opposite pairs than dimensions": ([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1]], [1, 0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_least_loss_is_that_of_a_wide_network(name):
    x, y = (np.array(values, dtype=np.float64) for values in CASES[name])
    data = TrainingSet(torch.from_numpy(x), torch.from_numpy(y))
    assert least_loss(data) == pytest.approx(by_random_features(x, y), abs=1e-12)


def test_a_mean_over_equal_inputs_by_hand():
    data = TrainingSet(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([1.0, -1.0, 2.0]))
    assert least_loss(data) == pytest.approx(1 / 3, rel=1e-14)  # (1 + 1) / (2 * 3)
    assert lines_of(data).tolist() == [1, 1, 0]


@pytest.mark.parametrize("seed", range(30))
def test_gates_lower_the_loss_by_opening_where_some_direction_does(seed):
    """Against 20,000 directions by brute force, on gates some of which are parallel, opposite or dependent."""
    random = np.random.default_rng(seed)
    x = random.integers(-2, 3, (int(random.integers(1, 6)), 2)).astype(float)
    x = x[np.linalg.norm(x, axis=1) > 0]
    if not len(x):
        return
    pulls = random.integers(-2, 3, len(x)).astype(float)
    angles = np.linspace(0, 2 * np.pi, 20_000)
    v = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    gain = (np.maximum(v @ x.T, 0) @ pulls).max()
    count, tried = _lowering(x, pulls, 1e-9)
    assert tried and (count > 0) == (gain > 1e-9)


def test_the_least_classification_loss_of_samples_on_one_line():
    """One free number q = h(x) on the line; the third sample is fitted ever better beside it."""
    q = np.linspace(-3, 3, 600_001)
    for factor in (1.0, 2.0):
        x = torch.tensor([[1.0, 2.0], [factor, 2 * factor], [0.0, 1.0]])
        data = TrainingSet(x, torch.tensor([1.0, -1.0, 1.0]), LOGISTIC)
        wanted = float((np.log1p(np.exp(-q)) + np.log1p(np.exp(factor * q))).min()) / 3
        assert least_loss(data) == pytest.approx(wanted, rel=1e-8)
    apart = TrainingSet(
        torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]]), torch.tensor([1.0, 1.0, -1.0]), LOGISTIC
    )
    assert least_loss(apart) == 0.0
