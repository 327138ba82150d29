"""An embedded Runge-Kutta pair in log-polar coordinates (Eq. 9), stopped at every gate change.

Dormand and Prince's 5(4) with its dense output, as scipy tabulates it. Within a step the gates keep their states,
also beyond zero, so that the field is smooth; a gate that has crossed is then located on the dense output, the step
is cut there, the gate put exactly at zero and its new state found. A sliding gate is let go at the end of the step in
which its fraction leaves [0, 1], which is cut where that would be late.

The coordinates are those of the state: with D and g = <D, v>,

    dv = a D - gamma v,  da = g - gamma a,  d rho = gamma,  gamma = 2 a g / (a^2 + ||v||^2),

so that a^2 + ||v||^2 stays what it was, and a itself where the start is balanced. After each step what is conserved
is put right: v on its gates, its length, the balance, and the part across a line that is all its gates leave to D.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.integrate import RK45

from gfflow.compiled import compiled
from gfflow.errors import InvalidInput
from gfflow.motion.flow.coordinates import Array, Problem, State
from gfflow.motion.flow.integrator import FLOOR, KNOWN, MOST_STEPS, ROUNDING, Integrator, rms
from gfflow.motion.flow.length import next_length
from gfflow.motion.frozen_residual import polish
from gfflow.motion.gates import ON, SLIDING, dot, forces, put
from gfflow.motion.groups import regroup
from gfflow.motion.response import active_samples, new_sums
from gfflow.motion.sliding import direct, project, resolve
from gfflow.motion.state import different, group_field, new_room, take_states
from gfflow.motion.target import steepest, to_residual
from gfflow.motion.unbalanced import imbalance_at
from gfflow.motion.zero import AT_ZERO, LEAVES, all_at_zero, find_way_out, is_pinned, pass_zero

PAST = 1e-14  # by which rounding alone may carry <v, n_g> beyond zero
LATE = 0.02  # part of a step by which a sliding gate may be let go late
SOONEST = 1e-6  # part of a step after which a gate that stands at zero may change again
MOST_PRODUCTS = 5e10  # in one evaluation at each gate's change: some minutes
WITHIN = 1e-9  # by which rounding may carry a fraction out of [0, 1]


@compiled
def frozen_residual(gates, q, states, target, active):  # type: ignore[no-untyped-def]
    """r (n,) of q = (v, a, rho) (m, Q + 2), gates that are on counted as such also beyond zero."""
    r, size = target.y.copy() if target.plain else np.zeros(active.size), q.shape[1] - 2
    for j in range(q.shape[0]):
        share = np.exp(2.0 * q[j, size + 1]) * q[j, size]
        if share == 0.0:
            continue
        for i in range(active_samples(gates, states[j], active)):
            r[active[i]] -= share * dot(gates.inputs[active[i]], q[j, :size])
    if not target.plain:
        to_residual(target, r)
    return r


@compiled
def field(gates, q, state, target, start, room, active, out, fractions):  # type: ignore[no-untyped-def]
    """dq/dt into out with the state's gates, and the fractions (m, g) of those at zero; returns r (n,)."""
    size = q.shape[1] - 2
    r = frozen_residual(gates, q, state.gate, target, active)
    forces(gates, r, room.force, room.base)
    f, groups = room.group, room.groups
    for i in range(regroup(groups, state.key)):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        group_field(gates, state, members[0], room)
        for j in members:
            v, a, along = q[j, :size], q[j, size], dot(f.d, q[j, :size])
            square = 2.0 * a * a - imbalance_at(start, j, q[j, size + 1])
            gamma = 2.0 * a * along / square if square > 0.0 else 0.0
            for p in range(size):
                out[j, p] = a * f.d[p] - gamma * v[p]
            out[j, size] = along - gamma * a if start.imbalance[j] != 0.0 else 0.0
            out[j, size + 1] = gamma
            fractions[j] = 0.0
            for b in range(f.info[0]):
                g = f.index[b]
                fractions[j, g] = f.multiplier[b] / room.force[g]
    return r


@compiled
def _height(start, weights, theta):  # type: ignore[no-untyped-def]
    """One component of the dense output: start + theta (w_0 + theta (w_1 + ...))."""
    total = 0.0
    for i in range(weights.size - 1, -1, -1):
        total = theta * (weights[i] + total)
    return start + total


