"""Recorder: the records of a run, from a training loop of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from gfflow import scalars
from gfflow.errors import InvalidInput
from gfflow.model.snapshot import Snapshot
from gfflow.records.dashboard import charts
from gfflow.records.event_file import add_layout
from gfflow.records.loggers import EventLogger, MetricsTable
from gfflow.records.run import as_path
from gfflow.scalars import Measure
from gfflow.training.foreign import LossOf, WeightsOf
from gfflow.training.measuring import Model, Reader, of_one_state
from gfflow.training.schedule import FEW, Schedule

LOG_SPACED, DOUBLING = Schedule((0, 1)), Schedule((0, 1, 2))  # both go on without end, by 1.05 and by 2


class Recorder:
    """Measures a network while a loop trains it, and leaves `metrics.csv` and TensorBoard's events in a new folder,
    as a run does.

    `x`, `y`, `loss`, `view`, `slope` and `output_scale` are those of `gfflow.measure`. Of the states that `record` is
    given, those at the schedule's steps are measured, by default at steps spaced by 5%, and in any case the first
    and, at `close`, the last; costlier measures are taken at fewer. With `step_size`, the flow time of one step of
    plain descent, rows have a `time`. `measures` take the place of the usual ones.

    Used in a `with` block it closes itself. Raises InvalidInput for a folder that holds records already.
    """

    def __init__(
        self,
        folder: str | Path,
        x: Any,
        y: Any,
        *,
        loss: LossOf = "square",
        view: WeightsOf | None = None,
        slope: float | None = None,
        output_scale: float = 1.0,
        schedule: Schedule | None = None,
        step_size: float | None = None,
        measures: Sequence[Measure] | None = None,
    ) -> None:
        self.folder = as_path(folder)
        if (self.folder / "metrics.csv").exists():
            raise InvalidInput("folder", str(folder), "a folder without metrics.csv in it")
        self.reader = Reader(x, y, loss, view, slope, output_scale)
        self.schedule, self.step_size = schedule, step_size
        usual = [*of_one_state(), scalars.Invariants(), scalars.RelativeChange()]
        self.measures = usual if measures is None else list(measures)
        self._step = -1
        self._unmeasured: tuple[Model, Any] | None = None  # the last network, and its weights as they were
        self._table: MetricsTable | None = None
        self._events: EventLogger | None = None

    def record(self, step: int, model: Model) -> dict[str, float]:
        """Measures the network, as it stands after `step` steps, where that is due; returns the scalars, none where
        it is not. Steps come in increasing order. Raises InvalidInput as `gfflow.measure` does."""
        before = self._step
        if step <= before:
            raise InvalidInput("step", step, f"more than {before}, the step before")
        wanted, endless = (LOG_SPACED, True) if self.schedule is None else (self.schedule, False)
        few = DOUBLING if self.schedule is None else self.schedule.thinned(FEW)
        first = self._table is None
        if not first and not wanted.passed(before, step, endless):
            self._step, self._unmeasured = step, (model, _copied(model))
            return {}
        row = self._measure(step, model, costly=first or few.passed(before, step, endless))
        self._step, self._unmeasured = step, None
        return row

    def _measure(self, step: int, model: Model, costly: bool) -> dict[str, float]:
        time = None if self.step_size is None else self.step_size * step
        snapshot = self.reader.snapshot(model, step, time)
        if not math.isfinite(float(snapshot.neurons.half_norms_squared + snapshot.losses)):
            return {}
        table, events = self._opened(snapshot)
        row: dict[str, float] = {}
        for source in self.measures:
            if costly or not isinstance(source, scalars.Structure):
                row |= source.measure(snapshot)
        table.log_metrics(row, step)
        events.log_metrics(row, step)
        return row

    def _opened(self, start: Snapshot) -> tuple[MetricsTable, EventLogger]:
        """The records, begun with the first network that could be measured."""
        if self._table is None or self._events is None:
            self._table, self._events = MetricsTable(self.folder / "metrics.csv"), EventLogger(self.folder)
            add_layout(self._events.experiment, charts())
            for source in self.measures:
                source.begin(start, [])
        return self._table, self._events

    @property
    def rows(self) -> dict[int, dict[str, float]]:
        """What has been measured, by step: scalars by name."""
        return {} if self._table is None else self._table.rows

    def close(self) -> None:
        """Measures what was recorded last, where that has not been, and puts everything into the files."""
        if self._unmeasured is not None:
            (model, weights), self._unmeasured = self._unmeasured, None
            with _as_it_was(model, weights) as before:
                self._measure(self._step, before, costly=True)
        if self._table is not None and self._events is not None:
            add_layout(self._events.experiment, charts({name for row in self.rows.values() for name in row}))
            self._table.save()
            self._events.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copied(model: Model) -> Any:
    """Its weights: cheaper than measuring, at every step."""
    if isinstance(model, nn.Module):
        return {name: value.clone() for name, value in model.state_dict().items()}
    return tuple(torch.as_tensor(part).clone() for part in model) if isinstance(model, (tuple, list)) else model


@contextmanager
def _as_it_was(model: Model, weights: Any) -> Iterator[Model]:
    """The network with these weights; of a module the present ones are put back afterwards, bit for bit."""
    if not isinstance(model, nn.Module):
        yield weights
        return
    now = _copied(model)
    model.load_state_dict(weights)
    try:
        yield model
    finally:
        model.load_state_dict(now)
