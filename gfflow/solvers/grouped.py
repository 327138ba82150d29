"""Grouped descent: a step costs what the groups of neurons of equal gates cost, whatever the width is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.solvers.base import Abandoned, never

Array = NDArray[np.float64]

BUILD = 500.0  # nanoseconds that forming the groups takes a neuron, measured
LEAST = 3000.0  # nanoseconds of a step of the direct form from which on groups may be cheaper
PIECE = 1024  # steps between two looks at whether to stop
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
    `always` forms groups whatever they cost, to see that they are right.
    """

    def __init__(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        lr: float,
        direct: Callable[[Any, Any, int], None],
        always: bool = False,
    ) -> None:
        self.x, self.y, self.lr = x.astype(np.float64), y.astype(np.float64), float(lr)
        self.direct, self.always = direct, always
        words = np.random.default_rng(0).integers(1, 2**63, size=len(x), dtype=np.int64)
        self.keys = words.astype(np.uint64)

    def __call__(self, w: NDArray[Any], a: NDArray[Any], steps: int, stop: Callable[[], bool] = never) -> None:
        moved, outputs = w.copy(), a.copy()
        n, d = self.x.shape
        rest, piece = REST, max(1, int(1e8 / direct_cost(n, d, len(a))))
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
        from gfflow.solvers import grouped_kernels as kernels
        from gfflow.solvers.forming import write_back
        from gfflow.solvers.grouping import PATTERNS

        (n, d), m, done = self.x.shape, len(a), 0
        direct, build = math.inf if self.always else direct_cost(n, d, m), BUILD * m
        theta = np.column_stack([w, a]).astype(np.float64)
        finite = bool(np.isfinite(theta).all())
        why = kernels.DONE if finite else kernels.HAND_OVER
        while done < steps and why != kernels.HAND_OVER:
            state = self._state(theta)
            if state is None:
                break
            if state.counts[PATTERNS] == 1:
                return steps  # every neuron is dead
            began, why = done, kernels.DONE
            while done < steps and why == kernels.DONE:
                if stop():
                    raise Abandoned
                count, why = kernels.descend_grouped(state, self.lr, min(PIECE, steps - done), direct, build, theta)
                done += count
            write_back(state, theta)
            if why == kernels.REBUILD and (done - began) * direct < 2 * build:
                break  # so soon that the groups have cost more than they saved
        w[:], a[:] = theta[:, :-1], theta[:, -1]
        return done

    def _state(self, theta: Array) -> Any:
        """The groups of the weights as they stand; None where there are too many."""
        from gfflow.solvers import forming

        m = len(theta)
        number, first = forming.classify(theta[:, :-1], self.x, self.keys, m if self.always else m // 4)
        if not len(first) and number.any():
            return None
        gates = theta[first, :-1] @ self.x.T > 0
        order, parents = chain_of_patterns(gates, theta[first, :-1])
        state = self._empty(m, 2 * len(first) + 64)._replace(theta=theta.copy())
        place = np.zeros(len(first) + 1, dtype=np.int32)
        forming.add_patterns(state, np.array(parents, dtype=np.int64), gates[order])
        place[order + 1] = np.arange(1, len(first) + 1)
        forming.form_groups(state, place[number])
        return state

    def _empty(self, m: int, patterns: int) -> Any:
        from gfflow.solvers import grouping as g

        n, d = self.x.shape
        e, groups, pages = d + 1, 2 * patterns + 64, m // g.PAGE + 2 * patterns + 64
        table = 64
        while table < 4 * patterns:
            table *= 2
        lengths = np.linalg.norm(self.x, axis=1)
        sample = np.zeros(n, g.SAMPLE)
        sample["y"], sample["inverse_length"], sample["key"] = self.y, 1 / lengths, self.keys
        planes = np.zeros((4, n, d))
        planes[0], planes[1] = self.x, self.x / lengths[:, None]
        counts = np.zeros(11, dtype=np.int64)
        counts[[g.FREE_GROUP, g.FREE_BLOCK]] = -1
        counts[g.FREE_PAGE] = pages
        page_records = np.zeros(pages, g.PAGE_RECORD)
        page_records["free"] = np.arange(pages)[::-1]
        return g.Arrays(
            sample=sample,
            planes=planes,
            counts=counts,
            clock=np.zeros(7),
            gates=np.zeros((patterns, n), np.bool_),
            patterns=np.zeros(patterns + 1, g.PATTERN),
            table=np.zeros(table, np.int64),
            edge=np.zeros(patterns * min(n, 64) + 2 * n, np.int64),
            fields=np.zeros((d, patterns)),
            total=np.zeros((d, patterns)),
            groups=np.zeros(groups, g.GROUP),
            maps=np.zeros((e * e, groups)),
            moments=np.zeros((e * e, groups)),
            work=np.zeros((4 * e, max(groups, d))),
            blocks=np.empty(m + 1, g.BLOCK),
            centre=np.empty((m + 1, e)),
            block_moments=np.empty((m + 1, e * e)),
            slots=np.full(g.SLOTS, -1, np.int64),
            theta=np.empty((0, e)),
            chain=np.empty(m, np.int64),
            pages=page_records,
            page_gates=np.zeros((pages, g.GATES), np.int64),
            residents=np.empty(pages * g.PAGE, g.RESIDENT),
            near=np.empty((e, pages * g.PAGE)),
            room=np.zeros((3 + g.GATES, g.PAGE)),
            lines=planes[:2].transpose(0, 2, 1).copy(),
            distance=np.zeros((2, n)),
            loose=np.zeros(g.LOOSE, np.int64),
        )


def chain_of_patterns(gates: NDArray[np.bool_], members: Array) -> tuple[NDArray[np.int64], list[int]]:
    """The patterns (p, n) in an order in which each differs in few gates from an earlier one, and the rank of that
    one, 0 standing for no open gate and 1 for the first in the order. In the plane they follow by angle."""
    if members.shape[1] == 2:
        order = np.arctan2(members[:, 1], members[:, 0]).argsort(kind="stable")
    elif len(gates) <= 2048:
        return nearest_first(gates)
    else:
        order = np.lexsort(gates.T)
    ordered = gates[order]
    changes = (ordered[1:] != ordered[:-1]).sum(axis=1)
    opened = ordered.sum(axis=1)
    parents = [0] + [rank + 1 if changes[rank] < opened[rank + 1] else 0 for rank in range(len(order) - 1)]
    return order, parents


def nearest_first(gates: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[int]]:
    """The tree of fewest differences (Prim), from no open gate on."""
    nearest = gates.sum(axis=1)
    parent = np.zeros(len(gates), dtype=np.int64)
    order, parents = [], []
    for rank in range(1, len(gates) + 1):
        chosen = int(nearest.argmin())
        order.append(chosen)
        parents.append(int(parent[chosen]))
        distance = (gates != gates[chosen]).sum(axis=1)
        closer = distance < nearest
        nearest[closer], parent[closer] = distance[closer], rank
        nearest[order] = np.iinfo(np.int64).max
    return np.array(order, dtype=np.int64), parents
