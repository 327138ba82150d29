"""The saddles that a finished run passed: found on its plateaus, certified, and how far the run was from each."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from gfflow.measures import CriticalPoint, Plateau, passed_point, plateaus, slowest
from gfflow.model.neurons import Neurons
from gfflow.records.files import whole_file, write_text
from gfflow.records.folder import events_folder
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Array, Run

NAMES, OWN = "saddle/{}/distance", re.compile(r"saddle/\d+/distance")


@dataclass(frozen=True, eq=False)
class Passage:
    """A plateau of a run, the critical point found there, and ||theta - point|| at every frame (None without one)."""

    plateau: Plateau
    frame: int | None  # its iteration: the frame of the plateau with the least gradient
    point: CriticalPoint
    distances: Array | None


def passages(run: Run) -> list[Passage]:
    """The plateaus of the run in order, each with its critical point; empty for a run without frames."""
    trajectory = run.trajectory
    if trajectory is None:
        return []
    data = training_set(trajectory)
    found = []
    passed, console = plateaus(*run.column("loss")), Console(stderr=True)
    silent = not console.is_terminal
    for plateau in track(passed, "critical points", console=console, transient=True, disable=silent):
        inside = np.flatnonzero((trajectory.step >= plateau.start) & (trajectory.step <= plateau.stop))
        if not len(inside):
            point = CriticalPoint("not resolved", "no frame was recorded on this plateau")
            found.append(Passage(plateau, None, point, None))
            continue
        nearest = slowest(snapshot(trajectory, data, int(i)) for i in inside)
        point = passed_point(nearest)
        distances = None
        if point.neurons is not None:
            frames = zip(torch.from_numpy(trajectory.w), torch.from_numpy(trajectory.a), strict=True)
            distances = np.array([Neurons(w, a).distance(point.neurons) for w, a in frames])
        found.append(Passage(plateau, nearest.iteration, point, distances))
    return found


def write_saddles(run: Run) -> list[Path]:
    """Writes saddles.json, and the distances to the resolved critical points, numbered in the order of passage, into
    metrics.csv and TensorBoard as saddle/1/distance, ... at the frames' iterations. Returns the files.

    Writing again replaces what was written. Empty for a run without frames.
    """
    if run.trajectory is None:
        return []
    found = passages(run)
    columns: dict[str, dict[int, float]] = {}
    entries = []
    for passage in found:
        name = None
        if passage.distances is not None:
            name = NAMES.format(len(columns) + 1)
            columns[name] = dict(zip(run.trajectory.step.tolist(), passage.distances.tolist(), strict=True))
        entries.append(_described(passage, name))
    path = run.folder / "saddles.json"
    write_text(path, json.dumps(entries, indent=2, allow_nan=False) + "\n")
    _add_columns(run.folder / "metrics.csv", columns)
    return [path, *_write_events(events_folder(run.folder), columns, run.metrics)]


def _described(passage: Passage, name: str | None) -> dict[str, Any]:
    point = passage.point
    out = point.escape
    return {
        "plateau": {"start": passage.plateau.start, "stop": passage.plateau.stop, "loss": passage.plateau.loss},
        "frame": passage.frame,
        "kind": point.kind,
        "reason": point.reason,
        "scalar": name,
        "distance_min": None if passage.distances is None else float(passage.distances.min()),
        "loss": point.loss,
        "gradient_norm": point.gradient_norm,
        "active_directions": point.directions,
        "half_norm_squared": None if point.neurons is None else point.neurons.half_norm_squared,
        "escape": None
        if out is None
        else {
            "rate": out.rate,
            "direction": out.direction.tolist(),
            "sign": out.sign,
            "certified": "exact" if out.exact else "lower bound",
        },
        "curvature": None if point.curvature is None else list(point.curvature),
    }


def _add_columns(path: Path, columns: dict[str, dict[int, float]]) -> None:
    """metrics.csv with the columns at its end, earlier ones of these names replaced; all other cells as they were."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    kept = [i for i, name in enumerate(header) if not OWN.fullmatch(name)]
    lines = [[header[i] for i in kept] + list(columns)]
    at = header.index("step")
    for row in rows:
        values = [column.get(int(float(row[at]))) for column in columns.values()]
        lines.append([row[i] for i in kept] + ["" if value is None else repr(value) for value in values])
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def _write_events(folder: Path, columns: dict[str, dict[int, float]], names: Iterable[str]) -> list[Path]:
    """One event file of its own beside the run's, with the charts of these columns beside those of the scalars that
    were logged; an earlier one is removed."""
    from torch.utils.tensorboard import SummaryWriter

    from gfflow.records.dashboard import charts
    from gfflow.records.event_file import mirrored_steps

    for old in folder.glob("*.saddles"):
        old.unlink()
    if not columns:
        return []
    with SummaryWriter(str(folder), filename_suffix=".saddles") as writer:
        writer.add_custom_scalars(charts([*names, *columns]))
        for name, column in columns.items():
            for step, value in column.items():
                writer.add_scalar(name, value, step)
            for position, step in mirrored_steps(column).items():
                writer.add_scalar(f"log10_iteration/{name}", column[step], position)
    return sorted(folder.glob("*.saddles"))
