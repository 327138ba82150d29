"""A step of the splitting (motion/flow/splitting.py), compiled: the residual's cubic, its relaxation, the error.

A step is one compiled call, in room that is made once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import compiled
from gfflow.motion.flow.coordinates import Problem
from gfflow.motion.flow.integrator import KNOWN
from gfflow.motion.frozen_residual import move
from gfflow.motion.response import Sums, heaviest, new_sums, relaxation, residual, slope
from gfflow.motion.state import Room, new_room
from gfflow.motion.target import steepest, to_relaxation

NODES = (0.5 - math.sqrt(3) / 6, 0.5 + math.sqrt(3) / 6)  # Gauss
NEAR, FAR = 0.5 + math.sqrt(3) / 3, 0.5 - math.sqrt(3) / 3  # weights of the nodes in the two motions
STIFFEST = 100.0  # h ||K|| up to which the rounding that it amplifies is let pass
WILD = 100.0  # a residual that has grown by this factor is no step's solution
TINY = 2.3e-308  # no division by zero
STALE = 0.05  # part of the network that may have changed since K was computed, at most; K steers, it does not judge
FREE = 1e-7  # h ||K|| below which nothing relaxes within the step


class Step(NamedTuple):
    """Room for a step: the residual's course and what it is found with."""

    start: Any  # (3, n): r, its first and its second derivative where the step begins
    end: Any  # (3, n): the same where it ends
    course: Any  # (4, n), coefficients in t/h of the cubic that the neurons are moved along
    final: Any  # (4, n), of the cubic through the ends that have come out
    decay: Any  # (n, n), h K
    matrix: Any  # (n, n), the Cholesky factor of 1 + h K / 2 + (h K)^2 / 12; its inverse where K is not symmetric
    mass: Any  # (m,), max(||w_j||, |a_j|)^2 where K was computed; NaN before
    v: Any  # (m, Q), as they were there
    gate: Any  # (m, g) int8
    kernel: Any  # (n, n), that K
    symmetric: bool  # whether K is


class Tolerance(NamedTuple):
    """What a step's error is measured by."""

    rtol: float
    floor: float  # residuals below this part of the labels need no relative accuracy
    rounding: float  # of a residual, relative to what it is a difference of


class Machine(NamedTuple):
    """All that a compiled step works with."""

    gates: Any
    origin: Any  # Start
    gram: Any
    y: Any
    target: Any  # Target
    room: Room
    sums: Sums
    step: Step
    eta: float  # the step size of the descent that is followed; 0 for the flow itself


def machine_of(problem: Problem, rtol: float, eta: float = 0.0) -> Machine:
    """The machine of a problem, with empty room."""
    n, m = problem.n, len(problem.rest)
    size = problem.gates.normal.shape[1]
    courses = (np.zeros((rows, n)) for rows in (3, 3, 4, 4, n, n))
    network = np.full(m, np.nan), np.zeros((m, size)), np.zeros((m, len(problem.gates.normal)), np.int8)
    parts = (np.ascontiguousarray(part) for part in (*courses, *network, np.zeros((n, n))))
    step = Step._make([*parts, problem.target.plain])
    room, sums = new_room(problem.gates, m), new_sums(n, size)
    for field in (room.group, room.alone):
        field.slack[0] = max(field.slack[0], KNOWN * rtol)
    return Machine(problem.gates, problem.start, problem.gram, problem.y, problem.target, room, sums, step, eta)


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
def value(course, theta):  # type: ignore[no-untyped-def]
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
def _relaxed(step, b):  # type: ignore[no-untyped-def]
    """(1 + h K / 2 + (h K)^2 / 12)^{-1} b, by the Cholesky factor where K is symmetric."""
    lower = step.matrix
    if not step.symmetric:
        return np.dot(lower, b)
    x, n = b.copy(), b.size
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
def factor(step):  # type: ignore[no-untyped-def]
    """The Cholesky factor of 1 + h K / 2 + (h K)^2 / 12, positive definite whatever the rounding in K; the inverse
    where K is a product of two positive matrices, so that its eigenvalues are real and not negative."""
    matrix = np.dot(step.decay, step.decay) / 12.0 + 0.5 * step.decay
    for k in range(matrix.shape[0]):
        matrix[k, k] += 1.0
    if step.symmetric:
        step.matrix[:] = np.linalg.cholesky(matrix)
    elif np.isfinite(matrix).all():
        step.matrix[:] = np.linalg.inv(matrix)
    else:
        step.matrix[:] = np.nan  # beyond the finite numbers: the step fails


@compiled
def _changed(step, origin, by_gate):  # type: ignore[no-untyped-def]
    """By what part the network has changed since K was computed; infinite where it was not. A neuron that has changed
    its state at a gate counts whole for the samples there, of which those that have changed most are told."""
    change, total = 0.0, 0.0
    by_gate[:] = 0.0
    for j in range(step.mass.size):
        mass = np.exp(2.0 * origin.rho[j])
        total += mass
        square = 0.0
        for q in range(step.v.shape[1]):
            square += (step.v[j, q] - origin.v[j, q]) ** 2
        change += abs(mass - step.mass[j]) + mass * np.sqrt(square)
        for g in range(by_gate.size):
            if step.gate[j, g] != origin.gate[j, g]:
                by_gate[g] += mass
    change += by_gate.max()
    return change / total if change < np.inf else np.inf


