"""Loggers: metrics.csv at full precision, and TensorBoard with one event per measurement."""

from __future__ import annotations

import csv
import math
import time
from argparse import Namespace
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray

from gfflow.errors import InvalidInput
from gfflow.records.ensemble import is_statistic
from gfflow.records.event_file import add_event, add_scalars, log_position, read_events
from gfflow.records.files import whole_file
from gfflow.records.folder import events_folder
from gfflow.records.run import read_table
from gfflow.scalars.base import over_log_iteration

AROUND_TRAINING = (  # tags of what is no measurement: layout and configuration before it, the rest after it
    "configuration",
    "custom_scalars__config__",
    "closing table",
    "verification",
    "final/",
    "_hparams_/",
    "log10_iteration/",
)


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

    def restore(self, iteration: int, measured: Iterable[int] = ()) -> None:
        """Takes back from the file the rows before `iteration`, with which a resumed run goes on; raises InvalidInput
        where one of the `measured` iterations has lost its row."""
        columns = read_table(self.path)
        steps = columns.pop("step")
        for i, step in enumerate(steps):
            if step < iteration:
                row = {name: float(column[i]) for name, column in columns.items() if not is_statistic(name)}
                self.rows[int(step)] = {name: value for name, value in row.items() if not math.isnan(value)}
        for step in measured:
            if step not in self.rows:
                raise InvalidInput("metrics", str(self.path), f"a row of every measurement, that of {step} too")

    @rank_zero_only
    def save(self) -> None:
        """Writes the whole table; of several processes of one training the first does."""
        self._written = time.monotonic()
        if not self._changed:
            return
        self._changed = False
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        with whole_file(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["step", *names])
            for step in sorted(self.rows):
                row = self.rows[step]
                writer.writerow([step, *(repr(float(row[name])) if name in row else "" for name in names)])

    def finalize(self, status: str) -> None:
        self.save()


class EventLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger, with all scalars of an iteration in one event.

    TensorBoard has no logarithmic axis, so the `mirrored` scalars (by default those registered with
    `over_log`) appear once more as `log10_iteration/NAME`, at "step" 1000 log10(iteration) rounded: 3000 is
    iteration 1000. Iterations that round to the same step keep the first.

    They lie in `tensorboard` in the run's folder; `label`, if any, names a folder there, which TensorBoard shows as
    the last part of the run's name. A run that goes on writes beside those that are there.

    Events are handed to TensorBoard's writer every few seconds and at the end: its thread, woken at every event,
    would take turns with the training thread, which costs more than the training of a small network.
    """

    def __init__(
        self,
        folder: Path,
        mirrored: Collection[str] | None = None,
        every_seconds: float = 5.0,
        label: str = "",
    ) -> None:
        there = events_folder(folder, label).relative_to(folder)
        super().__init__(
            folder,
            name=there.parts[0],
            version=there.parts[1] if there.parts[1:] else "",
            default_hp_metric=False,
            max_queue=10_000,  # a shorter queue would make the hand-over wait
        )
        self.every_seconds = every_seconds
        self._pending: dict[int, tuple[float, dict[str, float]]] = {}
        self._handed_over = time.time()
        self._mirrored = _over_log() if mirrored is None else frozenset(mirrored)
        self._mirrored_at: dict[int, int] = {}  # position -> the iteration that has it

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds scalars to the event of `step`, stamped with the time of its first scalar."""
        now = time.time()
        self._pending.setdefault(step or 0, (now, {}))[1].update(metrics)
        if now - self._handed_over > self.every_seconds:
            self._hand_over()

    def restore(self, iteration: int, rows: Mapping[int, Mapping[str, float]]) -> None:
        """Makes the folder's events those of a run that stands at `iteration` and goes on, whatever was written after
        it before the interruption; `rows` are the measurements until then, by iteration: those that a damaged file
        has lost are written anew. What is written before training and after it (configuration, closing table, images)
        is left out, since the resumed run writes it itself."""
        old = sorted(Path(self.log_dir).glob("events.out.tfevents.*"))
        self.experiment.flush()  # makes the new file, which is none of the old
        kept: set[tuple[int, str]] = set()  # a restoration that was cut off itself has left events twice
        for event in read_events(old):
            tags = [value.tag for value in event.summary.value]
            if not tags or event.step >= iteration or (event.step, tags[0]) in kept or _around_training(event):
                continue
            kept.update((event.step, tag) for tag in tags)
            add_event(self.experiment, event)
        for step, row in sorted(rows.items()):
            lost = {tag: value for tag, value in row.items() if (step, tag) not in kept}
            if lost:
                self._write(lost, step, time.time())
            self._mirror(row, step, time.time())
        if old:
            self.experiment.flush()
        for path in old:
            path.unlink()

    def save(self) -> None:
        """Puts everything logged so far into the file. (Lightning would save hyperparameters too, of no use here.)"""
        self._hand_over()
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Lightning's end of training; the writer stays open for what is written after it, until `close`."""
        if status != "success":  # there may be no `close`
            self.save()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._hand_over()
        self.experiment.close()

    def _hand_over(self) -> None:
        for step, (moment, scalars) in self._pending.items():
            self._write(scalars, step, moment)
            self._mirror(scalars, step, moment)
        self._pending.clear()
        self._handed_over = time.time()

    def _mirror(self, scalars: Mapping[str, float], step: int, moment: float) -> None:
        position = log_position(step)
        if position is None or self._mirrored_at.setdefault(position, step) != step:
            return
        mirrored = {f"log10_iteration/{tag}": value for tag, value in scalars.items() if tag in self._mirrored}
        if mirrored:
            self._write(mirrored, position, moment)

    def _write(self, scalars: Mapping[str, float], step: int, moment: float) -> None:
        add_scalars(self.experiment, scalars, step, moment)


def _over_log() -> frozenset[str]:
    names = over_log_iteration()
    return names | {f"{name}/{part}" for name in names for part in ("p05", "p50", "p95")}


def _around_training(event: Any) -> bool:
    first = event.summary.value[0]
    around = first.tag.startswith(AROUND_TRAINING) or first.WhichOneof("value") == "image"
    return around or is_statistic(first.tag)
