"""Dormant neurons in the limit lambda -> 0: of vanishing size, each alone in the frozen field of a residual.

With ell = ln(1/lambda) a dormant neuron has the log-norm -level * ell + kappa. Within a time O(1) it reaches its
extremal direction, the one ray that its gates leave it, or rest; from there its log-norm is linear in time. What it
has across a line along which it shrinks is kept to its own level: it turns round when it has shrunk down to that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gfflow.errors import Unresolved
from gfflow.motion.flow.coordinates import Array, Problem
from gfflow.motion.frozen_residual import move
from gfflow.motion.gates import forces
from gfflow.motion.outlook import GROWS, RESTS, SHRINKS, TURNS, Outlook, look_out, new_outlook
from gfflow.motion.state import State, new_room, of_neurons

STILL = 1e-10  # of the sum of all forces: a field below this is zero but for rounding
ALIGNED = 1e-13  # sine of the angle to a ray, below which it is rounding
DOUBLINGS = 60
RETURN = 20.0  # e-folds above what a shrinking neuron has across its line, from where it is moved exactly again


@dataclass
class Levels:
    """The coefficients of ell in the neurons' logarithms, and what goes with them; all arrays have the shape (m,).

    `state.rho`, `state.omega` and the start's `beside` hold the constants beside these coefficients.
    """

    norm: Array  # of -ell in the log-norm; 1 at the start, 0 for an active neuron
    across: Array  # of -ell in `deep`; NaN where there is none
    deep: Array  # what a neuron has across its line, where that is infinitely less than the neuron: logarithm

    @classmethod
    def at_start(cls, m: int) -> Levels:
        return cls(np.ones(m), np.full(m, np.nan), np.full(m, np.nan))


def start_for(problem: Problem, levels: Levels) -> Problem:
    """The problem as neurons of these levels see it: beside one that has grown, what stays of its start is 0."""
    grown = levels.norm < 1.0
    start = problem.start
    imbalance, beside = start.imbalance.copy(), start.beside.copy()
    imbalance[grown], beside[grown] = 0.0, -np.inf
    return replace(problem, start=start._replace(imbalance=imbalance, beside=beside))


@dataclass(frozen=True, eq=False)
class Settled:
    """All m neurons in the frozen field of a residual, once their gates change no more."""

    state: State  # rho is kappa: the log-norm is -level ell + kappa + growth t, t counted from where they began
    growth: Array  # (m,), of either sign; zero at rest, and for active neurons
    shrinks: NDArray[np.bool_]  # (m,), on the one line that their gates leave them
    time: Array  # (m,), by which each had settled, to a factor of 2

    def at(self, time: float) -> State:
        """The state with the log-norms of this time."""
        return self.state._replace(rho=self.state.rho + self.growth * time)


def settle(problem: Problem, state: State, r: Array, dormant: NDArray[np.bool_]) -> Settled:
    """Moves the dormant neurons of a state, alone, in the field of r until their gates change no more.

    Raises Unresolved where a neuron does not come to an end, or stands exactly on a ray that it will leave.
    """
    state = state.copy()
    growth, time, shrinks = np.zeros(len(state.rho)), np.zeros(len(state.rho)), np.zeros(len(state.rho), bool)
    size = _size(problem, r)
    chosen, elapsed, duration = np.flatnonzero(dormant), 0.0, 1.0 / size if size > 0 else 0.0
    for _ in range(DOUBLINGS):
        if len(chosen) == 0 or size == 0:
            return Settled(state, growth, shrinks, time)
        moved, start = of_neurons(state, chosen), of_neurons(problem.start, chosen)
        room, out = new_room(problem.gates, len(chosen)), new_outlook(moved)
        look_out(problem.gates, moved, r, start, room, out)
        _check_rays(moved, out, STILL * size, chosen)
        move(problem.gates, moved, duration, r, start, 0.0, room)
        elapsed += duration
        look_out(problem.gates, moved, r, start, room, out)
        out.fate[np.abs(out.rate) <= STILL * size] = RESTS
        _take(moved, out, state, chosen, elapsed)
        done = out.fate != TURNS
        growth[chosen[done]] = np.where(out.fate == RESTS, 0.0, out.rate)[done]
        shrinks[chosen[done]] = (out.fate == SHRINKS)[done]
        time[chosen] = elapsed
        chosen, duration = chosen[~done], elapsed
    raise Unresolved(f"neuron {chosen[0]} does not come to rest in the field of a critical point")


def _size(problem: Problem, r: Array) -> float:
    gates = problem.gates
    return float(forces(gates, r, np.zeros(len(gates.normal)), np.zeros(gates.normal.shape[1])))


def _take(moved: State, out: Outlook, state: State, chosen: NDArray[np.int64], elapsed: float) -> None:
    """Writes the moved neurons back; those that have settled with the direction and the constant they tend to."""
    for target, source in zip(state, moved, strict=True):
        target[chosen] = source
    along = (out.fate == GROWS) | (out.fate == SHRINKS)
    state.v[chosen[along]] = out.direction[along]
    state.a[chosen[along]] = np.sign(moved.a[along])
    state.rho[chosen[along]] = (out.mode - out.rate * elapsed)[along]
    state.margin[chosen] = 0.0


def _check_rays(state: State, out: Outlook, still: float, chosen: NDArray[np.int64]) -> None:
    """A neuron exactly against its field, with more than one dimension to turn to, would be turned by rounding; in a
    field of the size `still` it rests."""
    turning = np.isin(out.fate, (GROWS, TURNS)) & (out.rate > still) & np.isnan(state.omega)
    cosine = (state.v * out.direction).sum(axis=1)
    across = np.linalg.norm(state.v - cosine[:, None] * out.direction, axis=1)
    stuck = turning & (cosine < 0) & (across < ALIGNED)
    if stuck.any():
        raise Unresolved(f"neuron {chosen[stuck][0]} stands exactly against its field and may turn to any side")


def remember(problem: Problem, levels: Levels, state: State, since: Array) -> None:
    """Brings `levels` up to date with what the neurons have across their lines, after a motion that began at the
    levels `since` (m,)."""
    gone = ~np.isneginf(state.omega)
    levels.across[gone], levels.deep[gone] = np.nan, np.nan
    finite = np.isfinite(state.omega)
    levels.across[finite], levels.deep[finite] = since[finite], state.omega[finite]
    rank = problem.gates.rank
    if state.v.shape[1] > rank:  # of a neuron left one ray, the part outside the span of the inputs is all there is
        beside = problem.start.beside
        outer = np.isneginf(state.omega) & np.isnan(levels.across) & np.isfinite(beside)
        levels.across[outer], levels.deep[outer] = 1.0, beside[outer]
        state.perp[outer] = 0.0
        state.perp[outer, rank] = 1.0


def turning_times(levels: Levels, settled: Settled) -> Array:
    """After what time, in units of ell, each shrinking neuron turns round; infinite for the others. Shape (m,)."""
    times = np.full(len(levels.norm), np.inf)
    known = settled.shrinks & ~np.isnan(levels.across)
    times[known] = (levels.across - levels.norm)[known] / -settled.growth[known]
    return np.maximum(times, 0.0)


def pass_time(levels: Levels, settled: Settled, tau: float, problem: Problem) -> None:
    """Lets tau ell pass: levels move, and a neuron that has grown leaves behind what it has across its line."""
    state = settled.state
    levels.norm -= settled.growth * tau
    levels.norm[np.abs(levels.norm) < 1e-12] = 0.0
    less = ~np.isnan(levels.across) & (levels.across > levels.norm + 1e-12)
    state.omega[less] = -np.inf
    returned = (problem.start.imbalance != 0) & settled.shrinks & (levels.norm >= 1.0)
    if returned.any():
        j = int(np.flatnonzero(returned)[0])
        raise Unresolved(f"neuron {j}, not balanced, shrinks back to the size of its start, where it may turn")


def let_return(levels: Levels, state: State, j: int) -> None:
    """Puts neuron j, which has shrunk down to RETURN above what it has across its line, where `move` takes it on."""
    state.omega[j] = levels.deep[j]
    state.rho[j] = levels.deep[j] + RETURN
    levels.norm[j] = levels.across[j]
