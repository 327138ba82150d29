"""Histograms of the neurons for TensorBoard."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfflow.callbacks.observed import Observed, observed, view_of
from gfflow.callbacks.view import View
from gfflow.measures.alignment import own_cosines
from gfflow.model.snapshot import Snapshot
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import Schedule

BINS = 40


class Histograms(pl.Callback):
    """At the schedule's iterations (a few by default), into TensorBoard: `neurons/log10_norm` (log10 ||w_j||),
    `neurons/own_cosine` (the cosine with s_j D_j) and, in the plane, `neurons/angle` (of w_j, in degrees from -180
    to 180). Written by every logger whose `experiment` has torch's `add_histogram`; a warning says where none has."""

    takes_blocks = True

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.given_schedule = self.wanted = schedule
        self._written: int | None = None  # the last iteration

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not isinstance(pl_module, GradientFlowModule):
            view_of(trainer)  # there before checkpoints are read

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._written = None
        self.wanted = self.given_schedule or observed(trainer, pl_module).few
        if not list(_writers(trainer)):
            there = ", ".join(type(logger).__name__ for logger in trainer.loggers) or "no logger"
            warnings.warn(
                f"no histograms are written by {there}: Trainer(logger=TensorBoardLogger(...))", stacklevel=2
            )
        self._write(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._write(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, pl_module, ended=True)

    def _write(self, trainer: pl.Trainer, module: pl.LightningModule, ended: bool = False) -> None:
        network = observed(trainer, module)
        for snapshot in network.passed(self.wanted, ended):
            if snapshot.iteration != self._written:
                self._written = snapshot.iteration
                self._write_one(trainer, network, snapshot)

    def _write_one(self, trainer: pl.Trainer, network: Observed, snapshot: Snapshot) -> None:
        neurons = snapshot.neurons
        values = {"log10_norm": neurons.norms[neurons.norms > 0].log10(), "own_cosine": own_cosines(snapshot)}
        if neurons.w.shape[1] == 2:
            values["angle"] = torch.rad2deg(torch.atan2(neurons.directions[:, 1], neurons.directions[:, 0]))
        prefix = network.prefix if isinstance(network, View) else ""
        for name, value in values.items():
            for writer in _writers(trainer) if value.numel() else ():
                tag, step, edges = f"{prefix}neurons/{name}", snapshot.iteration, bin_edges(value)
                write = partial(writer.add_histogram, tag, value, step, bins=edges)
                network.later(write) if isinstance(network, View) else write()


def _writers(trainer: pl.Trainer) -> Iterator[Any]:
    """What writes histograms, as torch's SummaryWriter does."""
    for logger in trainer.loggers:
        writer = getattr(logger, "experiment", None)
        if callable(getattr(writer, "add_histogram", None)):
            yield writer


def bin_edges(values: Tensor) -> NDArray[np.float64]:
    """BINS equal bins around the values (at least one), of positive width even where the values are equal."""
    low, high = (float(edge) for edge in values.aminmax())
    margin = 1e-6 * max(abs(low), abs(high), 1.0)
    return np.linspace(low - margin, high + margin, BINS + 1)
