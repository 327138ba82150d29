"""The masses u+ and u-, and what the theory says of them."""

from __future__ import annotations

from gfflow.callbacks.base import Measurement
from gfflow.measures.masses import largest_norm, mass
from gfflow.measures.snapshot import Snapshot
from gfflow.theory import Prediction


class GroupMasses(Measurement):
    """`mass/u_plus`, `mass/u_minus`: sum of ||w_j||^2 over S+ and S- where the theory of orthogonal inputs
    applies, over all neurons with a_j > 0 and a_j < 0 elsewhere; `mass/other_max`: the largest ||w_j|| outside
    S+ and S-; `theory/u_plus`, `theory/u_minus`: the predicted masses at the same time.
    """

    def __init__(self, prediction: Prediction | None = None) -> None:
        groups = (prediction.plus, prediction.minus) if prediction is not None else (None, None)
        self.plus, self.minus = groups

    @property
    def by_sign(self) -> bool:
        """Whether the groups are the signs of a_j, for want of a non-empty S+ and S-."""
        return self.plus is None or self.minus is None

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        neurons = snapshot.neurons
        if self.plus is None or self.minus is None:
            plus, minus = neurons.signs > 0, neurons.signs < 0
        else:
            plus, minus = self.plus.members, self.minus.members
        scalars = {"mass/u_plus": mass(neurons, plus), "mass/u_minus": mass(neurons, minus)}
        if self.plus is None or self.minus is None:
            return scalars
        others = ~(plus | minus)
        if bool(others.any()):
            scalars["mass/other_max"] = largest_norm(neurons, others)
        scalars["theory/u_plus"] = float(self.plus.mass(snapshot.time))
        scalars["theory/u_minus"] = float(self.minus.mass(snapshot.time))
        return scalars
