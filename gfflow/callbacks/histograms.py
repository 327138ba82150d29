"""Histograms of the neurons for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor

from gfflow.callbacks.observed import observed
from gfflow.measures.alignment import own_cosines
from gfflow.model.snapshot import Snapshot
from gfflow.training.schedule import FEW, Schedule

BINS = 40


class Histograms(pl.Callback):
    """At the schedule's iterations (a few by default), into TensorBoard: `neurons/log10_norm` (log10 ||w_j||),
    `neurons/own_cosine` (the cosine with s_j D_j) and, in the plane, `neurons/angle` (of w_j, in degrees from -180
    to 180)."""

    takes_blocks = True

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.wanted = schedule

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.wanted = self.wanted or observed(trainer, pl_module).schedule.thinned(FEW)
        self._write(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for snapshot in observed(trainer, module).passed(self.wanted) if self.wanted is not None else ():
            self._write_one(trainer, snapshot)

    def _write_one(self, trainer: pl.Trainer, snapshot: Snapshot) -> None:
        neurons = snapshot.neurons
        values = {"log10_norm": neurons.norms[neurons.norms > 0].log10(), "own_cosine": own_cosines(snapshot)}
        if neurons.w.shape[1] == 2:
            values["angle"] = torch.rad2deg(torch.atan2(neurons.directions[:, 1], neurons.directions[:, 0]))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, value in values.items():
                    if value.numel():
                        logger.experiment.add_histogram(
                            f"neurons/{name}", value, snapshot.iteration, bins=bin_edges(value)
                        )


def bin_edges(values: Tensor) -> NDArray[np.float64]:
    """BINS equal bins around the values (at least one), of positive width even where the values are equal."""
    low, high = (float(edge) for edge in values.aminmax())
    margin = 1e-6 * max(abs(low), abs(high), 1.0)
    return np.linspace(low - margin, high + margin, BINS + 1)
