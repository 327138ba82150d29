"""Descent by groups where they pay, and neuron by neuron where they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.solvers.base import Abandoned, never

BUILD = 500.0  # nanoseconds that forming the groups takes a neuron, measured
LEAST = 3000.0  # nanoseconds of a step of the direct form from which on groups may be cheaper
PIECE = 1024  # steps after which the loop begins anew
PATIENCE = 1e8  # nanoseconds, of the direct form, between two looks at whether to stop
CHATTERERS = 1000  # neurons that chatter on one gate from which on they cost less together than one by one, measured
REST = 256  # steps that the direct form does before groups are tried again, doubled each time in vain


def most_patterns(n: int, d: int) -> int:
    """How many sets of n samples in R^d can be the open ones of a neuron (Cover 1965): 2 sum_{i<d} C(n-1, i)."""
    return 2 * sum(math.comb(n - 1, i) for i in range(min(d, n)))


def direct_cost(n: int, d: int, m: int) -> float:
    """Nanoseconds that a step of the other forms takes, neuron by neuron: of one machine, to choose by."""
    return (0.2 if n * d <= 25 else 0.5) * n * min(n, d) * m


def may_pay(n: int, d: int, m: int) -> bool:
    """Whether groups of equal gates may cost less than neurons one by one: decided by the shape alone."""
    return direct_cost(n, d, m) >= LEAST and 4 * most_patterns(n, d) <= m


class Grouped:
    """Gradient descent on L (Eq. 1) with step size lr for one training set x (n, d), y (n,), by groups where they
    pay and otherwise, or in between, by `direct`, a function of (w, a, steps) that does steps in place.

    A call does `steps` steps in place on w (m, d) and a (m,), float64 or float32 (groups compute in float64). What is
    kept between calls is the weights alone. Raises Abandoned, with w and a as they were, where `stop` says so.
    `always` forms groups whatever they cost, to see that they are right; `code` is the loss's.
    """

    def __init__(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        lr: float,
        direct: Callable[[Any, Any, int], None],
        always: bool = False,
        code: int = 0,
    ) -> None:
        self.code = code
        self.x, self.y, self.lr = x.astype(np.float64), y.astype(np.float64), float(lr)
        self.direct, self.always = direct, always
        words = np.random.default_rng(0).integers(1, 2**63, size=len(x), dtype=np.int64)
        self.keys = words.astype(np.uint64)

    def __call__(self, w: NDArray[Any], a: NDArray[Any], steps: int, stop: Callable[[], bool] = never) -> None:
        moved, outputs = w.copy(), a.copy()
        n, d = self.x.shape
        rest, piece = REST, max(1, int(PATIENCE / direct_cost(n, d, len(a))))
        while steps > 0:
            done = self.by_groups(moved, outputs, steps, stop)
            steps -= done
            rest = 2 * rest if done < rest else REST
            directly = min(steps, rest)
            steps -= directly
            while directly > 0:
                if stop():
                    raise Abandoned
                self.direct(moved, outputs, min(piece, directly))
                directly -= piece
        w[:], a[:] = moved, outputs

    def by_groups(self, w: NDArray[Any], a: NDArray[Any], steps: int, stop: Callable[[], bool]) -> int:
        """At most `steps` steps in place, as long as groups are cheaper; how many."""
        from gfflow.solvers.grouped import forming, loop  # numba is imported only when it is needed
        from gfflow.solvers.grouped.state import PATTERNS

        (n, d), m, done = self.x.shape, len(a), 0
        direct, build = math.inf if self.always else direct_cost(n, d, m), BUILD * m
        looks = max(1, int(PATIENCE / direct_cost(n, d, m)))  # the steps between two of them
        theta = np.column_stack([w, a]).astype(np.float64)
        finite = bool(np.isfinite(theta).all())
        why = loop.DONE if finite else loop.HAND_OVER
        while done < steps and why != loop.HAND_OVER:
            most, many = (m, min(m, 8)) if self.always else (m // 4, CHATTERERS)
            state = forming.form(theta, self.x, self.y, self.keys, most, many)
            if state is None:
                break
            if state.counts[PATTERNS] == 1:
                return steps  # every neuron is dead
            began, why = done, loop.DONE
            while done < steps and why == loop.DONE:
                piece, count = min(PIECE, steps - done), -1
                while count < piece and why == loop.DONE:
                    if stop():
                        raise Abandoned
                    until = min(piece, max(count, 0) + looks)
                    count, why = loop.descend_grouped(state, self.lr, self.code, count, until, direct, build, theta)
                done += count
            forming.write_back(state, theta)
            if why == loop.REBUILD and (done - began) * direct < 2 * build:
                break  # so soon that the groups have cost more than they saved
        w[:], a[:] = theta[:, :-1], theta[:, -1]
        return done
