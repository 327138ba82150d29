"""TensorBoard's event files: the only file that reaches under torch's SummaryWriter, tried with the releases of torch
and TensorBoard that pyproject.toml admits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def add_layout(writer: SummaryWriter, layout: Mapping[str, Mapping[str, tuple[str, Sequence[str]]]]) -> None:
    """The layout of the custom scalar charts, by section and title, each ('Multiline', regular expressions of tags)
    or ('Margin', tags): of each curve in it its own, that of its lower edge, that of its upper edge."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    def chart(title: str, kind: str, tags: Sequence[str]) -> Any:
        if kind != "Margin":
            return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))
        series = [
            layout_pb2.MarginChartContent.Series(value=value, lower=lower, upper=upper)
            for value, lower, upper in zip(tags[::3], tags[1::3], tags[2::3], strict=True)
        ]
        return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=series))

    sections = [
        layout_pb2.Category(title=name, chart=[chart(title, *content) for title, content in charts.items()])
        for name, charts in layout.items()
    ]
    tensor = make_tensor_proto(layout_pb2.Layout(category=sections).SerializeToString())
    told = metadata.create_summary_metadata()
    value = Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=told)
    add_summary(writer, Summary(value=[value]))


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
