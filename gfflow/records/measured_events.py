"""When the predicted events came, as the table of measurements has it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gfflow.measures.events import crossing, fall, loss_events, mass_crossing
from gfflow.records.event_names import OF_GROUPS
from gfflow.theory import Prediction
from gfflow.theory.prediction import ALIGNED, FITTED, LEFT

Table = dict[str, NDArray[np.float64]]  # one array per scalar, `step` among them
TORN = 2.0  # of the loss against its start: far above what descent near its stability, or a mini-batch, makes of it


def measured_events(table: Table, prediction: Prediction) -> dict[str, float | None]:
    """The iteration of each event, interpolated between measurements; None where it has not come or has no
    meaning (no group of neurons to follow), and where the network had left the flow by then, or had died."""
    step = table["step"]
    found: dict[str, float | None] = dict.fromkeys(OF_GROUPS)
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
