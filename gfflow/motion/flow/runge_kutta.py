"""An embedded Runge-Kutta pair in log-polar coordinates (Eq. 9), stopped at every gate change.

Dormand and Prince's 5(4) with its dense output, as scipy tabulates it. Within a step the gates keep their states,
also beyond zero, so that the field is smooth; a gate that has crossed is then located on the dense output, the step
is cut there, the gate put exactly at zero and its new state found. A sliding gate is let go at the end of the step in
which its fraction leaves [0, 1], which is cut where that would be late.

The coordinates are a neuron's logarithmic size and, of order one, z and a: with D and g = sum_k b_k z_k = <D, w>,

    d log_scale = gamma,  dz = a G b - gamma z,  da = g - gamma a,  gamma = 2 a g / (a^2 + ||w||^2),

so that a^2 + ||w||^2 stays what it was, and a itself where the start is balanced.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.integrate import RK45

from gfflow.motion.flow.integrator import Integrator, rms
from gfflow.motion.flow.state import Array, Problem, State
from gfflow.motion.gates import OFF, ON, SLIDING, compiled, on_coefficients, project, pull_when_off, settle

PAST = 1e-14  # of ||x_k||, by which rounding alone may carry z_k beyond zero
LATE = 0.02  # part of a step by which a sliding gate may be let go late
SOONEST = 1e-6  # part of a step after which a gate that stands at zero may change again


@compiled
def frozen_residual(q, gate, y):  # type: ignore[no-untyped-def]
    """r (n,) of q = (z, a, log_scale) (m, n + 2), gates that are on counted as such also beyond zero."""
    m, n = gate.shape
    r = y.copy()
    for j in range(m):
        share = np.exp(2.0 * q[j, n + 1]) * q[j, n]
        for k in range(n):
            if gate[j, k] == ON:
                r[k] -= share * q[j, k]
    return r


@compiled
def field(q, gate, y, gram, imbalance, start_scale, out, b):  # type: ignore[no-untyped-def]
    """dq/dt into out with the gates as they are, and b (m, n); returns r (n,)."""
    m, n = gate.shape
    r = frozen_residual(q, gate, y)
    on_coefficients(gate, r / n, b)
    push = np.dot(b, gram)
    factor, index = np.empty((n, n)), np.empty(n, np.int64)
    for j in range(m):
        project(gate[j], gram, push[j], b[j], index, factor)
        a, along = q[j, n], 0.0
        for k in range(n):
            along += b[j, k] * q[j, k]
        square = 2.0 * a * a - imbalance[j] * np.exp(2.0 * (start_scale[j] - q[j, n + 1]))
        gamma = 2.0 * a * along / square if square > 0.0 else 0.0
        for k in range(n):
            out[j, k] = a * push[j, k] - gamma * q[j, k]
        out[j, n] = along - gamma * a
        out[j, n + 1] = gamma
    return r


@compiled
def _height(start, weights, theta):  # type: ignore[no-untyped-def]
    """One component of the dense output: start + theta (w_0 + theta (w_1 + ...))."""
    total = 0.0
    for i in range(weights.size - 1, -1, -1):
        total = theta * (weights[i] + total)
    return start + total


@compiled
def first_crossing(z, end, weights, gate, sizes):  # type: ignore[no-untyped-def]
    """(theta, j, k) of the first gate to cross zero on the dense output, weights (4, m, n); (1, -1, -1) for none."""
    theta, first_j, first_k = 1.0, -1, -1
    for j in range(z.shape[0]):
        for k in range(z.shape[1]):
            sign = 1.0 if gate[j, k] == ON else -1.0
            if gate[j, k] == SLIDING or sign * end[j, k] >= -PAST * sizes[k]:
                continue
            low, high = SOONEST if z[j, k] == 0.0 else 0.0, theta
            if sign * _height(z[j, k], weights[:, j, k], high) >= 0.0:
                continue
            for _ in range(60):
                middle = 0.5 * (low + high)
                if sign * _height(z[j, k], weights[:, j, k], middle) >= 0.0:
                    low = middle
                else:
                    high = middle
            if high < theta or first_j < 0:
                theta, first_j, first_k = high, j, k
    return theta, first_j, first_k


@compiled
def settle_all(z, a, gate, c, gram, counts):  # type: ignore[no-untyped-def]
    """Makes all gates that slide or stand at zero agree with their drifts."""
    m, n = z.shape
    b = np.empty_like(z)
    on_coefficients(gate, c, b)
    push = np.dot(b, gram)
    scratch, factor, index = np.empty((3, n)), np.empty((n, n)), np.empty(n, np.int64)
    for j in range(m):
        if (z[j] == 0.0).any():
            settle(
                z[j], a[j], gate[j], c, gram, push[j], b[j], scratch[0], scratch[1], index, factor, scratch[2], counts
            )


class RungeKutta(Integrator):
    """Fifth order between gate changes, each of which ends a step; six evaluations a step."""

    method: ClassVar[str] = "runge_kutta"
    order: ClassVar[int] = 5

    def __init__(self, problem: Problem, state: State, time: float, rtol: float) -> None:
        super().__init__(problem, state, time, rtol)
        self.q = np.column_stack([state.z, state.a, state.log_scale])
        self.stages = np.zeros((7, *self.q.shape))
        self.length = np.array(0.0)  # of the step before it was cut: the dense output's unit of time
        self.before = self.q
        self.slope, self.b, self.r = self._field(self.q, state.gate)

    def arrays(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in ("q", "stages", "length", "before", "slope", "b", "r")}

    def at(self, time: float) -> State:
        theta = (time - self.began) / float(self.length) if self.length > 0 else 0.0
        q = self.before + self._weights(self.stages, float(self.length), theta)
        return self._state(q, self.origin.gate)

    def attempt(self, h: float) -> float:
        gate = self.state.gate
        stages = np.empty((7, *self.q.shape))
        stages[0] = self.slope
        for i in range(1, 6):
            stages[i], _, _ = self._field(self.q + h * np.tensordot(RK45.A[i, :i], stages[:i], 1), gate)
        end = self.q + h * np.tensordot(RK45.B, stages[:6], 1)
        stages[6], b, r = self._field(end, gate)
        error = self._error(end, r, h * np.tensordot(RK45.E, stages, 1))
        if not error <= 1:
            return error
        n = self.problem.n
        weights = h * np.tensordot(RK45.P.T, stages, 1)
        theta, j, k = first_crossing(*(v[..., :n].copy() for v in (self.q, end, weights)), gate, self.problem.sizes)
        freed = self._release(gate, b, r)
        if freed < theta:
            theta, j = freed, -1
        self._take(h, theta, stages, end)
        if j >= 0:
            self.q[j, k] = 0.0
        if theta < 1 or (gate == SLIDING).any():
            self._settle()
        else:
            self.slope, self.b, self.r = stages[6], b, r
            self.state = self._state(self.q, gate)
        return error

    def _take(self, h: float, theta: float, stages: Array, end: Array) -> None:
        self.before, self.stages, self.length = self.q, stages, np.array(h)
        self.origin, self.began = self.state, self.time
        self.q = end if theta == 1 else self.q + self._weights(stages, h, theta)
        held = self.state.gate == SLIDING
        self.q[:, : self.problem.n][held] = 0.0
        self.time = self.began + theta * h

    def _settle(self) -> None:
        """Finds the gates' states where the step has ended, and the field there."""
        n, counts = self.problem.n, np.zeros(3, np.int64)
        gate, z = self.state.gate.copy(), self.q[:, :n].copy()
        _, _, r = self._field(self.q, gate)
        settle_all(z, self.q[:, n].copy(), gate, r / n, self.problem.gram, counts)
        self.counters["gate_events"] += int(counts[0])
        self.counters["sliding_episodes"] += int(counts[1])
        self.state = self._state(self.q, gate)
        self.slope, self.b, self.r = self._field(self.q, gate)

    def _release(self, gate: Any, b: Array, r: Array) -> float:
        """The part of the step after which the first sliding gate's fraction leaves [0, 1]; 1 for none."""
        j, k = np.nonzero(gate == SLIDING)
        if not len(j):
            return 1.0

        def fractions(b: Array, c: Array) -> Array:
            least = np.array([pull_when_off(sample, c, self.problem.gram) for sample in k])
            return (b[j, k] - least) / (c[k] - least)

        with np.errstate(divide="ignore", invalid="ignore"):
            f, g = fractions(self.b, self.r / self.problem.n), fractions(b, r / self.problem.n)
            theta = np.where(g > 1, (1 - f) / (g - f), np.where(g < 0, f / (f - g), 1.0))
        return float(np.clip(np.nan_to_num(theta, nan=1.0) + LATE, LATE, 1.0).min())

    def _field(self, q: Array, gate: Any) -> tuple[Array, Array, Array]:
        problem = self.problem
        self.counters["evaluations"] += 1
        out, b = np.empty_like(q), np.empty(gate.shape)
        r = field(q, gate, problem.y, problem.gram, problem.imbalance, problem.start_scale, out, b)
        return out, b, r

    def _error(self, end: Array, r: Array, difference: Array) -> float:
        """The largest error of a direction, of a log-norm or, relative, of the residual, over the tolerance."""
        n, gate = self.problem.n, self.state.gate
        other = frozen_residual(end - difference, gate, self.problem.y)
        relative = rms(r - other) / self.residual_scale(r)
        difference = np.abs(difference)
        difference[:, :n] /= self.problem.sizes
        largest = max(float(difference.max()), relative)
        return largest / self.rtol if np.isfinite(largest) else np.inf

    @staticmethod
    def _weights(stages: Array, h: float, theta: float) -> Array:
        """The dense output's increment from the step's start."""
        return h * np.tensordot(RK45.P @ theta ** np.arange(1, 5), stages, 1)

    def _state(self, q: Array, gate: Any) -> State:
        n = self.problem.n
        z = np.where(gate == SLIDING, 0.0, q[:, :n])
        z = np.where(gate == OFF, np.minimum(z, 0.0), z)
        return State(z, q[:, n].copy(), q[:, n + 1].copy(), gate)
