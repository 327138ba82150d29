"""What the measuring callbacks of somebody else's training have measured: one row an iteration, under one prefix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.tensorboard import SummaryWriter

from gfflow.records.event_file import add_layout

Layout = Mapping[str, Mapping[str, tuple[str, Sequence[str]]]]


class Rows:
    """Gathers the scalars of one iteration, and gives them as one row to all loggers, and to
    `trainer.callback_metrics`, which early stopping and checkpoints read.

    Rows are kept by iteration, under the names without the prefix.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.rows: dict[int, dict[str, float]] = {}
        self._open: dict[str, float] = {}
        self._held: list[Callable[[], None]] | None = None  # what waits to be let out; None: nothing has to
        self._watched: list[tuple[str, int]] = []  # a scalar's name, and every how many optimiser steps it is read

    @property
    def names(self) -> set[str]:
        """Of all scalars so far."""
        return {name for row in self.rows.values() for name in row}

    def begin(self, trainer: pl.Trainer) -> None:
        """Of a new training."""
        self.rows, self._open, self._held = {}, {}, []
        self._watched = list(_watched(trainer, self.prefix))

    def add(self, scalars: Mapping[str, float]) -> None:
        """To the row of this iteration."""
        self._open |= scalars

    def write(self, trainer: pl.Trainer, iteration: int) -> None:
        """Gives the row to the loggers, where there is one; of several processes the first writes."""
        if not self._open:
            return
        row, self._open = self._open, {}
        self.later(partial(self._give, trainer, iteration, row))

    def later(self, write: Callable[[], None]) -> None:
        """Writes now, or once the rows since the beginning are let out."""
        if self._held is None:
            write()
        else:
            self._held.append(write)

    def release(self) -> None:
        """Writes what was held back since the beginning, and from now on everything at once."""
        held, self._held = self._held or [], None
        for write in held:
            write()

    def _give(self, trainer: pl.Trainer, iteration: int, row: dict[str, float]) -> None:
        self.rows.setdefault(iteration, {}).update(row)
        named = {self.prefix + name: value for name, value in row.items()}
        trainer.callback_metrics.update({k: torch.tensor(v, dtype=torch.float64) for k, v in named.items()})
        for logger in trainer.loggers if trainer.is_global_zero else ():
            logger.log_metrics(named, step=iteration)

    def read_now(self, trainer: pl.Trainer) -> bool:
        """Whether early stopping, a checkpoint or a schedule of the learning rate is about to read one of the
        scalars, so that it has to be that of the weights as they stand: at the end of an epoch, before a validation,
        and every so many steps where the reader says so."""
        if not self._watched:
            return False
        known = self.names
        steps = [every for name, every in self._watched if name in known]
        if not steps:
            return False
        batch = trainer.fit_loop.batch_idx + 1
        validates = trainer.val_check_batch is not None and batch % trainer.val_check_batch == 0
        return trainer.is_last_batch or validates or any(e and trainer.global_step % e == 0 for e in steps)


def _watched(trainer: pl.Trainer, prefix: str) -> Iterable[tuple[str, int]]:
    readers: list[tuple[Any, int]] = []
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        timed = getattr(callback, "_train_time_interval", None) is not None
        readers.append((getattr(callback, "monitor", None), 1 if timed else _number(callback)))
    for config in trainer.lr_scheduler_configs:
        readers.append((config.monitor, config.frequency if config.interval == "step" else 0))
    for monitor, every in readers:
        if isinstance(monitor, str) and monitor.startswith(prefix):
            yield monitor.removeprefix(prefix), every


def _number(callback: Any) -> int:
    every = getattr(callback, "_every_n_train_steps", 0)
    return every if isinstance(every, int) else 0


def lay_out(trainer: pl.Trainer, layout: Layout, prefix: str) -> None:
    """Gives the custom charts to TensorBoard, where a logger writes for it by torch."""
    below = {
        section: {title: (kind, [_under(prefix, tag) for tag in tags]) for title, (kind, tags) in charts.items()}
        for section, charts in layout.items()
    }
    for logger in trainer.loggers:
        writer = getattr(logger, "experiment", None)
        if below and isinstance(writer, SummaryWriter):
            add_layout(writer, below)


def _under(prefix: str, tag: str) -> str:
    """The name, or the regular expression of names, under the prefix."""
    return f"^{re.escape(prefix)}{tag.removeprefix('^')}" if tag.startswith("^") else prefix + tag
