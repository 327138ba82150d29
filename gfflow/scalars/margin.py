"""Margins, where the loss is one of classification."""

from __future__ import annotations

from gfflow.measures.margin import errors, normalized_margin
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Measure, Scalars, Setting, measure

_WHERE = "the logistic and the exponential loss"


@measure(
    "margin",
    [
        Scalars(
            ("margin/normalized",),
            "min_k y_k h(x_k) / ||theta||^2 (Lyu and Li 2019)",
            f"{_WHERE}, no output bias",
            over_log=("margin/normalized",),
        ),
        Scalars(("margin/errors",), "how many training samples are misclassified", _WHERE),
        Scalars(
            ("limit/margin_gap",),
            "1 - margin/normalized over the largest that any network has, by a convex program",
            f"{_WHERE}, with `callbacks.minimum_norm=true`",
            over_log=("limit/margin_gap",),
        ),
    ],
)
class Margin(Measure):
    """`margin/normalized`, `margin/errors`; and `limit/margin_gap`, where the prediction knows `min_half_norm`, here
    the least 1/2||theta||^2 with all margins at least 1: the largest normalized margin is one over twice that."""

    def __init__(self, least: float | None = None) -> None:
        self.least = least  # min 1/2 ||theta||^2 subject to y_k h(x_k) >= 1

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        if setting.training_set is not None and not setting.training_set.loss.is_classification:
            return None
        return cls(None if setting.prediction is None else setting.prediction.min_half_norm)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if not snapshot.training_set.loss.is_classification:
            return {}
        scalars, margin = {"margin/errors": float(errors(snapshot))}, normalized_margin(snapshot)
        if margin is not None:
            scalars["margin/normalized"] = margin
            if self.least:
                scalars["limit/margin_gap"] = 1 - margin * 2 * self.least
        return scalars
