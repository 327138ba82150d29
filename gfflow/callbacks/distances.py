"""Distances to the points that the theory names before training."""

from __future__ import annotations

from gfflow.callbacks.base import Measurement
from gfflow.model.snapshot import Snapshot
from gfflow.theory import Prediction


class SaddleDistance(Measurement):
    """`saddle/distance`: ||theta - theta_S||, theta_S the nearest predicted saddle (Fact 1); absent without one."""

    def __init__(self, prediction: Prediction) -> None:
        self.saddles = prediction.saddles

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if not self.saddles:
            return {}
        return {"saddle/distance": min(snapshot.neurons.distance(saddle.neurons) for saddle in self.saddles)}


class LimitDistance(Measurement):
    """`limit/distance`: ||theta - theta*||, theta* the predicted limit (Theorem 1); `limit/norm_gap`:
    1/2||theta||^2 over its minimum at zero loss, minus 1 (Proposition 1). Each where it is predicted.
    """

    def __init__(self, prediction: Prediction) -> None:
        self.limit = prediction.limit
        self.minimum = prediction.min_half_norm

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        scalars = {}
        if self.limit is not None:
            scalars["limit/distance"] = snapshot.neurons.distance(self.limit)
        if self.minimum:  # absent where all labels are 0: a ratio to nothing
            scalars["limit/norm_gap"] = snapshot.neurons.half_norm_squared / self.minimum - 1
        return scalars
