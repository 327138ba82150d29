"""Checkpoints: the last state, written so that it is whole or not there."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from gfflow.errors import Interrupted
from gfflow.records.files import write_bytes


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, onto the disk, and renames it into it: at any moment the file there is
    whole, the previous one or the new one. (Lightning's own goes through the temporary folder, which may lie on
    another file system.)"""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)  # not into the file: on a full disk torch does not say what is wrong
        write_bytes(Path(path), content.getbuffer())


class LastCheckpoint(pl.Callback):
    """Writes `last.ckpt` at the end of a leap, or of a block of leaps, every so many seconds, where training is
    interrupted, and at its end.

    The loggers are flushed first, so that what a resumed run builds on is in the files. Must come last among the
    callbacks: their states at the same iteration go into the file.
    """

    def __init__(self, path: Path, every_seconds: float = 30.0) -> None:
        self.path = path
        self.every_seconds = every_seconds
        self.takes_blocks = every_seconds >= 1  # many times what a block takes; else at the end of each leap
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.should_stop:  # on_train_end is near: a checkpoint of an ended training has all its files beside it
            return
        if time.monotonic() - self._written > self.every_seconds:
            self._write(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Interrupted):
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)
        self._written = time.monotonic()
