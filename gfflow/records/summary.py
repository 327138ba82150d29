"""The summary of a run: what was predicted, what was measured, how it ended."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.measures.clusters import clusters
from gfflow.measures.events import crossing, fall, loss_events, mass_crossing
from gfflow.measures.kinks import kinks_on_line
from gfflow.measures.rank import nuclear_norm, stable_rank
from gfflow.measures.rest import at_rest, resting_point
from gfflow.model.snapshot import Snapshot
from gfflow.records.files import write_text
from gfflow.theory import Prediction, Saddle
from gfflow.theory.baselines import baselines, losses
from gfflow.theory.phase import Phase, phase
from gfflow.theory.prediction import ALIGNED, FITTED, LEFT
from gfflow.theory.spurious import why_no_width_helps
from gfflow.training.module import GradientFlowModule

Table = dict[str, NDArray[np.float64]]
TORN = 2.0  # of the loss against its start: far above what descent near its stability, or a mini-batch, makes of it
EVENTS = ("aligned", "plus_leaves_zero", "plus_fitted", "minus_leaves_zero", "minus_fitted")


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of summary.json, in its order."""
        values = dataclasses.asdict(self)
        values["theory"] = {"lambda" if key == "scale" else key: value for key, value in values["theory"].items()}
        values["solver"] |= values["solver"].pop("counters")
        return values


def measured_events(table: Table, prediction: Prediction) -> dict[str, float | None]:
    """The iteration of each event, interpolated between measurements; None where it has not come or has no
    meaning (no group of neurons to follow), and where the network had left the flow by then, or had died."""
    step = table["step"]
    found: dict[str, float | None] = dict.fromkeys(EVENTS)
    minima = [table[f"alignment/{side}_min"] for side in ("plus", "minus") if f"alignment/{side}_min" in table]
    if minima:
        found["aligned"] = crossing(step, np.minimum.reduce(minima), ALIGNED)
    for group in prediction.groups:
        if f"mass/u_{group.name}" in table:
            mass = table[f"mass/u_{group.name}"]
            found[f"{group.name}_leaves_zero"] = mass_crossing(step, mass, group.mass_limit, LEFT)
            found[f"{group.name}_fitted"] = mass_crossing(step, mass, group.mass_limit, FITTED)
    spans = loss_events(prediction.levels, prediction.ended)
    found |= {name: fall(step, table["loss"], span) for name, span in spans.items()}
    return {name: _kept(table, at) for name, at in found.items()}


def _kept(table: Table, at: float | None) -> float | None:
    """The iteration of an event, None where it does not count: where the loss, which the flow never raises, has been
    above TORN times its start before, or where no neuron is active any more although the loss is positive."""
    if at is None or "loss" not in table:
        return at
    passed = int(np.searchsorted(table["step"], at)) + 1  # rows up to the first measurement at or after the event
    loss = table["loss"][:passed]
    gradient = table["gradient/norm"][passed - 1] if "gradient/norm" in table else math.nan
    dead = loss[-1] > 0 and gradient == 0
    return None if dead or not bool((loss <= TORN * loss[0]).all()) else at


def summarise(
    config: Mapping[str, Any], module: GradientFlowModule, prediction: Prediction, table: Table, fit_seconds: float
) -> Summary:
    """The summary of a training that has ended; `config` is the run's as plain values, with its name and seed, and
    `fit_seconds` is the time from the beginning of training to its end."""
    iterations = int(table["step"][-1])
    return Summary(
        experiment=config["name"],
        seed=config["seed"],
        stop_reason=module.stop_reason,
        iterations=iterations,
        time=module.solver.lr * iterations,
        theory=_theory(prediction, module.solver.lr),
        events=_events(table, prediction, module.solver.lr),
        saddle=_nearest(table, "saddle/distance"),
        flow=FlowDistances(
            distance_max=_largest(table, "flow/distance"),
            distance_final=_last(table, "flow/distance"),
            function_distance_max=_largest(table, "flow/function_distance"),
        ),
        final=_final(module, prediction, table),
        structure=_structure(module),
        baselines={
            name: Baseline(**losses(neurons, module.training_set))  # type: ignore[arg-type]
            for name, neurons in baselines(module.training_set, prediction).items()
        },
        solver=SolverRecord(module.solver.name, module.solver.lr, module.solver.summary()),
        timing=Timing(
            train_seconds=module.train_seconds,
            measure_seconds=max(0.0, fit_seconds - module.train_seconds),
            steps_per_second=iterations / module.train_seconds if module.train_seconds > 0 else None,
        ),
        config=dict(config),
    )


