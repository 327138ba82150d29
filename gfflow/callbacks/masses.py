"""The masses u+ and u-, and what the theory says of them."""

from __future__ import annotations

import lightning.pytorch as pl
from torch import Tensor

from gfflow.callbacks.base import Measurement
from gfflow.measures.masses import largest_norm, mass
from gfflow.measures.snapshot import Snapshot
from gfflow.module import GradientFlowModule
from gfflow.theory import Prediction


class GroupMasses(Measurement):
    """`mass/u_plus`, `mass/u_minus`: sum of ||w_j||^2 over S+ and S- where the theory of orthogonal inputs
    applies, over all neurons with a_j > 0 and a_j < 0 elsewhere; `mass/other_max`: the largest ||w_j|| outside
    S+ and S-; `theory/u_plus`, `theory/u_minus`: the predicted masses at the same time.
    """

    def __init__(self, prediction: Prediction | None = None) -> None:
        groups = (prediction.plus, prediction.minus) if prediction is not None else (None, None)
        self.plus, self.minus = groups
        self.others: Tensor | None = None
        if self.plus is not None and self.minus is not None:
            others = ~(self.plus.members | self.minus.members)
            self.others = others if bool(others.any()) else None
        self._predicted: dict[float, tuple[float, float]] = {}  # by flow time

    @property
    def by_sign(self) -> bool:
        """Whether the groups are the signs of a_j, for want of a non-empty S+ and S-."""
        return self.plus is None or self.minus is None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GradientFlowModule)
        if self.plus is not None and self.minus is not None:  # all at once: cheap; one by one: not
            times = [pl_module.solver.lr * i for i in pl_module.schedule]
            masses = self.plus.mass(times).tolist(), self.minus.mass(times).tolist()
            self._predicted = dict(zip(times, zip(*masses, strict=True), strict=True))
        super().on_train_start(trainer, pl_module)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        neurons = snapshot.neurons
        if self.plus is None or self.minus is None:
            return {
                "mass/u_plus": mass(neurons, neurons.signs > 0),
                "mass/u_minus": mass(neurons, neurons.signs < 0),
            }
        scalars = {
            "mass/u_plus": mass(neurons, self.plus.members),
            "mass/u_minus": mass(neurons, self.minus.members),
        }
        if self.others is not None:
            scalars["mass/other_max"] = largest_norm(neurons, self.others)
        predicted = self._predicted.get(snapshot.time)
        if predicted is None:
            predicted = float(self.plus.mass(snapshot.time)), float(self.minus.mass(snapshot.time))
        scalars["theory/u_plus"], scalars["theory/u_minus"] = predicted
        return scalars