@compiled
def first_crossing(gates, q, end, weights, states):  # type: ignore[no-untyped-def]
    """(theta, j, g) of the first gate to cross zero on the dense output, weights (4, m, Q + 2); (1, -1, -1) for
    none."""
    theta, first_j, first_g, size = 1.0, -1, -1, q.shape[1] - 2
    course = np.empty(weights.shape[0])
    for j in range(states.shape[0]):
        for g in range(states.shape[1]):
            normal, sign = gates.normal[g], 1.0 if states[j, g] == ON else -1.0
            if states[j, g] >= SLIDING or sign * dot(end[j, :size], normal) >= -PAST:
                continue
            z = dot(q[j, :size], normal)
            for i in range(course.size):
                course[i] = dot(weights[i, j, :size], normal)
            low, high = SOONEST if abs(z) <= AT_ZERO else 0.0, theta
            if sign * _height(z, course, high) >= 0.0:
                continue
            for _ in range(60):
                middle = 0.5 * (low + high)
                if sign * _height(z, course, middle) >= 0.0:
                    low = middle
                else:
                    high = middle
            if high < theta or first_j < 0:
                theta, first_j, first_g = high, j, g
    return theta, first_j, first_g


@compiled
def settle_all(gates, state, r, first_j, first_g, room):  # type: ignore[no-untyped-def]
    """Makes all gates at zero agree with their drifts, the one that has just been reached (if any) among them."""
    forces(gates, r, room.force, room.base)
    f, size = room.group, np.abs(room.force).sum() + np.abs(room.base).sum()
    for j in range(state.a.size):
        any_zero = False
        for g in range(f.state.size):
            f.state[g] = state.gate[j, g]
            f.zero[g] = (j == first_j and g == first_g) or abs(dot(state.v[j], gates.normal[g])) <= AT_ZERO
            any_zero |= f.zero[g] or f.state[g] >= SLIDING
        if not any_zero or state.a[j] == 0.0:
            continue
        before = (f.state == SLIDING).sum()
        if all_at_zero(gates, f.zero):
            if not _settle_at_zero(gates, state, j, j == first_j, size, room):
                continue
            changes = different(f.state, state.gate[j])
        else:
            changes = resolve(gates, f, room.force, room.base, state.a[j], size)
        if changes != 0:
            room.counts[0] += abs(changes)
            room.counts[1] += max(0, (f.state == SLIDING).sum() - before)
            take_states(gates, state, j, f)


@compiled
def _settle_at_zero(gates, state, j, arrives, size, room):  # type: ignore[no-untyped-def]
    """The states of a neuron at w = 0, into room.group; False where they stay as they are."""
    f, sign = room.group, np.sign(state.a[j])
    project(gates, f, room.force, room.base)
    if not arrives:
        return is_pinned(gates, f) and find_way_out(gates, f, sign, size, room) == LEAVES
    direct(gates, f, size)
    put(f.u, room.ray, sign)
    pass_zero(gates, f, state.v[j], sign, size, room)
    return True


def refuse_large(problem: Problem) -> None:
    """Raises InvalidInput for problems on which this method would take hours: it stops at each change of each of the
    m n gates, and each stop costs seven evaluations of m n Q products."""
    gates = len(problem.rest) * problem.n
    if gates * gates * problem.gates.normal.shape[1] > MOST_PRODUCTS:
        allowed = f"auto or splitting for {len(problem.rest)} neurons and {problem.n} samples: runge_kutta stops at "
        raise InvalidInput("solver.method", "runge_kutta", f"{allowed}every change of their {gates} gates")


