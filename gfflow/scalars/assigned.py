"""Which extremal direction each neuron goes to while the network is small, and how near to it the neuron is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from gfflow.model.snapshot import Snapshot
from gfflow.scalars.alignment import alignment_chart, least_and_mean
from gfflow.scalars.base import Measure, Scalars, Setting, TensorMeasure, measure
from gfflow.theory import EarlyPhase, solve_early_phase, takes_seconds
from gfflow.theory.directions import ORTHOGONAL
from gfflow.theory.early_phase import early_phase_known


@measure(
    "assigned",
    [
        Scalars(
            ("alignment/assigned_min", "alignment/assigned_mean"),
            "the same of each neuron with the extremal direction that it goes to, known before training",
            "inputs that are not orthogonal",
            over_log=("alignment/assigned_min",),
        )
    ],
    switch="alignment",
    charts=[alignment_chart("assigned", "every neuron with the direction it goes to")],
)
class AssignedAlignment(TensorMeasure):
    """`alignment/assigned_min`, `alignment/assigned_mean`: cosine of each neuron with the extremal direction that the
    limit process takes it to from the start of training (`theory.solve_early_phase`), over the neurons that have one.

    The directions are those of gradient flow from a small start, whatever the optimiser and the size are; an output
    bias is taken from the labels as it is at the start. Absent on orthogonal inputs, where S+ and S- say more
    (AlignmentCosines), where a layer is frozen or the loss is one of your own, and, with a warning, where finding
    them would take minutes.
    """

    def __init__(self) -> None:
        self.phase: EarlyPhase | None = None

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        known = setting.prediction
        return None if known is not None and known.orthogonal else cls()

    def begin(self, start: Snapshot, times: Sequence[float]) -> None:
        if self.phase is None:
            self.phase = _assigned(start)

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        if self.phase is None:
            return {}
        least, mean = least_and_mean(self.phase.cosines(snapshot.neurons))
        return {"alignment/assigned_min": least, "alignment/assigned_mean": mean}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.phase is None else dict(vars(self.phase))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.phase = EarlyPhase(**state) if state else None


def _assigned(start: Snapshot) -> EarlyPhase | None:
    data, m = start.training_set, len(start.neurons.a)
    if not takes_seconds(data.n, m):
        message = f"alignment/assigned_* is not logged: n = {data.n} samples and m = {m} neurons would take minutes"
        warnings.warn(message, stacklevel=2)
        return None
    if not early_phase_known(data, start.neurons) or data.orthogonality_defect <= ORTHOGONAL:
        return None
    return solve_early_phase(data, start.neurons)
