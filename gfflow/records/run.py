"""A finished run's folder, read back: configuration, metrics, summary and trajectory. Needs no torch and no model."""

from __future__ import annotations

import csv
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gfflow.errors import InvalidInput
from gfflow.records.members import TABLE, Members

Array = NDArray[np.float64]
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times faster where PyYAML was built with it


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of all weights, and the training set: `trajectory.npz`."""

    step: NDArray[np.int64]  # (T,), increasing
    w: Array  # (T, m, d)
    a: Array  # (T, m)
    x: Array  # (n, d)
    y: Array  # (n,)
    step_size: float | None = None  # flow time per iteration; None where iterations have none
    network: Mapping[str, Any] = field(default_factory=dict)  # the network's options, where they are recorded
    loss: str = "square"

    def nearest(self, step: float) -> int:
        """The index of the frame whose iteration is nearest to `step`."""
        return int(np.abs(self.step - step).argmin())


@dataclass(frozen=True, eq=False)
class Run:
    """What a run left in its folder. Empty dictionary: no configuration there; None: the run has not ended."""

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Array]  # each of shape (number of measurements,), `step` first; NaN where a cell is empty
    summary: dict[str, Any] | None

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Reads all but the trajectory; raises InvalidInput where metrics.csv is missing or a file is damaged."""
        folder = as_path(folder)
        if not (folder / "metrics.csv").is_file():
            raise InvalidInput("folder", str(folder), "the folder of a run (with metrics.csv)")
        config, summary = folder / ".hydra" / "config.yaml", folder / "summary.json"
        return cls(
            folder,
            _read_yaml(config) if config.exists() else {},
            read_table(folder / "metrics.csv"),
            read_json(summary) if summary.exists() else None,
        )

    @cached_property
    def trajectory(self) -> Trajectory | None:
        """The frames, read on first use; None where the run recorded none. Raises InvalidInput if damaged."""
        path = self.folder / "trajectory.npz"
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in ("step", "w", "a", "x", "y")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidInput("trajectory", str(path), f"a whole trajectory.npz ({_line(error)})") from None
        network, loss = self.config.get("network", {}), self.config.get("loss", "square")
        return Trajectory(**arrays, step_size=self.step_size, network=network, loss=loss)

    @cached_property
    def members(self) -> Members | None:
        """The members of an ensemble, read on first use; None for a single run. Raises InvalidInput if damaged."""
        return Members.read(self.folder) if (self.folder / TABLE).exists() else None

    @property
    def name(self) -> str:
        """The experiment's name, or the folder's where none is recorded."""
        return str((self.summary or {}).get("experiment") or self.folder.name)

    @property
    def step_size(self) -> float | None:
        """eta: flow time per iteration; None before the first step, or where iterations have no flow time."""
        step, time = self.column("time")
        return float(time[-1] / step[-1]) if len(step) and step[-1] > 0 else None

    def section(self, name: str) -> dict[str, Any]:
        """What the summary says under that name; empty where it says nothing."""
        return (self.summary or {}).get(name) or {}

    def column(self, name: str) -> tuple[Array, Array]:
        """(step, values) of one scalar where it was measured; both empty where it does not apply to the run."""
        values = self.metrics.get(name, np.full(len(self.metrics["step"]), np.nan))
        there = np.isfinite(values)
        return self.metrics["step"][there], values[there]


def as_path(folder: str | Path) -> Path:
    """The folder's path; raises InvalidInput for what is none."""
    if not isinstance(folder, (str, os.PathLike)) or not str(folder):
        raise InvalidInput("folder", folder, "the path of a folder")
    return Path(folder).expanduser()


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key that sorts paths by the numbers in them: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def read_table(path: Path) -> dict[str, Array]:
    """metrics.csv by column, NaN where a cell is empty; raises InvalidInput where it is missing or damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("metrics", str(path), f"a readable metrics.csv ({_line(error)})") from None
    if not text.endswith("\n"):
        raise InvalidInput("metrics", str(path), "a whole metrics.csv: its last line is cut off")
    rows = list(csv.reader(text.splitlines()))
    if len(rows) < 2 or "step" not in rows[0] or "time" not in rows[0]:
        raise InvalidInput("metrics", str(path), "columns step and time, and at least one measurement")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise InvalidInput("metrics", f"line {number} of {path}", f"{len(rows[0])} cells, as in its header")
    try:
        values = np.array([[float(cell or "nan") for cell in row] for row in rows[1:]])
    except ValueError as error:
        raise InvalidInput("metrics", str(path), f"numbers in every cell ({error})") from None
    return dict(zip(rows[0], values.T, strict=True))


def read_json(path: Path) -> dict[str, Any]:
    """summary.json or verification.json as it is; raises InvalidInput where it is missing or damaged."""
    try:
        content = _mapping(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInput(path.stem, str(path), f"a whole {path.name} ({_line(error)})") from None
    return content


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        return _mapping(yaml.load(path.read_text(encoding="utf-8"), Loader=_YAML) or {})  # a safe loader too
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput("config", str(path), f"a whole YAML file ({_line(error)})") from None


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{type(content).__name__} instead of keys and values")
    return content


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
