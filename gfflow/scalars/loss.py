"""The loss, the flow time and the gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Chart, Measure, Scalars, Setting, TensorMeasure, measure
from gfflow.scalars.foretold import Foretold
from gfflow.theory import Prediction


@measure(
    "loss",
    [
        Scalars(("loss",), "the loss L of the training set (Eq. 1)", over_log=("loss",)),
        Scalars(("time",), "flow time lr * step", "where training is descent on L, or its flow"),
    ],
)
class Loss(TensorMeasure):
    """`loss`: L (Eq. 1); `time`: the flow time lr * iteration, where training is descent on L."""

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        time = {} if snapshot.moments is None else {"time": snapshot.numbers(snapshot.moments)}
        return {"loss": snapshot.losses, **time}


@measure(
    "forecast",
    [
        Scalars(
            ("theory/loss",),
            "the loss at the same flow time, predicted before training",
            "where the trajectory is predicted: orthogonal inputs, or a forecast",
            over_log=("theory/loss",),
        ),
        Scalars(
            ("theory/loss_error",),
            "the loss minus its prediction",
            "where the trajectory is predicted: orthogonal inputs, or a forecast",
            over_log=("theory/loss_error",),
        ),
    ],
    charts=[
        Chart("theory beside measurement", "loss and its prediction", "Multiline", ("^loss$", "^theory/loss$")),
        Chart(
            "theory beside measurement",
            "loss and its prediction over 1000 log10(iteration)",
            "Multiline",
            ("^log10_iteration/(theory/)?loss$",),
        ),
        Chart("measured minus predicted", "loss", "Multiline", ("^theory/loss_error$",)),
        Chart(
            "measured minus predicted",
            "loss over 1000 log10(iteration)",
            "Multiline",
            ("^log10_iteration/theory/loss_error$",),
        ),
    ],
)
class PredictedLoss(TensorMeasure):
    """`theory/loss`: the predicted loss at the same flow time, and `theory/loss_error`: the loss minus that; absent
    where none is predicted, and after its end."""

    def __init__(self, prediction: Prediction) -> None:
        self.curve = None if prediction.course is None else Foretold(prediction.course.loss)

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        return None if setting.prediction is None or setting.prediction.course is None else cls(setting.prediction)

    def begin(self, start: Snapshot, times: Sequence[float]) -> None:
        if self.curve is not None:
            self.curve.prepare(times)

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        if self.curve is None or snapshot.moments is None:
            return {}
        found = snapshot.numbers(self.curve.at(snapshot.moments))
        return {"theory/loss": found, "theory/loss_error": snapshot.losses - found}


@measure(
    "gradient",
    [
        Scalars(("gradient/norm",), "||grad L||, in all weights"),
        Scalars(("gradient/pl_ratio",), "||grad L||^2 / L (Lemma 5)", "while the loss is not zero"),
    ],
    switch="gradient",
)
class GradientNorm(TensorMeasure):
    """`gradient/norm`: ||grad L||; `gradient/pl_ratio`: ||grad L||^2 / L (Lemma 5), absent at zero loss."""

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        norm, loss = snapshot.gradient_norms, snapshot.losses
        return {"gradient/norm": norm, "gradient/pl_ratio": (norm.square() / loss).masked_fill(loss <= 0, torch.nan)}
