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

import math
from typing import Any, ClassVar

import numpy as np

from gfflow.motion.flow.integrator import Integrator, rms
from gfflow.motion.flow.state import Array, Problem, State
from gfflow.motion.frozen_residual import move, relaxation, residual, slope

NODES = (0.5 - math.sqrt(3) / 6, 0.5 + math.sqrt(3) / 6)  # Gauss
NEAR, FAR = 0.5 + math.sqrt(3) / 3, 0.5 - math.sqrt(3) / 3  # weights of the nodes in the two motions
STIFFEST = 100.0  # h ||K|| up to which the rounding that it amplifies is let pass
WILD = 100.0  # a residual that has grown by this factor is no step's solution


def hermite(r: Array, dr: Array, end: Array, dend: Array, h: float) -> Array:
    """Coefficients (4, n), in theta = t / h, of the cubic through residuals r, end with the slopes dr, dend."""
    rise = end - r
    return np.stack([r, h * dr, 3 * rise - h * (2 * dr + dend), h * (dr + dend) - 2 * rise])


def value(course: Array, theta: float) -> Array:
    """The cubic with the coefficients (4, n) at theta, shape (n,)."""
    return course[0] + theta * (course[1] + theta * (course[2] + theta * course[3]))


def _norm(matrix: Array) -> float:
    """The largest row sum of absolute values."""
    return float(np.abs(matrix).sum(axis=1).max())


class Splitting(Integrator):
    """Fourth order, through all kinks, on any data; seven evaluations a step."""

    method: ClassVar[str] = "splitting"
    order: ClassVar[int] = 4

    def __init__(self, problem: Problem, state: State, time: float, rtol: float) -> None:
        super().__init__(problem, state, time, rtol)
        self.r = residual(state.z, state.a, state.log_scale, problem.y)
        self.dr = slope(state.z, state.a, state.gate, state.log_scale, self.r, problem.gram)
        self.ddr = np.zeros(problem.n)
        self.course = hermite(self.r, self.dr, self.r, self.dr, self.h)  # of the last step, with its K h
        self.decay = np.zeros_like(problem.gram)

    def arrays(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in ("r", "dr", "ddr", "course", "decay")}

    def at(self, time: float) -> State:
        if time == self.time:
            return self.state
        length = self.time - self.began
        theta, course = (time - self.began) / length, self.course
        if theta * _norm(self.decay) > 1:  # inside a stiff step the network does not follow the cubic of the whole
            r, dr, ddr = course[0], course[1] / length, 2 * course[2] / length**2
            solved = self._solved(self.origin, r, dr, ddr, theta * length, theta * self.decay)
            if solved is not None:
                return self._moved(self.origin, solved, theta * length)[0]
        part = course * (theta ** np.arange(4))[:, None]
        return self._moved(self.origin, part, theta * length)[0]

    def attempt(self, h: float) -> float:
        self.counters["evaluations"] += 7
        state = self.state
        decay = h * relaxation(state.z, state.a, state.gate, state.log_scale, self.problem.gram)
        course = self._solved(state, self.r, self.dr, self.ddr, h, decay)
        second = None if course is None else self._swept(state, course, h)
        if course is None or second is None:
            return np.inf
        state, r, dr, counts = second
        if counts[2]:  # gates that do not settle
            return np.inf
        final = hermite(self.r, self.dr, r, dr, h)
        error = self._error(final, course, h, min(STIFFEST, 1.0 + _norm(decay)))
        if error <= 1:
            self.origin, self.began, self.course, self.decay = self.state, self.time, final, decay
            self.state, self.time = state, self.time + h
            self.r, self.dr, self.ddr = r, dr, (2 * final[2] + 6 * final[3]) / h**2
            self.counters["gate_events"] += int(counts[0])
            self.counters["sliding_episodes"] += int(counts[1])
        return error

    def _solved(self, state: State, r: Array, dr: Array, ddr: Array, h: float, decay: Array) -> Array | None:
        """The residual's course over h from the state, with its derivatives there: predicted, swept and corrected.

        The prediction is its relaxation, with the second derivative where that is not stiff. None where it is wild.
        """
        inverse = np.linalg.inv(np.eye(self.problem.n) + decay / 2 + decay @ decay / 12)
        excess = inverse @ (inverse @ (h * h * ddr + h * decay @ dr))
        rise = inverse @ (h * dr + excess / 2)
        course = hermite(r, dr, r + rise, dr + (excess - decay @ rise) / h, h)
        swept = self._swept(state, course, h)
        if swept is None:
            return None
        _, end, dend, _ = swept
        corrected = value(course, 1.0) + inverse @ (end - value(course, 1.0))
        return hermite(r, dr, corrected, dend - decay @ (corrected - end) / h, h)

    def _swept(self, state: State, course: Array, h: float) -> tuple[State, Array, Array, Any] | None:
        """The network moved along the course, its residual and slope, and counts; None where they are absurd."""
        problem = self.problem
        state, counts = self._moved(state, course, h)
        r = residual(state.z, state.a, state.log_scale, problem.y)
        if not np.abs(r).max() < WILD * (rms(problem.y) + rms(course[0])):
            return None
        return state, r, slope(state.z, state.a, state.gate, state.log_scale, r, problem.gram), counts

    def _moved(self, state: State, course: Array, h: float) -> tuple[State, Any]:
        """The state moved along the course for the time h, by two motions, and counts."""
        problem, moved, counts = self.problem, state.copy(), np.zeros(3, np.int64)
        near, far = (value(course, node) / problem.n for node in NODES)
        for c in (NEAR * near + FAR * far, FAR * near + NEAR * far):
            move(
                moved.z,
                moved.a,
                moved.gate,
                moved.log_scale,
                h / 2,
                c,
                problem.gram,
                problem.sizes,
                problem.balanced,
                counts,
            )
        return moved, counts

    def _error(self, final: Array, course: Array, h: float, stiffness: float) -> float:
        """The error over the tolerance: of the residual, relative, and of h ||sum_k r_k x_k|| / n, which drives the
        log-norms; told by the last sweep's correction and, for the drive, by the cubic term, whose mean is 1/12."""
        corrections = [value(final, theta) - value(course, theta) for theta in (0.5, 1.0)]
        scale = self.residual_scale(value(final, 1.0), stiffness)
        drives = [*corrections, final[3] / 12]
        gram = self.problem.gram
        return float(
            max(
                max(rms(v) / scale for v in corrections),
                max(h * np.sqrt(max(0.0, v @ gram @ v)) / self.problem.n for v in drives),
            )
            / self.rtol
        )
