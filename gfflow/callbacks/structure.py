"""How simple the network has become: kinks of its function, clusters of its neurons."""

from __future__ import annotations

import lightning.pytorch as pl

from gfflow.callbacks.base import Measurement
from gfflow.callbacks.observed import observed
from gfflow.measures.clusters import clusters
from gfflow.measures.kinks import kinks_on_line
from gfflow.model.snapshot import Snapshot
from gfflow.training.schedule import FEW, Schedule


class Structure(Measurement):
    """`structure/clusters`: how many directions carry 99% of the mass; `structure/kinks`: how many kinks h has around
    the data, for inputs on a line with bias. At the given ones of the training's scheduled iterations alone (a few by
    default), since they cost more than other measures.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.wanted = schedule

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.wanted = self.wanted or observed(trainer, pl_module).schedule.thinned(FEW)
        super().on_train_start(trainer, pl_module)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if self.wanted is None or snapshot.iteration not in self.wanted:
            return {}
        scalars = {"structure/clusters": float(len(clusters(snapshot.neurons)))}
        bends = kinks_on_line(snapshot)
        if bends is not None:
            scalars["structure/kinks"] = float(len(bends))
        return scalars
