"""Descent by large products against the direct form and against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import SGD
from gfflow.solvers.fused import Descent, descend
from gfflow.solvers.products import LARGE, ROWS, descend_by_products


def problem(n: int, d: int, m: int, dtype=np.float64):
    rng = np.random.default_rng([n, d, m])
    x, y = rng.standard_normal((n, d)) / d**0.5, rng.standard_normal(n)
    w, a = rng.standard_normal((m, d)) / m**0.5, rng.standard_normal(m) / m**0.5
    return tuple(part.astype(dtype) for part in (x, y, w, a))


@pytest.mark.parametrize("m", [1, 7, ROWS, ROWS + 1, 2 * ROWS + 3])
@pytest.mark.parametrize("steps", [1, 2, 25])
def test_equals_the_direct_form(m, steps):
    x, y, w, a = problem(23, 11, m)
    moved, outputs = w.copy(), a.copy()
    descend_by_products(moved, outputs, x, y, x @ x.T, 0.05, steps)
    descend(w, a, x, y, 0.05, steps, "direct")
    # 1e-13: 25 steps that each round sums of a few hundred terms
    np.testing.assert_allclose(moved, w, rtol=0, atol=1e-13 * np.abs(w).max())
    np.testing.assert_allclose(outputs, a, rtol=0, atol=1e-13 * np.abs(a).max())


def test_large_work_is_done_by_products_and_equals_autograd():
    n, d, m = 330, 120, 1000
    assert n * n * m >= LARGE
    x, y, w, a = problem(n, d, m)
    network = TwoLayerReLU(Neurons(torch.from_numpy(w), torch.from_numpy(a)))
    SGD(0.5).advance(network, TrainingSet(torch.from_numpy(x), torch.from_numpy(y)), 0, 10)
    descent = Descent(x, y, 0.5)
    assert descent.form == "gram"
    descent(w, a, 10)
    np.testing.assert_allclose(w, network.hidden.detach().numpy(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(a, network.output.detach().numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_same_bits_for_any_number_of_threads(dtype):
    x, y, w, a = problem(300, 200, 1300, dtype)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            moved, outputs = w.copy(), a.copy()
            descend_by_products(moved, outputs, x, y, x @ x.T, dtype(0.1), 5)
            assert torch.get_num_threads() == threads
            results.append((moved, outputs))
    finally:
        torch.set_num_threads(before)
    for moved, outputs in results[1:]:
        np.testing.assert_array_equal(moved, results[0][0])
        np.testing.assert_array_equal(outputs, results[0][1])
        assert moved.dtype == dtype
