"""When to measure somebody else's training, where nobody has said."""

from __future__ import annotations

import math
import warnings

import lightning.pytorch as pl

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.training.budget import Work
from gfflow.training.schedule import Schedule


def plan(
    trainer: pl.Trainer, module: pl.LightningModule, training_set: TrainingSet, m: int
) -> tuple[Schedule, Schedule]:
    """The optimiser steps at which a network of m neurons is measured, log-spaced, and the few among them for
    costlier measures; fewer, with a warning, where measuring would take more than a tenth of the training. Raises
    InvalidInput where it is not known how long training lasts."""
    wished, n, d = _default_schedule(trainer), *training_set.x.shape
    schedule, few = Work.of(n, m, d, _samples_per_step(trainer, n), _accelerated(module)).affordable(wished)
    if len(schedule) < len(wished):
        line = (
            f"measured at {len(schedule)} of {len(wished)} iterations, as measuring n = {n}, m = {m}, "
            f"d = {d} would take more than a tenth of the training: View(schedule=Schedule.of({wished.last})) "
            "measures more"
        )
        warnings.warn(line, stacklevel=2)
    return schedule, few


def _default_schedule(trainer: pl.Trainer) -> Schedule:
    steps = trainer.estimated_stepping_batches
    if not 1 <= steps < float("inf"):
        line = "none, for a training whose number of optimiser steps is not known before"
        raise InvalidInput("schedule", line, "View(schedule=gfflow.Schedule.of(last)), or max_steps in the Trainer")
    return Schedule.of(int(steps), linear=0)


def _samples_per_step(trainer: pl.Trainer, n: int) -> float:
    """On how many samples an optimiser step is trained; 1 where that is not known."""
    loader, batches = trainer.train_dataloader, trainer.num_training_batches
    size = getattr(loader, "batch_size", None)
    if not isinstance(size, int):
        size = n / batches if 0 < batches < math.inf else 1
    return min(n, size) * trainer.accumulate_grad_batches


def _accelerated(module: pl.LightningModule) -> bool:
    parameter = next(module.parameters(), None)
    return parameter is not None and parameter.device.type != "cpu"
