"""The mean and the band of a sweep as TensorBoard runs: one for each combination of swept values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from gfflow.records.dashboard import write_image
from gfflow.records.event_file import add_scalars
from gfflow.reports.bands import Clock, band, iterations, rescaled_time
from gfflow.reports.jobs import Group, Sweep

POINTS = 400  # of each curve: TensorBoard itself shows no more than 1000
PARTS = ("mean", "low", "high")
CLOCKS: dict[str, tuple[Clock, float]] = {"": (iterations, 1.0), "rescaled_time/": (rescaled_time, 1000.0)}


def write_events(sweep: Sweep, scalars: Sequence[str], images: Iterable[Path]) -> Path:
    """Writes SWEEP/report/: `SCALAR/mean`, `/low` and `/high` over the iterations, the same under `rescaled_time/`
    over 1000 t / (-ln lambda), charts that draw the three as a curve with its band, and the figures (PNG) as images.
    What an earlier report wrote there is replaced."""
    folder = sweep.folder / "report"
    for old in folder.rglob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        writer.add_custom_scalars(_charts(scalars))
        for path in images:
            write_image(writer, path.stem, path.read_bytes(), 0)
    for group in sweep.groups:
        with SummaryWriter(str(folder / _name(group))) as writer:
            for prefix, (clock, unit) in CLOCKS.items():
                _write_bands(writer, group, scalars, prefix, clock, unit)
    return folder


def _write_bands(
    writer: SummaryWriter, group: Group, scalars: Sequence[str], prefix: str, clock: Clock, unit: float
) -> None:
    at: dict[int, dict[str, float]] = {}  # step -> its scalars, which go into one event
    for scalar in scalars:
        found = band(group.runs, scalar, clock, POINTS)
        if found is None:
            continue
        for x, *numbers in zip(found.x, found.mean, found.low, found.high, strict=True):
            tags = (f"{prefix}{scalar}/{part}" for part in PARTS)
            at.setdefault(round(unit * x), {}).update(zip(tags, map(float, numbers), strict=True))
    for step in sorted(at):
        add_scalars(writer, at[step], step)


def _charts(scalars: Sequence[str]) -> dict[str, Any]:
    return {
        title: {scalar: ["Margin", [f"{prefix}{scalar}/{part}" for part in PARTS]] for scalar in scalars}
        for title, prefix in (("over iterations", ""), ("over 1000 t / (-ln lambda)", "rescaled_time/"))
    }


def _name(group: Group) -> str:
    """A folder's name for the group, without separators and of bounded length."""
    text = ",".join(f"{key}={value}" for key, value in group.values.items()) or "all"
    return re.sub(r"[^\w.,=+-]", "_", text)[:150]
