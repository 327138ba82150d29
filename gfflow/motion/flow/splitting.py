"""The kink-exact splitting: move every neuron exactly along a given residual, then correct the residual.

A step of length h knows the residual as a cubic in time. Each neuron's linear system is solved with it by two
exponentials of fourth order (the commutator-free method of Blanes and Moan, 2006), each of them an exact motion with
a frozen residual, through all gate changes. The residual of the moved network and its slope give the cubic anew, as
the Hermite polynomial of both ends: an equation for the residual alone, solved by a prediction and two sweeps.

The residual relaxes by dr/dt = -K r. Where K is constant the Hermite equation is the (2, 2) Pade approximation of
e^{-hK}, so with M = (1 + hK/2 + (hK)^2/12)^{-1} a defect in r is corrected by M times itself: the method is
A-stable, and its steps are not bound to the fastest relaxation. It is of fourth order where the residual is smooth,
of second order across kinks, and covers a plateau, where the residual is constant, in one step.

A step is one compiled call, in room that is made once.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gfflow.motion.flow.integrator import FLOOR, ROUNDING, Integrator
from gfflow.motion.flow.state import Array, Problem, State
from gfflow.motion.frozen_residual import Room, move, new_room
from gfflow.motion.gates import compiled
from gfflow.motion.response import Sums, heaviest, new_sums, relaxation, residual, slope

NODES = (0.5 - math.sqrt(3) / 6, 0.5 + math.sqrt(3) / 6)  # Gauss
NEAR, FAR = 0.5 + math.sqrt(3) / 3, 0.5 - math.sqrt(3) / 3  # weights of the nodes in the two motions
STIFFEST = 100.0  # h ||K|| up to which the rounding that it amplifies is let pass
WILD = 100.0  # a residual that has grown by this factor is no step's solution
FREE = 1e-7  # h ||K|| below which nothing relaxes within the step


class Step(NamedTuple):
    """Room for a step: the residual's course and what it is found with."""

    start: Any  # (3, n): r, its first and its second derivative where the step begins
    end: Any  # (3, n): the same where it ends
    course: Any  # (4, n), coefficients in t/h of the cubic that the neurons are moved along
    final: Any  # (4, n), of the cubic through the ends that have come out
    decay: Any  # (n, n), h K
    matrix: Any  # (n, n), the Cholesky factor of 1 + h K / 2 + (h K)^2 / 12


class Machine(NamedTuple):
    """All that a compiled step works with."""

    gates: Any
    origin: Any  # Start
    gram: Any
    y: Any
    room: Room
    sums: Sums
    step: Step


def machine_of(problem: Problem) -> Machine:
    """The machine of a problem, with empty room."""
    n, m = problem.n, len(problem.rest)
    step = Step(*(np.zeros((rows, n)) for rows in (3, 3, 4, 4, n, n)))
    room, sums = new_room(problem.gates, m), new_sums(n, problem.gates.normal.shape[1])
    return Machine(problem.gates, problem.start, problem.gram, problem.y, room, sums, step)


@compiled
def _hermite(r, dr, end, dend, h, course):  # type: ignore[no-untyped-def]
    """Coefficients (4, n), in theta = t / h, of the cubic through residuals r, end with the slopes dr, dend."""
    for k in range(r.size):
        rise = end[k] - r[k]
        course[0, k] = r[k]
        course[1, k] = h * dr[k]
        course[2, k] = 3.0 * rise - h * (2.0 * dr[k] + dend[k])
        course[3, k] = h * (dr[k] + dend[k]) - 2.0 * rise


@compiled
def _value(course, theta):  # type: ignore[no-untyped-def]
    """The cubic with the coefficients (4, n) at theta, shape (n,)."""
    return course[0] + theta * (course[1] + theta * (course[2] + theta * course[3]))


@compiled
def _rms(v):  # type: ignore[no-untyped-def]
    return np.sqrt(np.mean(v * v))


@compiled
def _row_sum(matrix):  # type: ignore[no-untyped-def]
    """The largest row sum of absolute values."""
    largest = 0.0
    for k in range(matrix.shape[0]):
        total = 0.0
        for o in range(matrix.shape[1]):
            total += abs(matrix[k, o])
        largest = max(largest, total)
    return largest


