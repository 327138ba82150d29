"""The masses u+ and u-, and what the theory says of them."""

from __future__ import annotations

import torch

from gfflow.callbacks.base import Measurement
from gfflow.measures.masses import largest_norm, mass
from gfflow.measures.snapshot import Snapshot
from gfflow.theory import Group, Prediction


class GroupMasses(Measurement):
    """`mass/u_plus`, `mass/u_minus`: sum of ||w_j||^2 over S+ and S-, each where the theory of orthogonal inputs
    names it, over all neurons with a_j > 0 or a_j < 0 elsewhere; `theory/u_plus`, `theory/u_minus`: the predicted
    mass of S+ and S- at the same time; `mass/other_max`: the largest ||w_j|| outside both.
    """

    def __init__(self, prediction: Prediction | None = None) -> None:
        self.groups: dict[str, Group | None] = {"plus": None, "minus": None}
        if prediction is not None:
            self.groups = {"plus": prediction.plus, "minus": prediction.minus}

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        neurons = snapshot.neurons
        masses, predicted = {}, {}
        others = torch.ones_like(neurons.signs, dtype=torch.bool)
        for sign, (side, group) in zip((1, -1), self.groups.items(), strict=True):
            members = sign * neurons.signs > 0 if group is None else group.members
            masses[f"mass/u_{side}"] = mass(neurons, members)
            others &= ~members
            if group is not None:
                predicted[f"theory/u_{side}"] = float(group.mass(snapshot.time))
        if predicted and bool(others.any()):
            masses["mass/other_max"] = largest_norm(neurons, others)
        return masses | predicted
