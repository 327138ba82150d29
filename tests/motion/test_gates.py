"""Gates at zero and the field that results, against their definitions."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from gfflow.motion.gates import HELD, OFF, ON, SLIDING, arrangement, forces, new_field
from gfflow.motion.sliding import project, resolve


def at_gates(x, r, states, zero, sign):
    """The gates of x, their forces, and the field of one neuron after resolving its gates at zero."""
    gates = arrangement(x, int(np.linalg.matrix_rank(x)))
    g, q = gates.normal.shape
    force, base, f = np.empty(g), np.empty(q), new_field(gates)
    size = forces(gates, r, force, base)
    f.state[:], f.zero[:] = states[:g], zero[:g]
    return gates, force, base, f, resolve(gates, f, force, base, sign, size)


@pytest.mark.parametrize("n", range(1, 10))
def test_sliding_projects_the_field(n):
    rng = np.random.default_rng(n)
    x, r = rng.normal(size=(n, n + 1)), rng.normal(size=n)
    states = rng.integers(0, 3, size=n).astype(np.int8)
    gates = arrangement(x, n)
    force, base, f = np.empty(n), np.empty(n + 1), new_field(gates)
    forces(gates, r, force, base)
    f.state[:] = states
    project(gates, f, force, base)
    drive = (r / n * (states == ON)) @ x
    held = x[states == SLIDING]
    if len(held):
        drive = drive - held.T @ np.linalg.lstsq(held.T, drive, rcond=None)[0]
    # rounding times the condition of a few random rows
    np.testing.assert_allclose(f.d, drive, atol=1e-10)


@pytest.mark.parametrize("kind", ["general", "opposite", "plane", "lattice"])
@pytest.mark.parametrize("n", range(1, 8))
def test_the_field_on_gates_is_the_subgradient_of_least_norm(n, kind):
    """Where all gates at zero pull back (s r_k < 0) it is unique: bounded least squares by scipy finds the same D."""
    for seed in range(30):
        rng = np.random.default_rng(100 * n + seed)
        d = n + 1 if kind == "general" else 2 if kind == "plane" else 3
        x, sign = rng.normal(size=(n, d)), rng.choice([-1.0, 1.0])
        if kind == "opposite":
            x[n // 2 :] = -rng.uniform(0.5, 2, size=(n - n // 2, 1)) * x[: n - n // 2]
        if kind == "lattice":
            x = np.unique(rng.integers(-1, 2, size=(n, d)), axis=0).astype(float)
            x = x[np.abs(x).sum(axis=1) > 0]
            directions = x / np.linalg.norm(x, axis=1)[:, None]
            first = directions[np.arange(len(x)), np.abs(directions).argmax(axis=1)]
            directions *= np.sign(first)[:, None]  # opposite ones are one gate
            x = x[np.unique(directions.round(9), axis=0, return_index=True)[1]]
            x = x if len(x) else np.eye(3)[:1]
        count = len(x)
        zero = rng.random(count) < 0.6
        if kind == "opposite":
            zero[n // 2 :] = zero[: n - n // 2]
        r = np.where(zero, -sign * rng.uniform(0.1, 1, size=count), rng.normal(size=count))
        gates = arrangement(x, int(np.linalg.matrix_rank(x)))
        zero_gates = np.zeros(len(gates.normal), bool)
        zero_gates[gates.gate[zero]] = True
        states = rng.integers(0, 2, size=len(gates.normal)).astype(np.int8)
        gates, _, _, f, changes = at_gates(x, r, states, zero_gates, sign)
        assert changes >= 0
        assert (f.state[~zero_gates] == states[~zero_gates]).all()
        active = np.where(gates.side > 0, states[gates.gate] == ON, states[gates.gate] == OFF) & ~zero
        fixed = (r * active) @ x / count
        pulls = (r[zero, None] * x[zero] / count).T
        d_least = fixed
        if zero.any():
            fractions = lsq_linear(pulls, -fixed, (0, 1), method="bvls", tol=1e-14).x
            d_least = fixed + pulls @ fractions
        np.testing.assert_allclose(f.d, d_least, atol=1e-9)  # that solver's accuracy
        drift = sign * gates.normal @ f.d
        assert (drift[zero_gates & (f.state == OFF)] <= 1e-12).all()
        assert (drift[zero_gates & (f.state == ON)] >= -1e-12).all()
        assert (np.abs(drift[f.state >= SLIDING]) <= 1e-12).all()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_gate_that_pushes_away_is_crossed(sign):
    x, r = np.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 2.0]]), sign * np.array([1.0, 1.0, -3.0])
    for came, drift in ((OFF, 1.0), (ON, -1.0)):
        states = np.array([came, OFF if drift < 0 else ON, ON if drift < 0 else OFF], np.int8)
        zero = np.array([True, False, False])
        _, _, _, f, _ = at_gates(x, -r if drift * sign < 0 and came == OFF else r, states, zero, sign)
        pushed = sign * f.d[0]
        assert f.state[0] == (ON if pushed > 0 else OFF)


def test_a_gate_that_nothing_moves_is_held():
    """Orthogonal inputs: the field behind the gate is zero along it (Lemma 6)."""
    _, _, _, f, _ = at_gates(np.eye(3), np.array([-1.0, 2.0, 0.5]), np.array([ON, ON, OFF], np.int8),
                             np.array([True, False, False]), 1.0)  # fmt: skip
    assert f.state.tolist() == [HELD, ON, OFF]
    np.testing.assert_array_equal(f.d, [0, 2 / 3, 0])


def test_a_sample_with_no_residual_is_crossed_and_does_not_hold():
    x = np.array([[1.0, 0.2, 0.0], [0.3, 1.0, 0.5]])
    for direction in (1.0, -1.0):
        states = np.array([OFF if direction > 0 else ON, ON], np.int8)
        _, _, _, f, _ = at_gates(x, np.array([0.0, direction]), states, np.array([True, False]), 1.0)
        assert f.state[0] == (ON if direction > 0 else OFF)
