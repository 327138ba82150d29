"""The phase of training that a network is in, told by the prediction."""

from __future__ import annotations

from gfflow.measures.masses import mass
from gfflow.model.snapshot import Snapshot
from gfflow.theory.prediction import CLOSE, FITTED, LEFT, Prediction


def phase(snapshot: Snapshot, prediction: Prediction | None = None) -> str:
    """The phase of Figure 1 that the network is in, by the masses of S+ and S- against their limits.

    Where the theory does not name the groups, the phase is told by the loss alone: 'early alignment' while it
    is within 1% of its value for the zero network, 'fitted' below one part in 10^6 of it, 'fitting' between.
    """
    groups = () if prediction is None else prediction.groups
    if len(groups) < 2:
        share = snapshot.loss / float(snapshot.training_set.y.square().mean() / 2 or 1)
        return "early alignment" if abs(share - 1) < CLOSE else "fitted" if share < 1e-6 else "fitting"
    first, second = sorted(groups, key=lambda group: -group.rate)
    labels = {1: "positive", -1: "negative"}
    share = mass(snapshot.neurons, first.members) / first.mass_limit
    if share < LEFT:
        return "early alignment"
    if share < FITTED:
        return f"fitting {labels[first.sign]} labels"
    share = mass(snapshot.neurons, second.members) / second.mass_limit
    if share < LEFT:
        return "near the saddle"
    return f"fitting {labels[second.sign]} labels" if share < FITTED else "convergence"
