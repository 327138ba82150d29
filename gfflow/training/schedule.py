"""When to measure: a sorted set of iterations, built once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from gfflow.solvers.options import SolverOptions
from gfflow.training.options import ScheduleOptions

FEW = 16  # how many times the costlier measures are taken


@dataclass(frozen=True)
class Schedule:
    """Iterations in increasing order, 0 and the last always among them."""

    iterations: tuple[int, ...]

    @classmethod
    def of(cls, last: int, ratio: float | None = 1.05, linear: int = 200, extra: Iterable[int] = ()) -> Schedule:
        """Log-spaced iterations of the given ratio united with `linear` equally spaced ones up to `last`.

        ratio None leaves the log-spaced ones out, linear 0 the others; `extra` iterations are added where
        they lie within [0, last].
        """
        SolverOptions.check(iterations=last)
        ScheduleOptions.check(ratio=ratio, linear=linear)
        chosen = _spaced(last, ratio, linear).union(i for i in extra if 0 <= i <= last)
        return cls(tuple(sorted(chosen)))

    def __len__(self) -> int:
        return len(self.iterations)

    def __iter__(self) -> Iterator[int]:
        return iter(self.iterations)

    def __contains__(self, iteration: object) -> bool:
        return iteration in self._members

    @cached_property
    def _members(self) -> frozenset[int]:
        return frozenset(self.iterations)

    @property
    def last(self) -> int:
        """The final iteration."""
        return self.iterations[-1]

    def passed(self, before: int, now: int, endless: bool = False) -> bool:
        """Whether one of these iterations lies after `before` and not after `now`; an `endless` schedule goes on
        after its last iteration by the ratio of its last two, taken to lie between 1.05 and 2."""
        return self._place(now, endless) > self._place(before, endless)

    def _place(self, iteration: int, endless: bool) -> int:
        if not endless or iteration <= self.last:
            return bisect_right(self.iterations, iteration)
        ratio = min(2.0, max(1.05, self.last / max((1, *self.iterations[-2:-1]))))
        return len(self) + math.floor(math.log(iteration / self.last) / math.log(ratio) + 1e-9)

    def after(self, iteration: int, count: int | None = None) -> tuple[int, ...]:
        """The next `count` scheduled iterations after this one, or all."""
        first = bisect_right(self.iterations, iteration)
        return self.iterations[first : None if count is None else first + count]

    def thinned(self, count: int, always: Iterable[int] = ()) -> Schedule:
        """At most `count` (at least 2) of these iterations: log-spaced and equally spaced half and half.

        Those of `always` that are scheduled are kept and counted first; with the two ends they may exceed `count`.
        """
        if len(self) <= count:
            return self
        chosen = {0, self.last, *set(always).intersection(self.iterations)}
        free = count - len(chosen)
        goals = [self.last ** (i / (free // 2 or 1)) for i in range(free // 2)]
        goals += [self.last * (i + 1) / (free - free // 2 + 1) for i in range(free - free // 2)]
        for goal in goals:
            at = bisect_right(self.iterations, goal)
            chosen.add(min((abs(i - goal), i) for i in self.iterations[max(0, at - 1) : at + 1])[1])
        return Schedule(tuple(sorted(chosen)))


@lru_cache(maxsize=4)  # many starts of one schedule
def _spaced(last: int, ratio: float | None, linear: int) -> frozenset[int]:
    chosen = {0, last}
    if ratio is not None:
        powers = int(math.log(last) / math.log(ratio)) + 1
        chosen |= {min(last, round(ratio**i)) for i in range(powers)}
    if linear:
        chosen |= {round(last * i / linear) for i in range(linear + 1)}
    return frozenset(chosen)
