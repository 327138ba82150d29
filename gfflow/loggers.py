"""Loggers: metrics.csv at full precision, and TensorBoard with one event per measurement."""

from __future__ import annotations

import csv
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray


class MetricsTable(Logger):
    """Collects scalars into one row per step and writes them to a CSV file, float64 in full.

    Rows are kept in memory, and the file is written anew every few seconds and at the end. A scalar that appears
    late gives a new column; cells without a value are empty.
    """

    def __init__(self, path: Path, every_seconds: float = 5.0) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, dict[str, float]] = {}
        self.every_seconds = every_seconds
        self._written = time.monotonic()
        self._changed = True  # even a table without a row has its file

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration is in `.hydra`; nothing to write here."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds scalars to the row of `step`."""
        if step is None:
            return
        if step not in self.rows and time.monotonic() - self._written > self.every_seconds:
            self.save()
        self.rows.setdefault(step, {}).update(metrics)
        self._changed = True

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The table by column, `step` first, NaN where a cell is empty; each of shape (number of rows,)."""
        steps = sorted(self.rows)
        names = list(dict.fromkeys(name for step in steps for name in self.rows[step]))
        table = {"step": np.array(steps, dtype=np.float64)}
        for name in names:
            table[name] = np.array([self.rows[step].get(name, np.nan) for step in steps])
        return table

    def save(self) -> None:
        """Writes the whole table (to a neighbouring file first, so that readers never see half of it)."""
        self._written = time.monotonic()
        if not self._changed:
            return
        self._changed = False
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        temporary = self.path.with_name(self.path.name + ".part")
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["step", *names])
            for step in sorted(self.rows):
                row = self.rows[step]
                writer.writerow([step, *(repr(float(row[name])) if name in row else "" for name in names)])
        temporary.replace(self.path)

    def finalize(self, status: str) -> None:
        self.save()


class EventLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger, with all scalars of an iteration in one event.

    Events are handed to TensorBoard's writer every few seconds and at the end: its thread, woken at every event,
    would take turns with the training thread, which costs more than the training of a small network.
    """

    def __init__(self, *args: Any, every_seconds: float = 5.0, **kwargs: Any) -> None:
        super().__init__(*args, max_queue=10_000, **kwargs)  # a shorter queue would make the hand-over wait
        self.every_seconds = every_seconds
        self._pending: dict[int, tuple[float, dict[str, float]]] = {}
        self._handed_over = time.time()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds scalars to the event of `step`, stamped with the time of its first scalar."""
        now = time.time()
        self._pending.setdefault(step or 0, (now, {}))[1].update(metrics)
        if now - self._handed_over > self.every_seconds:
            self._hand_over()

    def save(self) -> None:
        self._hand_over()
        super().save()

    def finalize(self, status: str) -> None:
        self._hand_over()
        super().finalize(status)

    def _hand_over(self) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        writer = self.experiment._get_file_writer()
        for step, (moment, scalars) in self._pending.items():
            values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in scalars.items()]
            writer.add_summary(Summary(value=values), step, moment)
        self._pending.clear()
        self._handed_over = time.time()
