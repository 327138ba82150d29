"""What summary.json holds: what was predicted, what was measured, how a run ended."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gfflow.records.files import write_text
from gfflow.theory.phase import Phase


@dataclass(frozen=True)
class Event:
    """The iteration of an event, predicted (from a flow time: no integer) and measured; None: not reached."""

    predicted_step: float
    measured_step: float | None


@dataclass(frozen=True)
class Assumptions:
    """Which assumptions of the paper the run meets."""

    orthogonal_inputs: bool
    labels: bool
    cones_nonempty: bool


@dataclass(frozen=True)
class PassedSaddle:
    """A predicted saddle: its loss, the iterations (from flow times: no integers) between which the run is next to
    it, None where that is not known or never comes, and how many of its neurons are not zero."""

    loss: float
    reached_step: float | None
    left_step: float | None
    escape_rate: float
    neurons: int


@dataclass(frozen=True)
class Theory:
    """What was known before the first step; `scale` is lambda, under which name the file has it."""

    source: str
    orthogonal: bool
    assumptions: Assumptions
    d_plus_norm: float
    d_minus_norm: float
    r: float | None
    scale: float
    n_plus: int
    n_minus: int
    u_plus_limit: float | None
    u_minus_limit: float | None
    min_half_norm: float | None
    epsilon_max: float | None
    saddles: list[PassedSaddle]


@dataclass(frozen=True)
class Nearest:
    """The least measured distance to the saddle, and its iteration."""

    distance_min: float | None
    step: int | None


@dataclass(frozen=True)
class FlowDistances:
    """Descent beside the flow: largest and last distance in all weights, largest on the inputs."""

    distance_max: float | None
    distance_final: float | None
    function_distance_max: float | None


@dataclass(frozen=True)
class EndPoint:
    """What kind of point of positive loss the run has ended at, its loss, and why it is of this kind."""

    kind: str
    loss: float | None
    reason: str
    widths: str | None = None  # why no width helps, where that is known


@dataclass(frozen=True)
class Final:
    """The last measurement; all but the loss is None where the weights are no longer finite."""

    loss: float | None
    half_norm_squared: float | None
    norm_gap: float | None
    limit_distance: float | None
    u_plus: float | None
    u_minus: float | None
    phase: Phase | None
    point: EndPoint | None
    test_loss: float | None
    least_squares_distance: float | None  # of the functions on the test inputs, relative
    teacher_angle: float | None  # radians
    teacher_distance: float | None  # relative
    relative_change: float | None  # of W, from its start
    normalized_margin: float | None  # with a classification loss
    errors: float | None  # misclassified training samples


@dataclass(frozen=True)
class Baseline:
    """The loss of a network to compare with, on the training samples and on the test samples (None without)."""

    loss: float
    test_loss: float | None


@dataclass(frozen=True)
class Structure:
    """The learned function: where it has kinks on a line around the data, how many directions carry its mass, and the
    nuclear norm and the stable rank of W."""

    kinks: list[float] | None
    clusters: int | None
    nuclear_norm: float | None
    stable_rank: float | None


@dataclass(frozen=True)
class SolverRecord:
    """The solver, and its own counters (in the file beside name and lr)."""

    name: str
    lr: float
    counters: dict[str, Any]


@dataclass(frozen=True)
class Timing:
    """Seconds in the solver, and in everything else between the beginning and the end of training."""

    train_seconds: float
    measure_seconds: float
    steps_per_second: float | None


@dataclass(frozen=True)
class Summary:
    """What was predicted, what was measured, and how the run ended; None is what does not apply.

    `stop_reason` is 'iterations', 'loss', 'stationary' or 'diverged' (see GradientFlowModule); `time` is flow time.
    """

    experiment: str
    seed: int
    stop_reason: str | None
    iterations: int
    time: float
    theory: Theory
    events: dict[str, Event | None]
    saddle: Nearest
    flow: FlowDistances
    final: Final
    structure: Structure
    baselines: dict[str, Baseline]  # 'least_squares', and 'minimum_norm' where one is known
    solver: SolverRecord
    timing: Timing
    config: dict[str, Any]
    ensemble: dict[str, Any] | None = None  # of an ensemble, whose first member all the rest is of

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of summary.json, in its order."""
        values = _plain(self)
        if self.ensemble is None:
            del values["ensemble"]
        values["theory"] = {"lambda" if key == "scale" else key: value for key, value in values["theory"].items()}
        values["solver"] |= values["solver"].pop("counters")
        return values


def _plain(value: Any) -> Any:
    """dataclasses.asdict, without its copies of every number, which cost more than a short training."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def write_summary(path: Path, summary: Summary) -> None:
    """Writes summary.json whole or not at all; raises ValueError if a number in it is not finite."""
    write_text(path, json.dumps(summary.to_dict(), indent=2, allow_nan=False) + "\n")
