"""The progress bar: iteration, loss, and the phase that the network is in; in a notebook a line that changes."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gfflow.callbacks.observed import observed
from gfflow.theory import Prediction
from gfflow.theory.phase import place


class PhaseProgress(pl.Callback):
    """Shows iteration, loss, phase and time left on a terminal, all but the time in a notebook; prints nothing where
    there is neither."""

    takes_blocks = True

    def __init__(self, prediction: Prediction | None = None, console: Console | None = None) -> None:
        self.prediction = prediction
        self.console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task: Any = None
        self._line = NotebookLine() if self.console.is_jupyter else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<25}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.2e}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=self._line is not None or not self.console.is_terminal,
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
        if self._progress is None or (self._progress.disable and self._line is None):
            return
        network = observed(trainer, module)
        if not network.due() or not network.measurable():
            return
        last = network.schedule.last
        if self._line is not None and not self._line.due(network.iteration >= last):
            return
        snapshot = network.snapshot()
        now = place(snapshot, self.prediction, network.step_size)
        if self._line is not None:
            self._line.show(f"iteration {network.iteration:,} of {last:,}, loss {snapshot.loss:.2e}, {now}")
            return
        self._progress.update(self._task, completed=network.iteration, description=now, loss=snapshot.loss)


class NotebookLine:
    """One line of output below a notebook's cell, shown anew a few times a second: without the widgets that a bar
    would need, so that it is there in every front end and in a notebook executed without one."""

    def __init__(self, seconds: float = 0.25) -> None:
        self.seconds = seconds
        self._shown = -math.inf
        self._handle: Any = None

    def due(self, ended: bool) -> bool:
        """Whether the line is to be shown anew by now; at the end it always is."""
        return ended or time.monotonic() - self._shown > self.seconds

    def show(self, text: str) -> None:
        """Shows the text in the place of what was there."""
        from IPython.display import display  # there in any notebook

        self._shown = time.monotonic()
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
