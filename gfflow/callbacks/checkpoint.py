"""Checkpoints: the last state, written so that it is whole or not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl


class LastCheckpoint(pl.Callback):
    """Writes `last.ckpt` at the end of training, and at the end of a leap every so many seconds.

    The file is written beside its place and renamed into it, so that an interruption leaves the previous one.
    """

    def __init__(self, path: Path, every_seconds: float = 60.0) -> None:
        self.path = path
        self.every_seconds = every_seconds
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._written > self.every_seconds:
            self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".part")
        trainer.save_checkpoint(temporary)
        temporary.replace(self.path)
        self._written = time.monotonic()
