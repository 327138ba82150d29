"""The samples that somebody else's training is made on."""

from __future__ import annotations

import warnings
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from gfflow.training.foreign import read_samples
from gfflow.training.samples import Probe, trained_indices


class TrainedSamples:
    """The samples of a trainer's loader that are trained on, read without moving anybody's random numbers."""

    def __init__(self, trainer: pl.Trainer) -> None:
        self.trainer = trainer
        self.drawn_anew = False  # each reading gives other ones, as of an augmenting dataset

    def read(self) -> tuple[Tensor, Tensor]:
        """Inputs and labels as they come, of this epoch."""
        loader: Any = self.trainer.train_dataloader
        batches = self.trainer.num_training_batches
        x, y = read_samples(loader, batches)
        self._epoch, self._probe = self.trainer.current_epoch, Probe(loader, trained_indices(loader, batches))
        self.drawn_anew = self._probe.drawn_anew
        if self.drawn_anew:
            line = f"the dataset draws its samples anew: measured on {len(x)} drawn once"
            warnings.warn(f"{line}, View(training_set=...) for others", stacklevel=2)
        return x, y

    def changed(self) -> bool:
        """Whether the dataset gives others than those read, seen once an epoch."""
        if self._epoch == self.trainer.current_epoch:
            return False
        self._epoch = self.trainer.current_epoch
        loader: Any = self.trainer.train_dataloader
        return self._probe.changed(loader)
