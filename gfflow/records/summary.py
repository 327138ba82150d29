"""The summary of a run: what was predicted, what was measured, how it ended."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.measures.clusters import clusters
from gfflow.measures.events import crossing, mass_crossing
from gfflow.measures.kinks import kinks_on_line
from gfflow.measures.rest import resting_point
from gfflow.model.snapshot import Snapshot
from gfflow.theory import Prediction
from gfflow.theory.phase import phase
from gfflow.theory.prediction import ALIGNED, FITTED, LEFT
from gfflow.training.module import GradientFlowModule

Table = dict[str, NDArray[np.float64]]
EVENTS = ("aligned", "plus_leaves_zero", "plus_fitted", "minus_leaves_zero", "minus_fitted")


def measured_events(table: Table, prediction: Prediction) -> dict[str, float | None]:
    """The iteration of each event, interpolated between measurements; None where it has not come or has no
    meaning (no group of neurons to follow)."""
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
    return found


def summarise(
    name: str, seed: int, module: GradientFlowModule, prediction: Prediction, table: Table, fit_seconds: float
) -> dict[str, Any]:
    """The summary of a finished run as plain values; what does not apply is None."""
    last = {key: float(column[-1]) for key, column in table.items() if math.isfinite(column[-1])}
    iterations = int(table["step"][-1])
    measured = measured_events(table, prediction)
    snapshot = module.snapshot()
    diverged = module.stop_reason == "diverged"
    places = None if diverged else kinks_on_line(snapshot)
    return {
        "experiment": name,
        "seed": seed,
        "stop_reason": module.stop_reason,
        "iterations": iterations,
        "time": module.solver.lr * iterations,
        "theory": _theory(prediction),
        "events": {
            event: None
            if time is None
            else {"predicted_step": time / module.solver.lr, "measured_step": measured[event]}
            for event, time in ((event, prediction.events.get(event)) for event in EVENTS)
        },
        "saddle": _nearest(table, "saddle/distance"),
        "flow": {
            "distance_max": _largest(table, "flow/distance"),
            "distance_final": last.get("flow/distance"),
            "function_distance_max": _largest(table, "flow/function_distance"),
        },
        "final": {
            "loss": last.get("loss"),
            "half_norm_squared": None if diverged else snapshot.neurons.half_norm_squared,
            "norm_gap": last.get("limit/norm_gap"),
            "limit_distance": last.get("limit/distance"),
            "u_plus": last.get("mass/u_plus"),
            "u_minus": last.get("mass/u_minus"),
            "phase": None if diverged else phase(snapshot, prediction),
            "point": None if diverged else _resting(snapshot, module.solver.resolution),
        },
        "structure": {
            "kinks": None if places is None else places.tolist(),
            "clusters": None if diverged else len(clusters(snapshot.neurons)),
        },
        "solver": {"name": module.solver.name, "lr": module.solver.lr, **module.solver.summary()},
        "timing": {
            "train_seconds": module.train_seconds,
            "measure_seconds": max(0.0, fit_seconds - module.train_seconds),
            "steps_per_second": iterations / module.train_seconds if module.train_seconds > 0 else None,
        },
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json whole or not at all; raises ValueError if a number in it is not finite."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _theory(prediction: Prediction) -> dict[str, Any]:
    plus, minus = prediction.group("plus"), prediction.group("minus")
    return {
        "source": prediction.source,
        "orthogonal": prediction.orthogonal,
        "assumptions": {
            "orthogonal_inputs": prediction.assumptions.orthogonal_inputs,
            "labels": prediction.assumptions.labels,
            "cones_nonempty": prediction.assumptions.cones_nonempty,
        },
        "d_plus_norm": prediction.d_plus_norm,
        "d_minus_norm": prediction.d_minus_norm,
        "r": prediction.r,
        "lambda": prediction.scale,
        "n_plus": int(prediction.s_plus.sum()),
        "n_minus": int(prediction.s_minus.sum()),
        "u_plus_limit": None if plus is None else plus.mass_limit,
        "u_minus_limit": None if minus is None else minus.mass_limit,
        "min_half_norm": prediction.min_half_norm,
        "epsilon_max": prediction.epsilon_max,
    }


def _largest(table: Table, key: str) -> float | None:
    return float(np.nanmax(table[key])) if key in table else None


def _resting(snapshot: Snapshot, resolution: float) -> dict[str, Any] | None:
    point = resting_point(snapshot, resolution)
    return None if point is None else {"kind": point.kind, "loss": point.loss, "reason": point.reason}


def _nearest(table: Table, key: str) -> dict[str, Any]:
    if key not in table:
        return {"distance_min": None, "step": None}
    i = int(np.nanargmin(table[key]))
    return {"distance_min": float(table[key][i]), "step": int(table["step"][i])}
