"""The kink-exact splitting: move every neuron exactly along a given residual, then correct the residual.

A step of length h knows the residual as a cubic in time. Each neuron's linear system is solved with it by two
exponentials of fourth order (the commutator-free method of Blanes and Moan, 2006), each of them an exact motion with
a frozen residual, through all gate changes. The residual of the moved network and its slope give the cubic anew, as
the Hermite polynomial of both ends: an equation for the residual alone, solved by a prediction and two sweeps.

The residual relaxes by dr/dt = -K r. Where K is constant the Hermite equation is the (2, 2) Pade approximation of
e^{-hK}, so with M = (1 + hK/2 + (hK)^2/12)^{-1} a defect in r is corrected by M times itself: the method is
A-stable, and its steps are not bound to the fastest relaxation. It is of fourth order where the residual is smooth,
of second order across kinks, and covers a plateau, where the residual is constant, in one step.
"""

from __future__ import annotations

from time import perf_counter
from typing import ClassVar

import numpy as np

from gfflow.errors import Stalled
from gfflow.motion.flow.coordinates import Array, Problem, State
from gfflow.motion.flow.integrator import FLOOR, MOST_STEPS, ROUNDING, Integrator
from gfflow.motion.flow.step import Tolerance, machine_of, travel, value
from gfflow.motion.flow.walk import LOST, ORDER, walk
from gfflow.motion.response import residual, slope

A_WHILE = 0.05  # seconds of steps that are taken at once: so soon may a signal be answered


class Splitting(Integrator):
    """Fourth order, through all kinks, on any data; seven evaluations a step."""

    method: ClassVar[str] = "splitting"
    order: ClassVar[int] = ORDER

    def __init__(self, problem: Problem, state: State, time: float, rtol: float, eta: float = 0.0) -> None:
        super().__init__(problem, state, time, rtol)
        self.tolerance = Tolerance(rtol, FLOOR, ROUNDING)
        self.machine = machine_of(problem, rtol, eta)
        self.origin, self._spare = state.copy(), state.copy()
        self._clock, self._tally, self._at_once = np.zeros(4), np.zeros(len(self.counters), np.int64), 1
        step, room, sums = self.machine.step, self.machine.room, self.machine.sums
        residual(problem.gates, state, problem.target, room.groups, sums, step.start[0])
        slope(problem.gates, state, problem.target, step.start[0], room.groups, sums, room, step.start[1])

    def arrays(self) -> dict[str, Array]:
        step = self.machine.step
        names = ("start", "final", "decay", "kernel", "mass", "v", "gate")
        return {name: getattr(step, name) for name in names}

    @property
    def residual(self) -> Array:
        return np.asarray(self.machine.step.start[0])

    def residual_at(self, part: float) -> Array:
        """r (n,) of the merged training set at that part of the last step, 0 to 1, by its cubic."""
        return np.asarray(value(self.machine.step.final, part))

    def at(self, time: float) -> State:
        if time == self.time:
            return self.state
        step, length = self.machine.step, self.time - self.began
        theta, moved = (time - self.began) / length, self.state.copy()
        kept = step.final.copy(), step.decay.copy(), step.start.copy()
        step.final[...] *= (theta ** np.arange(4))[:, None]
        step.decay[...] *= theta
        r, rise, bend = step.final[:3] / (theta * length) ** np.arange(3)[:, None]
        step.start[...] = r, rise, 2 * bend
        stiff = np.abs(step.decay).sum(axis=1).max() > 1
        failed = travel(self.machine, self.origin, moved, theta * length, int(stiff), self.tolerance)
        if failed:
            travel(self.machine, self.origin, moved, theta * length, 0, self.tolerance)
        step.final[...], step.decay[...], step.start[...] = kept
        return moved

    def advance(self, until: float, most: int = MOST_STEPS) -> None:
        began, most = perf_counter(), min(most, self._at_once, self.check_going_on())
        self._clock[:] = self.began, self.time, self.h, self.longest
        states = self.origin, self.state, self._spare
        taken = walk(self.machine, *states, self.tolerance, self._clock, self._tally, self.corrections, until, most)
        self.origin, self.state, self._spare = (states[(i + taken) % 3] for i in range(3))
        self.began, self.time, self.h, self.longest = self._clock.tolist()
        for name, more in zip(self.counters, self._tally.tolist(), strict=True):
            self.counters[name] += more
        if taken:
            in_a_while = A_WHILE * taken / (perf_counter() - began)
            self._at_once = max(1, round(min(2.0 * self._at_once, in_a_while)))
        off = self.corrections.max()
        if off > LOST:
            raise Stalled(
                f"the flow's state has lost its digits at time {self.time:.6g}: what it conserves (lengths, "
                f"gates, balance) is off by {off:.1e}",
                f"try a smaller solver.rtol than {self.rtol:g}",
            )
        self.check_digits()
        if not taken:
            self.check_going_on()
