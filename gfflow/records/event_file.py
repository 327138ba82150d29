"""TensorBoard's event files: the only file that reaches under torch's SummaryWriter, tried with the releases of torch
and TensorBoard that pyproject.toml admits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


def log_position(step: int) -> int | None:
    """Where an iteration stands over log10(iteration): TensorBoard has whole "steps" alone, so 1000 log10(iteration),
    rounded. None for iteration 0."""
    return round(1000 * math.log10(step)) if step >= 1 else None


def mirrored_steps(steps: Iterable[int]) -> dict[int, int]:
    """The position over log10(iteration) of each iteration, of those at one position the first."""
    found: dict[int, int] = {}
    for step in steps:
        position = log_position(step)
        if position is not None:
            found.setdefault(position, step)
    return found


def add_scalars(writer: SummaryWriter, scalars: Mapping[str, float], step: int, moment: float | None = None) -> None:
    """Several scalars of one step in one event (ten times cheaper than each alone), stamped with the time `moment`,
    in seconds since 1970; None: now."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in scalars.items()]
    writer._get_file_writer().add_summary(Summary(value=values), step, moment)


def add_summary(writer: SummaryWriter, summary: Any, step: int | None = None) -> None:
    """A Summary of TensorBoard's, as it is."""
    writer._get_file_writer().add_summary(summary, step)


def add_event(writer: SummaryWriter, event: Any) -> None:
    """An Event of TensorBoard's, with its own step and time."""
    writer._get_file_writer().add_event(event, event.step, event.wall_time)


def read_events(paths: Iterable[Path]) -> Iterator[Any]:
    """The events in the files, up to where one was cut off."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for path in paths:
        for record in RawEventFileLoader(str(path)).Load():
            yield Event.FromString(record)
