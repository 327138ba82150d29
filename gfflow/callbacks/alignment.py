"""Alignment cosines (Lemma 2)."""

from __future__ import annotations

from gfflow.callbacks.base import Measurement
from gfflow.measures.alignment import cosines_with, own_cosines
from gfflow.model.snapshot import Snapshot
from gfflow.theory import Group, Prediction


class AlignmentCosines(Measurement):
    """How far the neurons have turned to the directions that attract them.

    `alignment/own_min`, `alignment/own_mean`: cosine of each neuron with its own s_j D_j, on any data.
    With a prediction: `alignment/plus_min`, `alignment/plus_mean`, the cosine with D+ over S+, and
    `alignment/minus_min`, `alignment/minus_mean`, with -D- over S-, for each of these groups that is there.
    """

    def __init__(self, prediction: Prediction | None = None) -> None:
        self.groups: tuple[Group, ...] = () if prediction is None else prediction.groups

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        sets = {"own": own_cosines(snapshot)}
        for group in self.groups:
            sets[group.name] = cosines_with(snapshot.neurons, group.direction)[group.members]
        scalars = {}
        for name, cosines in sets.items():
            if cosines.numel():
                scalars[f"alignment/{name}_min"] = float(cosines.min())
                scalars[f"alignment/{name}_mean"] = float(cosines.mean())
        return scalars
