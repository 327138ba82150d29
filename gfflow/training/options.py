"""What of the schedule of measurements can be set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from gfflow.registry import Limit, Options, at_least, option


@dataclass(frozen=True)
class ScheduleOptions(Options):
    """When to measure: iterations spaced by a ratio, united with equally spaced ones; first and last always."""

    group: ClassVar[str] = "schedule"

    ratio: float | None = option(
        1.05,
        "one iteration to measure at over the one before; null: none are spaced by a ratio",
        Limit("a number from 1.001 on", lambda v: 1.001 <= v < math.inf),
    )
    linear: int = option(200, "how many equally spaced iterations to measure at", at_least(0), "iterations")
    frames: int = option(
        200, "how many snapshots of all weights to keep at most (fewer for large networks)", at_least(2), "snapshots"
    )
