"""Paired timings: in each repetition all contestants run one after another, and ratios are taken within it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds per step over the repetitions, and how many times faster than the first contestant each was."""

    case: str
    contestant: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def ratio(self) -> float:
        return float(np.median(self.ratios))


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The lower and the upper quartile."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low), float(high)


def paired(case: str, contestants: Mapping[str, Callable[[], float]], repetitions: int) -> list[Timing]:
    """Runs every contestant in every repetition; the first one is what the ratios refer to."""
    for run in contestants.values():
        run()  # compiles, imports, fills caches
    table = np.array([[run() for run in contestants.values()] for _ in range(repetitions)])
    return [
        Timing(case, name, tuple(table[:, i].tolist()), tuple((table[:, 0] / table[:, i]).tolist()))
        for i, name in enumerate(contestants)
    ]


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent p of cost ~ size^p, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
