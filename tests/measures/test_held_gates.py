"""Points held on gates, against what they must be: the best fit that the gates allow, nearest to the start."""

import numpy as np
import pytest

from gfflow.measures.held_gates import along_gates, closed_in_rounding, held_on_gates


@pytest.mark.parametrize("seed", range(5))
def test_neurons_of_one_sign_fit_its_labels_and_are_closed_on_the_others(seed):
    """n < d and a_j > 0: labels above zero can be fitted, those below cannot, so L = 1/(2n) sum_{y<0} y^2."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((12, 20)), rng.standard_normal(12)
    w, a = (y > 0) @ x / 10 + rng.standard_normal((30, 20)), np.full(30, 0.3)
    gates = w @ x.T > 0
    found = held_on_gates(x, y, w, a, gates, np.zeros_like(gates))
    assert found is not None
    moved, closed = found
    assert not (closed & ~gates).any()  # gates are closed, never opened
    moved = closed_in_rounding(moved, x, closed)
    assert not ((moved @ x.T > 0) & ~closed).any()
    r = y - np.maximum(moved @ x.T, 0).T @ a
    assert closed[:, y > 0].any(axis=0).all()
    np.testing.assert_allclose(r, np.minimum(y, 0), atol=1e-11)  # rounding of sums of size 10


def test_without_crossings_it_is_the_least_change_that_fits():
    """Against the pseudo-inverse: one neuron, well inside its cell."""
    rng = np.random.default_rng(0)
    x, w = np.abs(rng.standard_normal((3, 5))), np.full((1, 5), 2.0)
    y = x @ w[0] + 0.01 * rng.standard_normal(3)
    gates = np.ones((1, 3), dtype=bool)
    found = held_on_gates(x, y, w, np.ones(1), gates, ~gates)
    assert found is not None
    np.testing.assert_allclose(found[0][0], w[0] + np.linalg.pinv(x) @ (y - x @ w[0]), rtol=1e-12)


def test_a_held_gate_stays_at_zero():
    x, w = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, -0.9]])
    held = np.array([[False, True]])
    found = held_on_gates(x, np.array([2.0, -1.0]), w, np.ones(1), np.array([[True, False]]), held)
    assert found is not None
    np.testing.assert_allclose(found[0], [[2.0, -2.0]], atol=1e-14)
    assert along_gates(x, 2).shape == (2, 0)