class RungeKutta(Integrator):
    """Fifth order between gate changes, each of which ends a step; six evaluations a step."""

    method: ClassVar[str] = "runge_kutta"
    order: ClassVar[int] = 5

    def __init__(self, problem: Problem, state: State, time: float, rtol: float) -> None:
        super().__init__(problem, state, time, rtol)
        refuse_large(problem)
        self.room = new_room(problem.gates, len(state.a))
        self.within = max(WITHIN, KNOWN * rtol)
        for part in (self.room.group, self.room.alone):
            part.slack[0] = max(part.slack[0], self.within)
        self.active = new_sums(problem.n, state.v.shape[1]).active
        self.q = np.column_stack([state.v, state.a, state.rho])
        self.stages = np.zeros((7, *self.q.shape))
        self.length = np.array(0.0)  # of the step before it was cut: the dense output's unit of time
        self.before = self.q.copy()
        self.slope, self.fractions, self.r = self._field(self.q, state)

    def arrays(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in ("q", "stages", "length", "before", "slope", "fractions", "r")}

    @property
    def residual(self) -> Array:
        return self.r

    def at(self, time: float) -> State:
        theta = (time - self.began) / float(self.length) if self.length > 0 else 0.0
        return self._state(self.before + self._weights(self.stages, float(self.length), theta), self.origin)

    def advance(self, until: float, most: int = MOST_STEPS) -> None:
        # one step: they take long enough for a call
        error = np.inf
        while not error <= 1:
            self.check_going_on()
            error = self._attempt(self.h)
            self.h, self.longest = next_length(self.h, self.longest, error, self.order)
            self.counters["steps" if error <= 1 else "rejected_steps"] += 1
        self.check_digits()

    def _attempt(self, h: float) -> float:
        """Tries a step of length h and returns its error over the tolerance; takes it if that is at most 1."""
        state, gates = self.state, self.problem.gates
        stages = np.empty((7, *self.q.shape))
        stages[0] = self.slope
        for i in range(1, 6):
            stages[i], _, _ = self._field(self.q + h * np.tensordot(RK45.A[i, :i], stages[:i], 1), state)
        end = self.q + h * np.tensordot(RK45.B, stages[:6], 1)
        stages[6], fractions, r = self._field(end, state)
        error = self._error(end, r, h * np.tensordot(RK45.E, stages, 1))
        if not error <= 1:
            return error
        weights = h * np.tensordot(RK45.P.T, stages, 1)
        theta, j, g = first_crossing(gates, self.q, end, weights, state.gate)
        freed = self._release(fractions)
        if freed < theta:
            theta, j, g = freed, -1, -1
        self._take(h, theta, stages, end, r, j, g)
        return error

    def _take(self, h: float, theta: float, stages: Array, end: Array, r: Array, j: int, g: int) -> None:
        """The step's first part, up to where a gate changes; the field there."""
        self.before, self.stages, self.length = self.q, stages, np.array(h)
        self.origin, self.began = self.state, self.time
        self.time = self.began + theta * h
        end = end if theta == 1 else self.q + self._weights(stages, h, theta)
        self.state, self.room.counts[:] = self._state(end, self.state), 0
        if theta < 1:
            r = frozen_residual(self.problem.gates, end, self.state.gate, self.problem.target, self.active)
        settle_all(self.problem.gates, self.state, r, j, g, self.room)
        polish(self.problem.gates, self.state, r, self.problem.start, self.room)
        np.maximum(self.corrections, self.room.watch, out=self.corrections)
        self.counters["gate_events"] += int(self.room.counts[0])
        self.counters["sliding_episodes"] += int(self.room.counts[1])
        self.q = np.column_stack([self.state.v, self.state.a, self.state.rho])
        self.slope, self.fractions, self.r = self._field(self.q, self.state)

    def _release(self, fractions: Array) -> float:
        """The part of the step after which the first sliding gate's fraction leaves [0, 1]; 1 for none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            f, g = self.fractions, fractions
            theta = np.where(g > 1 + self.within, (1 - f) / (g - f), np.where(g < -self.within, f / (f - g), 1.0))
        return float(np.clip(np.nan_to_num(theta, nan=1.0) + LATE, LATE, 1.0).min(initial=1.0))

    def _field(self, q: Array, state: State) -> tuple[Array, Array, Array]:
        problem = self.problem
        self.counters["evaluations"] += 1
        out, fractions = np.empty_like(q), np.empty(state.gate.shape)
        r = field(problem.gates, q, state, problem.target, problem.start, self.room, self.active, out, fractions)
        return out, fractions, r

    def _error(self, end: Array, r: Array, difference: Array) -> float:
        """The largest error of a direction, of a log-norm or, relative, of the residual, over the tolerance."""
        problem, gate = self.problem, self.state.gate
        other = frozen_residual(problem.gates, end - difference, gate, problem.target, self.active)
        labels, size = rms(problem.y), float(np.abs(problem.y - r).max())
        if not problem.target.plain:  # no differences, and as small as they may be
            labels, size = 0.0, float(np.exp(2 * end[:, -1].max())) * float(steepest(problem.target, r))
        scale = rms(r) + FLOOR * labels + ROUNDING / self.rtol * (labels + size) + float(np.finfo(float).tiny)
        largest = max(float(np.abs(difference).max()), rms(r - other) / scale)
        return largest / self.rtol if np.isfinite(largest) else np.inf

    @staticmethod
    def _weights(stages: Array, h: float, theta: float) -> Array:
        """The dense output's increment from the step's start."""
        return h * np.tensordot(RK45.P @ theta ** np.arange(1, 5), stages, 1)

    def _state(self, q: Array, gates_of: State) -> State:
        """The state of q with the gates of another one, put on them."""
        size = q.shape[1] - 2
        parts = {"v": q[:, :size].copy(), "a": q[:, size].copy(), "rho": q[:, size + 1].copy()}
        state = gates_of.copy()._replace(**parts)
        polish(self.problem.gates, state, self.r, self.problem.start, self.room)
        return state
