"""What is left of the members of an ensemble, one row each in ensemble.csv, and statistics over them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.model.data import TrainingSet
from gfflow.records.files import whole_file
from gfflow.records.tidy import cell, flat, is_number, nested
from gfflow.scalars import MEASURES
from gfflow.training.schedule import Schedule

Array = NDArray[np.float64]
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
PARTS = ("mean", *QUANTILES)  # of a scalar X, the columns X/mean, X/p05, ...
OF_NUMBERS = ("mean", "p05", "p50", "p95")  # of a number of the members' summaries, in summary.json
SAME = "time"  # the scalar that is the same for all members
NOT_IN_ROWS = ("experiment", "seed", "config", "timing")  # of a member's summary


@dataclass(frozen=True, eq=False)
class Kept:
    """The recorded frames of one member, and its data."""

    step: NDArray[np.int64]  # (F,)
    w: Array  # (F, m, d)
    a: Array  # (F, m)
    x: Array  # (n, d)
    y: Array  # (n,)

    @classmethod
    def of(cls, frames: Sequence[tuple[int, Array, Array]], data: TrainingSet) -> Kept:
        """From (iteration, w, a) of each frame."""
        steps, w, a = zip(*frames, strict=True)
        return cls(np.array(steps, dtype=np.int64), np.stack(w), np.stack(a), data.x.numpy(), data.y.numpy())


@dataclass(frozen=True, eq=False)
class Member:
    """What is left of one member when it has ended."""

    seed: int
    row: dict[str, Any] = field(default_factory=dict)  # its summary.json by dotted path; empty where it has none
    curves: dict[str, Array] = field(default_factory=dict)  # each scalar at the common iterations, NaN without value
    kept: Kept | None = None
    failure: str = ""  # why it has failed, as a single run says it


def member_of(
    seed: int,
    summary: Mapping[str, Any],
    table: Mapping[str, Array],
    common: Schedule,
    kept: Kept | None = None,
    failure: str = "",
) -> Member:
    """A member from its summary and its table of measurements, of which those at the common iterations are taken."""
    own = {key: value for key, value in summary.items() if key not in NOT_IN_ROWS}
    row = {path: value for path, value in flat(own) if not isinstance(value, list)}
    steps, wanted = table["step"], np.array(common.iterations, dtype=np.float64)
    at = np.minimum(np.searchsorted(steps, wanted), len(steps) - 1)
    there = steps[at] == wanted
    curves = {name: np.where(there, values[at], np.nan) for name, values in table.items() if name != "step"}
    return Member(seed, row, curves, kept, failure)


def statistics(values: Array) -> dict[str, Array]:
    """Mean and quantiles over the members, values (M, T), of those that have a value: each part (T,), NaN where none
    has. Quantiles are interpolated linearly, as numpy's are."""
    sizes = np.sort(values.T, axis=1)  # what is not there comes last
    counts = np.isfinite(sizes).sum(axis=1)
    last, rows = np.maximum(counts - 1, 0), np.arange(len(sizes))
    known = counts > 0
    sums = np.where(np.isfinite(values), values, 0.0).sum(axis=0)
    found = {"mean": np.where(known, sums / np.maximum(counts, 1), np.nan)}
    for part, quantile in QUANTILES.items():
        place = quantile * last
        low = np.floor(place).astype(np.int64)
        below, above = sizes[rows, low], sizes[rows, np.minimum(low + 1, last)]
        found[part] = np.where(known, below + (place - low) * (above - below), np.nan)
    return found


def is_statistic(name: str) -> bool:
    """Whether a column or tag is a statistic over members of one of the registered scalars."""
    scalar, _, part = name.rpartition("/")
    return part in PARTS and any(scalar in entry.names for entry in MEASURES.values())


def write_members(path: Path, members: Iterable[Member]) -> None:
    """Writes ensemble.csv: seed, why it failed, and the numbers and words of each member's summary.json by their
    dotted paths; empty where a member has none."""
    members = list(members)
    there = (name for member in members for name, value in member.row.items() if value is not None)
    names = list(dict.fromkeys(there))
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "failure", *names])
        for member in members:
            writer.writerow([member.seed, member.failure, *(cell(member.row.get(name)) for name in names)])


def numbers_over(members: Sequence[Member]) -> dict[str, Any]:
    """What summary.json says of the ensemble: for every number of the members' summaries mean, p05, p50, p95 over
    those that have it, and `count`, how many have; nested as the summaries are."""
    names = dict.fromkeys(name for member in members for name, value in member.row.items() if is_number(value))
    found: dict[str, Any] = {}
    for name in names:
        values = [member.row.get(name) for member in members]
        numbers = np.array([[float(value)] if is_number(value) else [np.nan] for value in values])  # type: ignore[arg-type]
        parts = statistics(numbers)
        count = int(np.isfinite(numbers).sum())
        found |= {f"{name}.{part}": float(parts[part][0]) for part in OF_NUMBERS} | {f"{name}.count": count}
    return nested(found)
