"""The loss, the flow time and the gradient."""

from __future__ import annotations

from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Measure, Scalars, measure


@measure(
    "loss",
    [
        Scalars(("loss",), "the loss L of the training set (Eq. 1)", over_log=("loss",)),
        Scalars(("time",), "flow time lr * step", "where training is descent on L, or its flow"),
    ],
)
class Loss(Measure):
    """`loss`: L (Eq. 1); `time`: the flow time lr * iteration, where training is descent on L."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        time = {} if snapshot.time is None else {"time": snapshot.time}
        return {"loss": snapshot.loss, **time}


@measure(
    "gradient",
    [
        Scalars(("gradient/norm",), "||grad L||, in all weights"),
        Scalars(("gradient/pl_ratio",), "||grad L||^2 / L (Lemma 5)", "while the loss is not zero"),
    ],
    switch="gradient",
)
class GradientNorm(Measure):
    """`gradient/norm`: ||grad L||; `gradient/pl_ratio`: ||grad L||^2 / L (Lemma 5), absent at zero loss."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        scalars = {"gradient/norm": snapshot.gradient_norm}
        if snapshot.loss > 0:
            scalars["gradient/pl_ratio"] = snapshot.gradient_norm**2 / snapshot.loss
        return scalars
