"""The loss, the flow time and the gradient."""

from __future__ import annotations

from gfflow.callbacks.base import Measurement
from gfflow.model.snapshot import Snapshot


class Loss(Measurement):
    """`loss`: L (Eq. 1); `time`: the flow time lr * iteration, where training is descent on L."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        time = {} if snapshot.time is None else {"time": snapshot.time}
        return {"loss": snapshot.loss, **time}


class GradientNorm(Measurement):
    """`gradient/norm`: ||grad L||; `gradient/pl_ratio`: ||grad L||^2 / L (Lemma 5), absent at zero loss."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        scalars = {"gradient/norm": snapshot.gradient_norm}
        if snapshot.loss > 0:
            scalars["gradient/pl_ratio"] = snapshot.gradient_norm**2 / snapshot.loss
        return scalars
