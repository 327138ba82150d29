"""Distances to the points that the theory names before training."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Chart, Measure, Scalars, Setting, TensorMeasure, measure
from gfflow.theory import Prediction


@measure(
    "saddle",
    [
        Scalars(
            ("saddle/distance",),
            "||theta - theta_S||, theta_S the nearest predicted saddle (Fact 1)",
            "a predicted saddle",
            over_log=("saddle/distance",),
        ),
        Scalars(("saddle/nearest",), "its number, 1, 2, ... in the order of passage", "a predicted saddle"),
    ],
    switch="saddle",
)
class SaddleDistance(TensorMeasure):
    """`saddle/distance`: ||theta - theta_S||, theta_S the nearest predicted saddle (Fact 1); `saddle/nearest`: its
    number, from 1. Absent without one."""

    def __init__(self, prediction: Prediction) -> None:
        self.saddles = prediction.saddles

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        return None if setting.prediction is None else cls(setting.prediction)

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        if not self.saddles:
            return {}
        distances = torch.stack([snapshot.neurons.distances(saddle.neurons) for saddle in self.saddles], dim=-1)
        nearest = distances.amin(dim=-1)
        farther_before = (distances > nearest.unsqueeze(-1)).long().cumprod(dim=-1).sum(dim=-1)
        return {"saddle/distance": nearest, "saddle/nearest": 1.0 + farther_before}


@measure(
    "limit",
    [
        Scalars(
            ("limit/distance",),
            "||theta - theta*||, theta* the predicted limit (Theorem 1; elsewhere the end of the forecast)",
            "a predicted limit",
            over_log=("limit/distance",),
        ),
        Scalars(
            ("limit/norm_gap",),
            "1/2||theta||^2 over its minimum at zero loss, minus 1 (Proposition 1)",
            "orthogonal inputs; elsewhere with `callbacks.minimum_norm=true`",
        ),
    ],
    switch="limit",
    charts=[
        Chart(
            "landmarks",
            "distance to the saddle and to the limit",
            "Multiline",
            ("^saddle/distance$", "^limit/distance$"),
        ),
        Chart(
            "landmarks",
            "the same over 1000 log10(iteration)",
            "Multiline",
            ("^log10_iteration/(saddle|limit)/distance$",),
        ),
        Chart(
            "landmarks",
            "distance to each saddle that was passed (found by gfflow-report)",
            "Multiline",
            (r"^saddle/\d+/distance$",),
        ),
        Chart(
            "landmarks",
            "the same over 1000 log10(iteration), saddle by saddle",
            "Multiline",
            (r"^log10_iteration/saddle/\d+/distance$",),
        ),
    ],
)
class LimitDistance(TensorMeasure):
    """`limit/distance`: ||theta - theta*||, theta* the predicted limit (Theorem 1); `limit/norm_gap`:
    1/2||theta||^2 over its minimum at zero loss, minus 1 (Proposition 1). Each where it is predicted.
    """

    def __init__(self, prediction: Prediction) -> None:
        self.limit = prediction.limit
        self.minimum = prediction.min_half_norm  # where the loss is one of classification, scalars/margin.py has it

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        return None if setting.prediction is None else cls(setting.prediction)

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        scalars: dict[str, Tensor | float] = {}
        if self.limit is not None:
            scalars["limit/distance"] = snapshot.neurons.distances(self.limit)
        # absent where all labels are 0: a ratio to nothing
        if self.minimum and not snapshot.training_set.loss.is_classification:
            scalars["limit/norm_gap"] = snapshot.neurons.half_norms_squared / self.minimum - 1
        return scalars
