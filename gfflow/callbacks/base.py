"""What a measuring callback is: at scheduled iterations, a few scalars from the snapshot to the loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import lightning.pytorch as pl

from gfflow.callbacks.observed import Observed, View, observed, view_of
from gfflow.model.snapshot import Snapshot
from gfflow.training.module import GradientFlowModule


class Measurement(pl.Callback, ABC):
    """Logs what `measure` returns, at the start of training, at scheduled iterations and at its end.

    In any LightningModule with one hidden ReLU layer (see View); in a GradientFlowModule after every leap. A scalar
    that does not apply is left out of the returned dictionary, never logged as NaN. Measuring never changes a weight
    or a random state.
    """

    _measured: int | None = None  # the last measured iteration: several batches may make one optimiser step

    @abstractmethod
    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        """The scalars to log, by name."""

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
        self._log(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(trainer, pl_module, ended=True)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, ended: bool = False) -> None:
        network = observed(trainer, pl_module)
        scalars: dict[str, float] = {}
        if network.iteration != self._measured and self.due(network, ended) and network.measurable():
            self._measured = network.iteration
            scalars = self.measure(network.snapshot())
        if isinstance(network, View):
            network.gather(scalars, last=self is _last_of(trainer))
            return
        for logger in trainer.loggers if scalars else ():
            logger.log_metrics(scalars, step=network.iteration)


def _last_of(trainer: pl.Trainer) -> Measurement:
    """The one that measures after all others."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return next(callback for callback in reversed(callbacks) if isinstance(callback, Measurement))
