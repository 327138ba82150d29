"""Loggers: metrics.csv at full precision, and TensorBoard with one event per measurement."""

from __future__ import annotations

import csv
import math
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray

from gfflow.records import read_table

MIRRORED = (
    "loss",
    "alignment/plus_min",
    "alignment/minus_min",
    "alignment/own_min",
    "mass/u_plus",
    "mass/u_minus",
    "theory/u_plus",
    "theory/u_minus",
    "saddle/distance",
    "limit/distance",
)


class MetricsTable(Logger):
    """Collects scalars into one row per step and writes them to a CSV file, float64 in full.

    Rows are kept in memory and appended to the file now and then; a scalar that appears late gives a new column
    and the file is written anew. Cells without a value are empty.
    """

    def __init__(self, path: Path, flush_every: int = 200) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, dict[str, float]] = {}
        self._flush_every = flush_every
        self._unwritten = 0

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
        if step not in self.rows:
            self._unwritten += 1
            if self._unwritten > self._flush_every:
                self.save()
        self.rows.setdefault(step, {}).update(metrics)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The table by column, `step` first, NaN where a cell is empty; each of shape (number of rows,)."""
        steps = sorted(self.rows)
        names = list(dict.fromkeys(name for step in steps for name in self.rows[step]))
        table = {"step": np.array(steps, dtype=np.float64)}
        for name in names:
            table[name] = np.array([self.rows[step].get(name, np.nan) for step in steps])
        return table

    def restore(self, iteration: int) -> None:
        """Takes back from the file the rows before `iteration`, with which a resumed run goes on."""
        columns = read_table(self.path)
        steps = columns.pop("step")
        for i, step in enumerate(steps):
            if step < iteration:
                row = {name: float(column[i]) for name, column in columns.items()}
                self.rows[int(step)] = {name: value for name, value in row.items() if not math.isnan(value)}

    def save(self) -> None:
        """Writes the whole table (to a neighbouring file first, so that readers never see half of it)."""
        self._unwritten = 0
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
    """Lightning's TensorBoard logger, with all scalars of a measurement in one event: ten times cheaper.

    TensorBoard has no logarithmic axis, so the `mirrored` scalars appear once more as `log10_iteration/NAME`, at
    "step" 1000 log10(iteration) rounded: 3000 is iteration 1000. Iterations that round to the same step keep the
    first.
    """

    def __init__(self, folder: Path, mirrored: Collection[str] = MIRRORED) -> None:
        super().__init__(folder, name="tensorboard", version="", default_hp_metric=False)
        self._mirrored = frozenset(mirrored)
        self._mirrored_at: dict[str, int] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._write(metrics, step)
        self._mirror(metrics, step)

    def restore(self, iteration: int, rows: Mapping[int, Mapping[str, float]]) -> None:
        """Makes the folder's events those of a run that stands at `iteration` and goes on, whatever was written after
        it before the interruption; `rows` are the measurements until then, by iteration."""
        old = sorted(Path(self.log_dir).glob("events.out.tfevents.*"))
        file = self.experiment._get_file_writer()
        for event in _events(old):
            tags = [value.tag for value in event.summary.value]
            if tags and event.step < iteration and not tags[0].startswith(("log10_iteration/", "_hparams_/")):
                file.add_event(event, event.step, event.wall_time)
        for step, row in sorted(rows.items()):
            self._mirror(row, step)
        self.experiment.flush()
        for path in old:
            path.unlink()

    def _mirror(self, metrics: Mapping[str, float], step: int | None) -> None:
        if step is not None and step >= 1:
            position = round(1000 * math.log10(step))
            new = [tag for tag in metrics if tag in self._mirrored and self._mirrored_at.get(tag, -1) < position]
            if new:
                self._write({f"log10_iteration/{tag}": metrics[tag] for tag in new}, position)
                self._mirrored_at |= dict.fromkeys(new, position)

    def _write(self, metrics: Mapping[str, float], step: int | None) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
        self.experiment._get_file_writer().add_summary(Summary(value=values), step)

    def save(self) -> None:
        """Flushes; the hyperparameters that Lightning would save have no use here."""
        self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Lightning's end of training; the writer stays open for what is told after it, until `close`."""
        self.experiment.flush()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self.experiment.close()


def _events(paths: Iterable[Path]) -> Iterator[Any]:
    """The events in the files, up to where one was cut off."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for path in paths:
        for record in RawEventFileLoader(str(path)).Load():
            yield Event.FromString(record)
