"""What a measuring callback is: at scheduled iterations, a few scalars from the snapshot to the loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers.logger import Logger

from gfflow.callbacks.observed import Observed, observed, view_of
from gfflow.callbacks.view import View
from gfflow.model.snapshot import Frames, Snapshot
from gfflow.training.module import GradientFlowModule


class Measurement(pl.Callback, ABC):
    """Logs what `measure` returns, at the start of training, at scheduled iterations and at its end.

    In any LightningModule with one hidden ReLU layer (see View); in a GradientFlowModule after every leap. A scalar
    that does not apply is left out of the returned dictionary, never logged as NaN. Measuring never changes a weight
    or a random state.
    """

    _measured: int | None = None  # the last measured iteration: several batches may make one optimiser step

    @property
    def takes_blocks(self) -> bool:
        """Whether several leaps of a GradientFlowModule may pass between two calls: it then sees all their frames."""
        return type(self).on_train_batch_end is Measurement.on_train_batch_end

    @abstractmethod
    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        """The scalars to log, by name."""

    def measure_frames(self, frames: Frames) -> list[dict[str, float]]:
        """The same at several iterations, in their order."""
        return [self.measure(frames.at(i)) for i in range(len(frames.iterations))]

    def due(self, network: Observed, ended: bool) -> bool:
        """Whether to measure now; `ended`: training has come to its end."""
        return network.due(ended=ended)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not isinstance(pl_module, GradientFlowModule):
            view_of(trainer)  # there before checkpoints are read

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._measured = None
        self._log(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        frames = observed(trainer, pl_module).frames
        if frames is None:
            self._log(trainer, pl_module)
        elif frames.iterations and self is (together := _measurements(trainer))[0]:
            _log_frames(together, frames, trainer.loggers)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(trainer, pl_module, ended=True)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, ended: bool = False) -> None:
        network = observed(trainer, pl_module)
        scalars: dict[str, float] = {}
        if network.iteration != self._measured and self.due(network, ended) and network.measurable():
            self._measured = network.iteration
            scalars = self.measure(network.snapshot())
        if isinstance(network, View):
            network.gather(scalars, last=self is _measurements(trainer)[-1])
            return
        for logger in trainer.loggers if scalars else ():
            logger.log_metrics(scalars, step=network.iteration)


def _measurements(trainer: pl.Trainer) -> list[Measurement]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Measurement)]


def _log_frames(measurements: list[Measurement], frames: Frames, loggers: Sequence[Logger]) -> None:
    """Logs what all measurements find, one iteration after the other: many loggers take no earlier one again."""
    found = [measurement.measure_frames(frames) for measurement in measurements]
    for measurement in measurements:
        measurement._measured = frames.iterations[-1]
    for step, *parts in zip(frames.iterations, *found, strict=True):
        row = {name: value for part in parts for name, value in part.items()}
        for logger in loggers if row else ():
            logger.log_metrics(row, step=step)
