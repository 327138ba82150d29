"""Gates and the exact motion with a frozen residual, against their definitions."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from gfflow.motion.frozen_residual import move
from gfflow.motion.gates import OFF, ON, SLIDING, on_coefficients, project, settle


def settled(x, c, z, a, gate):
    """Field and coefficients of one neuron after settling its gates, in place, and the failures."""
    n = len(c)
    gram = x @ x.T
    b_on = np.where(gate == ON, c, 0.0)
    on_field, field, b, counts = b_on @ gram, np.empty(n), np.empty(n), np.zeros(3, np.int64)
    settle(
        z, a, gate, c, gram, on_field, b_on, field, b, np.empty(n, np.int64), np.empty((n, n)), np.empty(n), counts
    )
    return field, b, counts[2]


@pytest.mark.parametrize("n", range(1, 10))
def test_sliding_projects_the_field(n):
    rng = np.random.default_rng(n)
    x, c = rng.normal(size=(n, n + 1)), rng.normal(size=n)
    gate = rng.integers(0, 3, size=(1, n)).astype(np.int8)
    b = np.empty((1, n))
    on_coefficients(gate, c, b)
    field = b @ x @ x.T
    project(gate[0], x @ x.T, field[0], b[0], np.empty(n, np.int64), np.empty((n, n)))
    drive = (c * (gate[0] == ON)) @ x
    held = x[gate[0] == SLIDING]
    if len(held):
        drive = drive - held.T @ np.linalg.lstsq(held.T, drive, rcond=None)[0]
    # rounding times the condition of a few random rows
    np.testing.assert_allclose(b[0] @ x, drive, atol=1e-9)
    np.testing.assert_allclose(field[0], x @ drive, atol=1e-9)


@pytest.mark.parametrize("n", range(1, 8))
def test_settled_gates_agree_with_their_drifts(n):
    """Off: not pushed on. On: not pushed off. Sliding: a mean of off and on, both pushing back."""
    slid = 0
    for seed in range(50):
        rng = np.random.default_rng(100 * n + seed)
        x, c, a = rng.normal(size=(n, n + 1)), rng.normal(size=n), rng.choice([-1.0, 1.0])
        at_zero = rng.random(n) < 0.6
        z = np.where(at_zero, 0.0, rng.normal(size=n))
        gate = np.where(at_zero, rng.integers(0, 2, size=n), np.where(z > 0, ON, OFF)).astype(np.int8)
        before = gate.copy()
        field, b, failures = settled(x, c, z, a, gate)
        assert failures == 0
        assert (gate[~at_zero] == before[~at_zero]).all()
        drift = a * field
        assert (drift[at_zero & (gate == OFF)] <= 1e-9).all()  # rounding of projections
        assert (drift[at_zero & (gate == ON)] >= -1e-9).all()
        sliding = gate == SLIDING
        slid += sliding.sum()
        assert (np.abs(drift[sliding]) < 1e-9).all()
        fraction = b[sliding] / c[sliding]
        assert ((fraction >= 0) & (fraction <= 1)).all()
        assert (a * c[sliding] < 0).all()
    assert slid > 0 or n == 1  # a gate alone has nothing behind it to push it on


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("balanced", [True, False])
def test_motion_is_exact(n, balanced):
    """Against scipy on w' = a D(w), a' = <D(w), w> with c frozen, through every gate change without sliding."""
    compared = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, c = rng.normal(size=(n, n + 2)), rng.normal(size=n)
        w = rng.normal(size=n + 2)
        a = rng.choice([-1.0, 1.0]) * (np.linalg.norm(w) if balanced else 0.5)
        z = (x @ w)[None]
        gate = np.where(z > 0, ON, OFF).astype(np.int8)
        outputs, scales, counts = np.array([a]), np.zeros(1), np.zeros(3, np.int64)
        move(z, outputs, gate, scales, 1.5, c, x @ x.T, np.linalg.norm(x, axis=1), balanced, counts)
        assert counts[2] == 0
        if counts[1]:
            continue

        def velocity(_, q, x=x, c=c):
            drive = (c * (x @ q[:-1] > 0)) @ x
            return np.append(q[-1] * drive, drive @ q[:-1])

        q = solve_ivp(velocity, (0, 1.5), np.append(w, a), method="DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        size = np.exp(scales[0])
        # scipy steps over the kinks within its tolerance
        np.testing.assert_allclose(size * z[0], x @ q[:-1], atol=1e-7 * np.abs(q).max() * n)
        assert size * outputs[0] == pytest.approx(q[-1], abs=1e-7 * np.abs(q).max())
        compared += 1
    assert compared >= 3