@compiled
def relax(machine, origin, h, rtol):  # type: ignore[no-untyped-def]
    """h K and its factor into the step; K from a step before where it is right to the root of rtol: each of the two
    corrections of a step leaves that part of the error."""
    step, n, bound = machine.step, machine.y.size, 0.0
    for k in range(n):
        bound += machine.gram[k, k]
    bound *= h * heaviest(origin)[1] / n
    if not machine.target.plain:
        bound *= steepest(machine.target, step.start[0])
    if bound < FREE:
        step.decay[:] = 0.0
        step.matrix[:] = 0.0
        for k in range(n):
            step.matrix[k, k] = 1.0
        return
    if _changed(step, origin, machine.room.z) > min(STALE, np.sqrt(rtol)):
        relaxation(machine.gates, origin, machine.room.groups, machine.sums, machine.room, machine.gram, step.kernel)
        step.mass[:] = np.exp(2.0 * origin.rho)
        step.v[:] = origin.v
        step.gate[:] = origin.gate
    step.decay[:] = h * step.kernel
    if not machine.target.plain:
        to_relaxation(machine.target, step.start[0], step.decay)
    factor(step)


@compiled
def _predict(step, h):  # type: ignore[no-untyped-def]
    """The course of the residual by its relaxation, with the second derivative where that is not stiff."""
    r, dr, ddr, decay = step.start[0], step.start[1], step.start[2], step.decay
    excess = h * h * ddr + h * np.dot(decay, dr)
    for _ in range(3):  # the cubic's second derivative is wrong by up to (h K)^4 / 12 of a stiff residual
        excess = _relaxed(step, excess)
    rise = _relaxed(step, h * dr + 0.5 * excess)
    _hermite(r, dr, r + rise, dr + (excess - np.dot(decay, rise)) / h, h, step.course)


@compiled
def _correct(step, h):  # type: ignore[no-untyped-def]
    """The course anew, from where the network has come to along it."""
    end, expected = step.end, value(step.course, 1.0)
    corrected = expected + _relaxed(step, end[0] - expected)
    dend = end[1] - np.dot(step.decay, corrected - end[0]) / h
    _hermite(step.start[0], step.start[1], corrected, dend, h, step.course)


@compiled
def _judge(machine, h, size, tolerance):  # type: ignore[no-untyped-def]
    """The error of the last sweep over the tolerance: of the residual, relative, and of h ||sum_k r_k x_k|| / n,
    which drives the log-norms; told by the sweep's correction and, for the drive, by the cubic term (mean 1/12).

    An error of the residual r is relative to r itself, but to no less than `floor` of the labels, nor than leaves the
    tolerance above rounding, which slopes and the step amplify by the stiffness. Residuals of another loss than the
    square are no differences, and as small as they may be: they have no floor, and their rounding is that of h."""
    step, labels = machine.step, _rms(machine.y)
    if not machine.target.plain:
        labels, size = 0.0, size * steepest(machine.target, step.end[0])
    stiffness = min(STIFFEST, 1.0 + _row_sum(step.decay))
    _hermite(step.start[0], step.start[1], step.end[0], step.end[1], h, step.final)
    step.end[2] = (2.0 * step.final[2] + 6.0 * step.final[3]) / (h * h)
    scale = _rms(step.end[0]) + tolerance.floor * labels + TINY
    scale += tolerance.rounding / tolerance.rtol * stiffness * (labels + size)
    largest = 0.0
    for i in range(3):
        if i < 2:
            drive = value(step.final, 0.5 * (i + 1)) - value(step.course, 0.5 * (i + 1))
            largest = max(largest, _rms(drive) / scale)
        else:
            drive = step.final[3] / 12.0
        pull = np.dot(drive, machine.gates.inputs)
        largest = max(largest, h * np.sqrt(np.dot(pull, pull)) / machine.y.size)
    return largest / tolerance.rtol if np.isfinite(largest) else np.inf


@compiled
def travel(machine, origin, state, h, sweeps, tolerance):  # type: ignore[no-untyped-def]
    """The network for the time h from the origin, in `state`; step.start has the residual and its derivatives there.

    sweeps 2: a step, with what it ends with in step.end, and its error over the tolerance, infinite where it fails.
    1 and 0: part of a step that has been judged, whose h K and cubic are in step.decay and step.final; 1 inside a
    stiff step, where the network does not follow the cubic of the whole, so that its own is found by a sweep; else 0.
    """
    step, room, sums = machine.step, machine.room, machine.sums
    if sweeps == 2:
        relax(machine, origin, h, tolerance.rtol)
    elif sweeps == 1:
        factor(step)
    size = 0.0
    for turn in range(3):
        if turn == 0 and sweeps > 0:
            _predict(step, h)
        elif turn == 0:
            step.course[:] = step.final
        else:
            _correct(step, h)
        copy_state(origin, state)
        room.counts[:] = 0
        room.watch[:] = 0.0
        near, far = value(step.course, NODES[0]), value(step.course, NODES[1])
        for half in range(2):
            mean = NEAR * near + FAR * far if half == 0 else FAR * near + NEAR * far
            move(machine.gates, state, 0.5 * h, mean, machine.origin, machine.eta, room)
        if turn == sweeps:
            return 0.0
        size = residual(machine.gates, state, machine.target, room.groups, sums, step.end[0])
        if not np.abs(step.end[0]).max() < WILD * (_rms(machine.y) + _rms(step.start[0])):
            return np.inf
        slope(machine.gates, state, machine.target, step.end[0], room.groups, sums, room, step.end[1])
        if turn == 1:
            break
    return np.inf if room.counts[2] > 0 else _judge(machine, h, size, tolerance)
