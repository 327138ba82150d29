"""Alignment cosines (Lemma 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.measures.alignment import cosines_with, own_cosines_by_neuron
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Chart, Measure, Scalars, Setting, TensorMeasure, measure
from gfflow.theory import Group, Prediction

_SIDES = {"plus": "S+ with D+", "minus": "S- with -D-", "own": "every neuron with its own direction"}


ALIGNMENT = "alignment: mean, and the band down to the least"


def alignment_chart(side: str, title: str) -> Chart:
    """The chart of `alignment/SIDE_mean` with the band down to `alignment/SIDE_min`."""
    return Chart(ALIGNMENT, title, "Margin", tuple(f"alignment/{side}_{part}" for part in ("mean", "min", "mean")))


def _scalars(side: str, what: str, where: str) -> Scalars:
    least, mean = f"alignment/{side}_min", f"alignment/{side}_mean"
    return Scalars((least, mean), f"least and mean cosine of {what}", where, over_log=(least,))


@measure(
    "alignment",
    [
        _scalars("own", "the neurons with their own s_j D_j (Eq. 9)", "everywhere"),
        _scalars("plus", "the neurons of S+ with D+ (Lemma 2)", "orthogonal inputs, S+ not empty"),
        _scalars("minus", "the neurons of S- with -D- (Lemma 2)", "orthogonal inputs, S- not empty"),
    ],
    switch="alignment",
    charts=[
        *(alignment_chart(side, title) for side, title in _SIDES.items()),
        Chart(
            ALIGNMENT,
            "the least cosines over 1000 log10(iteration)",
            "Multiline",
            ("^log10_iteration/alignment/[a-z]+_min$",),
        ),
    ],
)
class AlignmentCosines(TensorMeasure):
    """How far the neurons have turned to the directions that attract them.

    `alignment/own_min`, `alignment/own_mean`: cosine of each neuron with its own s_j D_j, on any data.
    With a prediction: `alignment/plus_min`, `alignment/plus_mean`, the cosine with D+ over S+, and
    `alignment/minus_min`, `alignment/minus_mean`, with -D- over S-, for each of these groups that is there.
    """

    def __init__(self, prediction: Prediction | None = None) -> None:
        self.groups: tuple[Group, ...] = () if prediction is None else prediction.groups

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        return cls(setting.prediction)

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        sets = {"own": own_cosines_by_neuron(snapshot)}
        for group in self.groups:
            sets[group.name] = cosines_with(snapshot.neurons, group.direction).masked_fill(~group.members, torch.nan)
        return {
            f"alignment/{name}_{part}": value
            for name, cosines in sets.items()
            for part, value in zip(("min", "mean"), least_and_mean(cosines), strict=True)
        }


def least_and_mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Over the neurons, the last axis, that have a value; NaN where none has."""
    known = ~values.isnan()
    count = known.sum(dim=-1)
    least = values.masked_fill(~known, torch.inf).amin(dim=-1).masked_fill(count == 0, torch.nan)
    return least, values.masked_fill(~known, 0.0).sum(dim=-1) / count
