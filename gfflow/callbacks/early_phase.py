"""Which extremal direction each neuron goes to while the network is small, and how near to it the neuron is."""

from __future__ import annotations

import warnings
from typing import Any

import lightning.pytorch as pl

from gfflow.callbacks.base import Measurement
from gfflow.callbacks.observed import observed
from gfflow.model.snapshot import Snapshot
from gfflow.theory import EarlyPhase, solve_early_phase, takes_seconds
from gfflow.theory.directions import ORTHOGONAL


class AssignedAlignment(Measurement):
    """`alignment/assigned_min`, `alignment/assigned_mean`: cosine of each neuron with the extremal direction that the
    limit process takes it to from the start of training (`theory.solve_early_phase`), over the neurons that have one.

    The directions are those of gradient flow from a small start, whatever the optimiser and the size are; an output
    bias is taken from the labels as it is at the start. Absent on orthogonal inputs, where S+ and S- say more
    (AlignmentCosines), for a leaky ReLU, which has other directions, and, with a warning, where finding them would
    take minutes.
    """

    def __init__(self) -> None:
        self.phase: EarlyPhase | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.phase is None:
            network = observed(trainer, pl_module)
            if network.measurable():
                self.phase = _assigned(network.snapshot())
        super().on_train_start(trainer, pl_module)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if self.phase is None:
            return {}
        cosines = self.phase.cosines(snapshot.neurons)[self.phase.index >= 0]
        if not cosines.numel():
            return {}
        return {"alignment/assigned_min": float(cosines.min()), "alignment/assigned_mean": float(cosines.mean())}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.phase is None else dict(vars(self.phase))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.phase = EarlyPhase(**state_dict) if state_dict else None


def _assigned(start: Snapshot) -> EarlyPhase | None:
    data, m = start.training_set, len(start.neurons.a)
    if not takes_seconds(data.n, m):
        message = f"alignment/assigned_* is not logged: n = {data.n} samples and m = {m} neurons would take minutes"
        warnings.warn(message, stacklevel=2)
        return None
    if not start.neurons.activation.is_relu or data.orthogonality_defect <= ORTHOGONAL:
        return None
    return solve_early_phase(data, start.neurons)
