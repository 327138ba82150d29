"""From one critical point to the next, in the limit lambda -> 0: the flow of the active neurons and of a cluster that
starts at a vanishing size, with the dormant neurons carried along."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gfflow.compiled import compiled
from gfflow.errors import Unresolved
from gfflow.motion.flow.coordinates import Array, Problem, State
from gfflow.motion.flow.splitting import Splitting
from gfflow.motion.gates import OFF, ON, SLIDING, forces
from gfflow.motion.groups import regroup
from gfflow.motion.state import group_field

SEED = 1e-5  # size of the cluster from which its flow is integrated: it changes the residual by the order of SEED^2
PASSIVE = 1e6  # by which the logarithms of dormant neurons are lowered, so that they do not act
ARRIVED = 1e-8  # of the largest label: distance of the residual from that of the critical point
RESTING = 1e-6  # of the sum of all forces: a field below this may be that of a neuron at rest
WEIGHTLESS = 1e-12  # square of a norm below which a neuron does not act
RANK = 1e-9  # singular values below this part of the largest are zero
MOST_STEPS = 200_000


@dataclass(frozen=True, eq=False)
class Transition:
    """The flow between two critical points; times count from the moment at which the cluster has the size SEED."""

    state: State  # at the end
    residual: Array  # (n,), of the critical point reached, exact
    duration: float
    steps: tuple[tuple[float, float, Array], ...]  # begin, length, and the residual's cubic (4, n) in t / length
    asleep: NDArray[np.bool_]  # (m,), active neurons that have fallen to zero

    def time_below(self, loss: float) -> float:
        """When sum_k r_k^2 / (2n) first falls below `loss`."""
        half = 2 * len(self.residual)
        for begin, length, course in self.steps:
            if ((course.sum(axis=0)) ** 2).sum() / half < loss:
                low, high = 0.0, 1.0
                for _ in range(60):
                    middle = (low + high) / 2
                    value = (((middle ** np.arange(4)) @ course) ** 2).sum() / half
                    low, high = (low, middle) if value < loss else (middle, high)
                return begin + high * length
        raise Unresolved("the loss does not fall on the way to a critical point")


@compiled
def _field_sizes(gates, state, r, room, sizes):  # type: ignore[no-untyped-def]
    """||D_j|| of all neurons with the gates as they are, into sizes (m,); returns the sum of all forces."""
    size = forces(gates, r, room.force, room.base)
    for i in range(regroup(room.groups, state.key)):
        members = room.groups.order[room.groups.first[i] : room.groups.first[i + 1]]
        group_field(gates, state, members[0], room)
        length = np.sqrt((room.group.d**2).sum())
        for j in members:
            sizes[j] = length
    return size


def critical_residual(problem: Problem, state: State, acting: NDArray[np.bool_]) -> Array:
    """The residual at which the acting neurons, with their gates, rest: that of the least loss that their w can
    reach. A neuron's outputs on its active samples are any X_A w with w across its gates at zero."""
    gates, columns = problem.gates, []
    for states in np.unique(state.gate[acting], axis=0):
        active = states[gates.gate] == np.where(gates.side > 0, ON, OFF)
        normals = gates.normal[states >= SLIDING]
        across = _complement(normals, gates.normal.shape[1])
        columns.append((active[:, None] * gates.inputs) @ across)
    if not columns:
        return problem.y.copy()
    left, values, _ = np.linalg.svd(np.hstack(columns), full_matrices=False)
    basis = left[:, values > RANK * values.max(initial=1e-300)]
    r = problem.y - basis @ (basis.T @ problem.y)
    r -= basis @ (basis.T @ r)
    r[np.abs(r) <= 1e-13 * np.abs(problem.y).max()] = 0.0
    return np.asarray(r)


def _complement(normals: Array, q: int) -> Array:
    """An orthonormal basis (q, p) of the complement of the rows."""
    if len(normals) == 0:
        return np.eye(q)
    _, values, right = np.linalg.svd(normals)
    return np.asarray(right[int((values > RANK).sum()) :].T)


def run(problem: Problem, state: State, dormant: NDArray[np.bool_], rtol: float) -> Transition:
    """Integrates to the next critical point. The state's dormant neurons have their constants kappa as log-norms; all
    others act. Raises Unresolved where none is reached."""
    lowered = np.where(dormant, PASSIVE, 0.0)
    start = problem.start
    problem = replace(problem, start=start._replace(scale=start.scale - lowered, beside=start.beside - lowered))
    state = state._replace(rho=state.rho - lowered, omega=state.omega - lowered, margin=np.zeros(len(lowered)))
    flow = Splitting(problem, state.copy(), 0.0, rtol)
    machine, steps, sizes = flow.machine, [], np.zeros(len(lowered))
    largest, mass = float(np.abs(problem.y).max()), _mass(state, dormant)
    began, size = False, _field_sizes(problem.gates, state, problem.y, machine.room, sizes)
    while flow.counters["steps"] < MOST_STEPS:
        flow.step()
        steps.append((flow.began, flow.time - flow.began, machine.step.final.copy()))
        began = began or abs(_mass(flow.state, dormant) - mass) > 1e3 * SEED**2
        if not began:
            continue
        r = flow.residual
        acting = ~dormant & (np.exp(2 * flow.state.rho) > WEIGHTLESS)
        _field_sizes(problem.gates, flow.state, r, machine.room, sizes)
        if (sizes[acting] > RESTING * size).any():
            continue
        exact = critical_residual(problem, flow.state, acting)
        if np.abs(exact - r).max() > ARRIVED * largest:
            continue
        size = _field_sizes(problem.gates, flow.state, exact, machine.room, sizes)
        end = flow.state._replace(rho=flow.state.rho + lowered, omega=flow.state.omega + lowered).copy()
        asleep = ~dormant & ~acting & (sizes > RESTING * size)
        return Transition(end, exact, flow.time, tuple(steps), asleep)
    raise Unresolved(f"no critical point is reached within {MOST_STEPS} steps of the flow")


def _mass(state: State, dormant: NDArray[np.bool_]) -> float:
    return float(np.exp(2 * state.rho[~dormant]).sum())