@compiled
def _relaxed(machine, b):  # type: ignore[no-untyped-def]
    """(1 + h K / 2 + (h K)^2 / 12)^{-1} b, by the Cholesky factor."""
    lower, x, n = machine.step.matrix, b.copy(), b.size
    for i in range(n):
        total = x[i]
        for o in range(i):
            total -= lower[i, o] * x[o]
        x[i] = total / lower[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= lower[i, i]
        for o in range(i):
            x[o] -= lower[i, o] * x[i]
    return x


@compiled
def copy_state(state, other):  # type: ignore[no-untyped-def]
    """Copies a state into another."""
    other.v[:] = state.v
    other.a[:] = state.a
    other.rho[:] = state.rho
    other.gate[:] = state.gate
    other.perp[:] = state.perp
    other.omega[:] = state.omega
    other.margin[:] = state.margin
    other.key[:] = state.key


@compiled
def move_along(machine, origin, state, course, h):  # type: ignore[no-untyped-def]
    """Moves a copy of the origin, made in `state`, along the cubic for the time h, by two motions."""
    copy_state(origin, state)
    near, far = _value(course, NODES[0]) / machine.y.size, _value(course, NODES[1]) / machine.y.size
    move(machine.gates, state, 0.5 * h, NEAR * near + FAR * far, machine.origin, machine.room)
    move(machine.gates, state, 0.5 * h, FAR * near + NEAR * far, machine.origin, machine.room)


@compiled
def _sweep(machine, origin, state, course, h):  # type: ignore[no-untyped-def]
    """The network moved along the course, its residual and slope into step.end; the largest sum of outputs, or -1 for
    an absurd residual."""
    end = machine.step.end
    move_along(machine, origin, state, course, h)
    size = residual(machine.gates, state, machine.y, machine.room.groups, machine.sums, end[0])
    if not np.abs(end[0]).max() < WILD * (_rms(machine.y) + _rms(course[0])):
        return -1.0
    slope(machine.gates, state, end[0], machine.room.groups, machine.sums, machine.room, end[1])
    return size


@compiled
def factor(step):  # type: ignore[no-untyped-def]
    """The Cholesky factor of 1 + h K / 2 + (h K)^2 / 12, positive definite whatever the rounding in K."""
    matrix = np.dot(step.decay, step.decay) / 12.0 + 0.5 * step.decay
    for k in range(matrix.shape[0]):
        matrix[k, k] += 1.0
    step.matrix[:] = np.linalg.cholesky(matrix)


@compiled
def relax(machine, origin, h):  # type: ignore[no-untyped-def]
    """h K and its factor into the step; returns ||h K||."""
    step, n = machine.step, machine.y.size
    bound = 0.0
    for k in range(n):
        bound += machine.gram[k, k]
    bound *= h * heaviest(origin)[1] / n
    if bound < FREE:
        step.decay[:] = 0.0
        step.matrix[:] = 0.0
        for k in range(n):
            step.matrix[k, k] = 1.0
        return bound
    relaxation(machine.gates, origin, machine.room.groups, machine.sums, machine.room, machine.gram, step.decay)
    step.decay[:] *= h
    factor(step)
    return _row_sum(step.decay)


@compiled
def solve(machine, origin, state, r, dr, ddr, h):  # type: ignore[no-untyped-def]
    """The residual's course over h from the origin into step.course, with its derivatives there: predicted, swept and
    corrected. The prediction is its relaxation, with the second derivative where that is not stiff. False where it is
    wild."""
    step = machine.step
    decay, course = step.decay, step.course
    excess = _relaxed(machine, _relaxed(machine, h * h * ddr + h * np.dot(decay, dr)))
    rise = _relaxed(machine, h * dr + 0.5 * excess)
    _hermite(r, dr, r + rise, dr + (excess - np.dot(decay, rise)) / h, h, course)
    if _sweep(machine, origin, state, course, h) < 0.0:
        return False
    end, expected = step.end, _value(course, 1.0)
    corrected = expected + _relaxed(machine, end[0] - expected)
    _hermite(r, dr, corrected, end[1] - np.dot(decay, corrected - end[0]) / h, h, course)
    return True


@compiled
def residual_scale(machine, r, size, stiffness, rtol, floor, rounding):  # type: ignore[no-untyped-def]
    """What an error of the residual r is relative to: r itself, but no less than `floor` of the labels, nor than
    leaves the tolerance above rounding, which slopes and the step amplify by the stiffness."""
    labels = _rms(machine.y)
    return _rms(r) + floor * labels + rounding / rtol * stiffness * (labels + size) + 2.3e-308


@compiled
def attempt(machine, origin, state, h, rtol, floor, rounding):  # type: ignore[no-untyped-def]
    """A step of length h from the origin, into `state` and step.end, and its error over the tolerance: of the
    residual, relative, and of h ||sum_k r_k x_k|| / n, which drives the log-norms; told by the last sweep's correction
    and, for the drive, by the cubic term, whose mean is 1/12. Infinite where it fails."""
    step = machine.step
    machine.room.counts[:] = 0
    stiffness = min(STIFFEST, 1.0 + relax(machine, origin, h))
    r, dr = step.start[0], step.start[1]
    if not solve(machine, origin, state, r, dr, step.start[2], h):
        return np.inf
    machine.room.counts[:] = 0
    size = _sweep(machine, origin, state, step.course, h)
    if size < 0.0 or machine.room.counts[2] > 0:
        return np.inf
    _hermite(r, dr, step.end[0], step.end[1], h, step.final)
    step.end[2] = (2.0 * step.final[2] + 6.0 * step.final[3]) / (h * h)
    scale = residual_scale(machine, step.end[0], size, stiffness, rtol, floor, rounding)
    largest = 0.0
    for i in range(3):
        if i < 2:
            drive = _value(step.final, 0.5 * (i + 1)) - _value(step.course, 0.5 * (i + 1))
            largest = max(largest, _rms(drive) / scale)
        else:
            drive = step.final[3] / 12.0
        pull = np.dot(drive, machine.gates.inputs)
        largest = max(largest, h * np.sqrt(np.dot(pull, pull)) / machine.y.size)
    return largest / rtol if np.isfinite(largest) else np.inf


@compiled
def at_part(machine, origin, state, h):  # type: ignore[no-untyped-def]
    """The state at the time h after the origin, where h is part of the last step, whose h K and cubic step.decay and
    step.final are, both for this part alone. Inside a stiff step the network does not follow the cubic of the whole."""
    step = machine.step
    if _row_sum(step.decay) > 1.0:
        factor(step)
        final = step.final
        if solve(machine, origin, state, final[0], final[1] / h, 2.0 * final[2] / (h * h), h):
            move_along(machine, origin, state, step.course, h)
            return
    move_along(machine, origin, state, step.final, h)


class Splitting(Integrator):
    """Fourth order, through all kinks, on any data; seven evaluations a step."""

    method: ClassVar[str] = "splitting"
    order: ClassVar[int] = 4

    def __init__(self, problem: Problem, state: State, time: float, rtol: float) -> None:
        super().__init__(problem, state, time, rtol)
        self.machine, self._spare = machine_of(problem), state.copy()
        step, room, sums = self.machine.step, self.machine.room, self.machine.sums
        residual(problem.gates, state, problem.y, room.groups, sums, step.start[0])
        slope(problem.gates, state, step.start[0], room.groups, sums, room, step.start[1])

    def arrays(self) -> dict[str, Array]:
        step = self.machine.step
        return {"start": step.start, "final": step.final, "decay": step.decay}

    def at(self, time: float) -> State:
        if time == self.time:
            return self.state
        step, length = self.machine.step, self.time - self.began
        theta, moved = (time - self.began) / length, self.state.copy()
        final, decay = step.final.copy(), step.decay.copy()
        step.final[...] *= (theta ** np.arange(4))[:, None]
        step.decay[...] *= theta
        at_part(self.machine, self.origin, moved, theta * length)
        step.final[...], step.decay[...] = final, decay
        return moved

    def attempt(self, h: float) -> float:
        self.counters["evaluations"] += 7
        step, room = self.machine.step, self.machine.room
        error = float(attempt(self.machine, self.state, self._spare, h, self.rtol, FLOOR, ROUNDING))
        if error <= 1:
            self.origin, self.state, self._spare = self.state, self._spare, self.origin
            if self._spare is self.state or self._spare is self.origin:
                self._spare = self.state.copy()
            self.began, self.time = self.time, self.time + h
            step.start[:] = step.end
            self.counters["gate_events"] += int(room.counts[0])
            self.counters["sliding_episodes"] += int(room.counts[1])
        return error