def write_summary(path: Path, summary: Summary) -> None:
    """Writes summary.json whole or not at all; raises ValueError if a number in it is not finite."""
    write_text(path, json.dumps(summary.to_dict(), indent=2, allow_nan=False) + "\n")


def _theory(prediction: Prediction, lr: float) -> Theory:
    saddles = [_saddle(saddle, lr) for saddle in prediction.saddles]
    plus, minus = prediction.group("plus"), prediction.group("minus")
    return Theory(
        source=prediction.source,
        orthogonal=prediction.orthogonal,
        assumptions=Assumptions(
            orthogonal_inputs=prediction.assumptions.orthogonal_inputs,
            labels=prediction.assumptions.labels,
            cones_nonempty=prediction.assumptions.cones_nonempty,
        ),
        d_plus_norm=prediction.d_plus_norm,
        d_minus_norm=prediction.d_minus_norm,
        r=prediction.r,
        scale=prediction.scale,
        n_plus=int(prediction.s_plus.sum()),
        n_minus=int(prediction.s_minus.sum()),
        u_plus_limit=None if plus is None else plus.mass_limit,
        u_minus_limit=None if minus is None else minus.mass_limit,
        min_half_norm=prediction.min_half_norm,
        epsilon_max=prediction.epsilon_max,
        saddles=saddles,
    )


def _saddle(saddle: Saddle, lr: float) -> PassedSaddle:
    reached, left = (None if time is None else time / lr for time in (saddle.reached, saddle.left))
    return PassedSaddle(saddle.loss, reached, left, saddle.escape_rate, int((saddle.neurons.norms > 0).sum()))


def _events(table: Table, prediction: Prediction, lr: float) -> dict[str, Event | None]:
    measured = measured_events(table, prediction)
    times = {event: prediction.events.get(event) for event in measured}
    return {
        event: None if time is None else Event(predicted_step=time / lr, measured_step=measured[event])
        for event, time in times.items()
    }


def _final(module: GradientFlowModule, prediction: Prediction, table: Table) -> Final:
    diverged, snapshot = not module.measurable(), module.snapshot()
    return Final(
        loss=_last(table, "loss"),
        half_norm_squared=None if diverged else snapshot.neurons.half_norm_squared,
        norm_gap=_last(table, "limit/norm_gap"),
        limit_distance=_last(table, "limit/distance"),
        u_plus=_last(table, "mass/u_plus"),
        u_minus=_last(table, "mass/u_minus"),
        phase=None if diverged else phase(snapshot, prediction),
        point=None if diverged else _end_point(snapshot, module.solver.resolution),
        test_loss=_last(table, "test/loss"),
        least_squares_distance=_last(table, "test/least_squares_distance"),
        teacher_angle=_last(table, "teacher/angle"),
        teacher_distance=_last(table, "teacher/distance"),
        relative_change=_last(table, "weights/relative_change"),
    )


def _structure(module: GradientFlowModule) -> Structure:
    if not module.measurable():
        return Structure(kinks=None, clusters=None, nuclear_norm=None, stable_rank=None)
    found = kinks_on_line(module.snapshot())
    return Structure(
        kinks=None if found is None else found.tolist(),
        clusters=len(clusters(module.snapshot().neurons)),
        nuclear_norm=nuclear_norm(module.snapshot().neurons),
        stable_rank=stable_rank(module.snapshot().neurons),
    )


def _end_point(snapshot: Snapshot, resolution: float) -> EndPoint | None:
    point = resting_point(snapshot, resolution)
    if point is None:
        return None
    widths = why_no_width_helps(snapshot) if at_rest(snapshot, resolution) else None
    return EndPoint(kind=point.kind, loss=point.loss, reason=point.reason, widths=widths)


def _nearest(table: Table, key: str) -> Nearest:
    if key not in table:
        return Nearest(distance_min=None, step=None)
    i = int(np.nanargmin(table[key]))
    return Nearest(distance_min=float(table[key][i]), step=int(table["step"][i]))


def _largest(table: Table, key: str) -> float | None:
    return float(np.nanmax(table[key])) if key in table else None


def _last(table: Table, key: str) -> float | None:
    """The scalar at the last measurement; None where it was not measured there."""
    return float(table[key][-1]) if key in table and math.isfinite(table[key][-1]) else None
