"""What a measuring callback is: at scheduled iterations, a few scalars from the snapshot to the loggers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import lightning.pytorch as pl

from gfflow.measures.snapshot import Snapshot
from gfflow.module import GradientFlowModule


class Measurement(pl.Callback):
    """Logs what `measure` returns, at the start of training and at the end of every leap.

    A scalar that does not apply is left out of the returned dictionary, never logged as NaN. Measuring never
    changes a weight or a random state.
    """

    @abstractmethod
    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        """The scalars to log, by name."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GradientFlowModule)
        if pl_module.stop_reason == "diverged" or not pl_module.on_schedule():
            return
        scalars = self.measure(pl_module.snapshot())
        for logger in trainer.loggers if scalars else ():
            logger.log_metrics(scalars, step=pl_module.iteration)
