"""The summary of a training that has ended, from its prediction, its measurements and its last state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gfflow.measures.clusters import cluster_counts
from gfflow.measures.kinks import kinks_on_line
from gfflow.measures.rank import nuclear_norms, stable_ranks
from gfflow.measures.rest import at_rest, resting_point
from gfflow.model.snapshot import Snapshot
from gfflow.records.measured_events import Table, measured_events
from gfflow.records.summary import (
    Assumptions,
    Baseline,
    EndPoint,
    Event,
    Final,
    FlowDistances,
    Nearest,
    PassedSaddle,
    SolverRecord,
    Structure,
    Summary,
    Theory,
    Timing,
)
from gfflow.theory import Prediction, Saddle
from gfflow.theory.baselines import baselines, losses
from gfflow.theory.phase import phase
from gfflow.theory.spurious import why_no_width_helps
from gfflow.training.module import GradientFlowModule


def summarise(config: Mapping[str, Any], module: GradientFlowModule, prediction: Prediction, table: Table) -> Summary:
    """The summary of a training that has ended; `config` is the run's as plain values, with its name and seed."""
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
        structure=_structure(module, table),
        baselines={
            name: Baseline(**losses(neurons, module.training_set))  # type: ignore[arg-type]
            for name, neurons in baselines(module.training_set, prediction).items()
        },
        solver=SolverRecord(module.solver.name, module.solver.lr, module.solver.summary()),
        timing=Timing(
            train_seconds=module.train_seconds,
            measure_seconds=max(0.0, module.fit_seconds - module.train_seconds),
            steps_per_second=iterations / module.train_seconds if module.train_seconds > 0 else None,
        ),
        config=dict(config),
    )


def _theory(prediction: Prediction, lr: float) -> Theory:
    assumptions = prediction.assumptions
    plus, minus = prediction.group("plus"), prediction.group("minus")
    return Theory(
        source=prediction.source,
        orthogonal=prediction.orthogonal,
        assumptions=Assumptions(assumptions.orthogonal_inputs, assumptions.labels, assumptions.cones_nonempty),
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
        saddles=[_saddle(saddle, lr) for saddle in prediction.saddles],
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
        normalized_margin=_last(table, "margin/normalized"),
        errors=_last(table, "margin/errors"),
    )


def _structure(module: GradientFlowModule, table: Table) -> Structure:
    """As measured at the end; anew where that was not measured."""
    if not module.measurable():
        return Structure(kinks=None, clusters=None, nuclear_norm=None, stable_rank=None)
    snapshot = module.snapshot()
    found = kinks_on_line(snapshot)
    measures = {"clusters": cluster_counts, "nuclear_norm": nuclear_norms, "stable_rank": stable_ranks}
    values: dict[str, float] = {}
    for name, measure in measures.items():
        measured = _last(table, f"structure/{name}")
        values[name] = float(measure(snapshot.neurons)) if measured is None else measured
    return Structure(
        kinks=None if found is None else found.tolist(),
        clusters=int(values["clusters"]),
        nuclear_norm=values["nuclear_norm"],
        stable_rank=values["stable_rank"],
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
