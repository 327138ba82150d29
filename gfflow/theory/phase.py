"""The phase of training that a network is in, by the prediction."""

from __future__ import annotations

import math
from enum import StrEnum

from gfflow.measures.events import CLOSE, loss_events
from gfflow.measures.masses import mass
from gfflow.model.snapshot import Snapshot
from gfflow.theory.prediction import FITTED, INTEGRATED, LEFT, Prediction


class Phase(StrEnum):
    """The phases of Figure 1, and what can be said without named groups of neurons (FITTING, FITTED). The values are
    what people read, on the progress bar and in summary.json; code compares members."""

    EARLY_ALIGNMENT = "early alignment"
    FITTING_POSITIVE = "fitting positive labels"
    FITTING_NEGATIVE = "fitting negative labels"
    NEAR_SADDLE = "near the saddle"
    CONVERGENCE = "convergence"
    FITTING = "fitting"
    FITTED = "fitted"


def place(snapshot: Snapshot, prediction: Prediction | None, step_size: float | None) -> str:
    """Where the network is, in a few words: its phase, or, where saddles are forecast, between which of them its loss
    stands, and when it is predicted to leave the one that it is at (in iterations)."""
    if prediction is None or prediction.source != INTEGRATED:
        return phase(snapshot, prediction)
    spans, events = loss_events(prediction.levels, prediction.ended), prediction.events
    passed = [
        name
        for name, span in spans.items()
        if span is not None and events[name] is not None and snapshot.loss <= span.goal
    ]
    last = passed[-1] if passed else ""
    if last == "fitted":
        return "at the end"
    if last.endswith("_reached"):
        k = int(last.split("_")[1])
        left = prediction.saddles[k - 1].left
        words = f"at saddle {k}, loss {prediction.saddles[k - 1].loss:.3g}"
        return words if left is None or not step_size else f"{words}, leaves at about {_rounded(left / step_size):,}"
    if last == "" and events["leaves_zero"] is not None:
        return Phase.EARLY_ALIGNMENT
    k = int(last.split("_")[1]) + 1 if last.startswith("saddle") else 1
    return f"towards saddle {k}" if k <= len(prediction.saddles) else "towards the end"


def _rounded(step: float) -> int:
    """To three digits."""
    unit = 10 ** max(0, math.floor(math.log10(max(step, 1.0))) - 2)
    return round(step / unit) * unit


_FITTING = {1: Phase.FITTING_POSITIVE, -1: Phase.FITTING_NEGATIVE}


def phase(snapshot: Snapshot, prediction: Prediction | None = None) -> Phase:
    """The phase of Figure 1 that the network is in, by the masses of S+ and S- against their limits.

    Where the theory does not name the groups, the loss alone decides: EARLY_ALIGNMENT while it is within 1% of its
    value for the zero network, FITTED below one part in 10^6 of it, FITTING between.
    """
    groups = () if prediction is None else prediction.groups
    if len(groups) < 2:
        share = snapshot.loss / (snapshot.training_set.loss_at_zero or 1)
        if abs(share - 1) < CLOSE:
            return Phase.EARLY_ALIGNMENT
        return Phase.FITTED if share < 1e-6 else Phase.FITTING
    first, second = sorted(groups, key=lambda group: -group.rate)
    share = mass(snapshot.neurons, first.members) / first.mass_limit
    if share < LEFT:
        return Phase.EARLY_ALIGNMENT
    if share < FITTED:
        return _FITTING[first.sign]
    share = mass(snapshot.neurons, second.members) / second.mass_limit
    if share < LEFT:
        return Phase.NEAR_SADDLE
    return _FITTING[second.sign] if share < FITTED else Phase.CONVERGENCE
