"""The progress bar: iteration, loss, and the phase that the network is in."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gfflow.callbacks.observed import observed
from gfflow.theory import Prediction
from gfflow.theory.phase import place


class PhaseProgress(pl.Callback):
    """Shows iteration, loss, phase and time left on a terminal; prints nothing where there is none."""

    def __init__(self, prediction: Prediction | None = None, console: Console | None = None) -> None:
        self.prediction = prediction
        self.console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<25}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.2e}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=observed(trainer, pl_module).schedule.last, loss=float("nan"))
        self._update(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._update(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is not None:
            self._progress.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _update(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._progress is None or self._progress.disable:
            return
        network = observed(trainer, module)
        if not network.on_schedule() or not network.measurable():
            return
        snapshot = network.snapshot()
        self._progress.update(
            self._task,
            completed=network.iteration,
            description=place(snapshot, self.prediction, network.step_size),
            loss=snapshot.loss,
        )
