"""A sweep's folder read back: every job, what was swept, and one tidy table."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gfflow.errors import InvalidInput
from gfflow.records.files import whole_file
from gfflow.records.folder import ERROR_FILE, NOT_PART_OF_A_RUN
from gfflow.records.run import Run, natural_order
from gfflow.records.tidy import cell, flat, is_number

SEED = "seed"
Value = Hashable  # of an override: number, word, true or false, None; a list stands as its JSON text


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a sweep."""

    name: str  # its folder, relative to the sweep's
    overrides: Mapping[str, Value]
    run: Run | None  # None where it did not end well; then `trouble` says why
    trouble: str = ""

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The summary's values by dotted path; empty where the job has none."""
        return dict(flat(self.run.summary or {})) if self.run is not None else {}

    def number(self, path: str) -> float | None:
        """The number at a dotted path of the summary, of an ensemble the median over its members; None where there is
        none."""
        value = self.summary.get(f"ensemble.{path}.p50", self.summary.get(path))
        return float(value) if isinstance(value, (int, float)) else None


@dataclass(frozen=True, eq=False)
class Group:
    """The finished jobs that differ in their seeds alone."""

    values: Mapping[str, Value]  # of the swept keys
    jobs: tuple[Job, ...]

    @property
    def runs(self) -> list[Run]:
        """Their runs."""
        return [job.run for job in self.jobs if job.run is not None]


@dataclass(frozen=True, eq=False)
class Sweep:
    """All jobs under a folder, in the order of their numbers."""

    folder: Path
    jobs: tuple[Job, ...]

    @classmethod
    def read(cls, folder: str | Path) -> Sweep:
        """Reads every job at or under the folder, ended or not.

        Raises InvalidInput where there is none. A job without summary.json, or with a damaged file, is kept
        without its run.
        """
        folder = Path(folder)
        places = {path.parent.parent for path in folder.rglob(".hydra/overrides.yaml")}
        places |= {path.parent for name in ("metrics.csv", ERROR_FILE) for path in folder.rglob(name)}
        if not places:
            raise InvalidInput("folder", str(folder), "the folder of a run (with metrics.csv) or of a sweep of runs")
        jobs = [_read_job(place, folder) for place in sorted(places, key=natural_order)]
        named = dict.fromkeys(name for job in jobs for name in job.overrides)
        return cls(folder, tuple(_completed(job, list(named)) for job in jobs))

    @property
    def finished(self) -> list[Job]:
        """The jobs with a summary."""
        return [job for job in self.jobs if job.run is not None]

    @property
    def unfinished(self) -> list[Job]:
        """The others."""
        return [job for job in self.jobs if job.run is None]

    @cached_property
    def keys(self) -> list[str]:
        """The swept keys other than the seed: those whose value differs between jobs. Not among them is what does not
        make a run another, such as `resume`, which some jobs of a resumed sweep were given."""
        names = dict.fromkeys(name for job in self.jobs for name in job.overrides)
        own = [name for name in names if name != SEED and name not in NOT_PART_OF_A_RUN]
        return [name for name in own if len({job.overrides.get(name) for job in self.jobs}) > 1]

    @cached_property
    def groups(self) -> list[Group]:
        """The finished jobs by the values of the swept keys, sorted by them."""
        found: dict[tuple[Value, ...], list[Job]] = {}
        for job in self.finished:
            found.setdefault(tuple(job.overrides.get(key) for key in self.keys), []).append(job)
        order = sorted(found, key=lambda values: [sortable(value) for value in values])
        return [Group(dict(zip(self.keys, values, strict=True)), tuple(found[values])) for values in order]

    def levels(self, key: str) -> list[Value]:
        """The values that the key takes among the finished jobs, sorted."""
        return sorted({job.overrides.get(key) for job in self.finished}, key=sortable)

    def table(self) -> dict[str, list[Any]]:
        """Columns of equal length, one row per job: its name, whether it finished, every override, and every value
        of the summary by its dotted path. None where a job has no such value."""
        overrides = dict.fromkeys(name for job in self.jobs for name in job.overrides)
        values = dict.fromkeys(path for job in self.jobs for path in job.summary)
        columns: dict[str, list[Any]] = {
            "job": [job.name for job in self.jobs],
            "finished": [job.run is not None for job in self.jobs],
        }
        columns |= {name: [job.overrides.get(name) for job in self.jobs] for name in overrides}
        new = [path for path in values if path not in columns]
        return columns | {path: [job.summary.get(path) for job in self.jobs] for path in new}


def write_table(columns: Mapping[str, list[Any]], folder: Path) -> list[Path]:
    """Writes summary.csv, and summary.parquet where pyarrow is installed; returns the paths."""
    paths = [folder / "summary.csv"]
    with whole_file(paths[0]) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow
        from pyarrow import parquet

        paths.append(folder / "summary.parquet")
        table = pyarrow.table({name: _one_type(column) for name, column in columns.items()})
        with whole_file(paths[1]) as temporary:
            parquet.write_table(table, temporary)
    return paths


def sortable(value: Value) -> tuple[int, float, str]:
    """A key that sorts numbers by size, before words by alphabet."""
    return (0, float(value), "") if is_number(value) else (1, 0.0, str(value))  # type: ignore[arg-type]


def _read_job(place: Path, root: Path) -> Job:
    name = str(place.relative_to(root)) if place != root else place.name
    note = (place / ERROR_FILE).read_text(encoding="utf-8").splitlines() if (place / ERROR_FILE).exists() else None
    overrides: dict[str, Value] = {}
    try:
        overrides = _read_overrides(place / ".hydra" / "overrides.yaml", note)
        if not (place / "summary.json").exists():
            return Job(name, overrides, None, note[-1] if note else "no summary.json")
        return Job(name, overrides, Run.read(place))
    except InvalidInput as error:
        return Job(name, overrides, None, str(error))


def _completed(job: Job, named: list[str]) -> Job:
    """The job with the values, from its configuration, of what others had as overrides: in a folder of runs that were
    not one sweep, a run at the default of a key has no override of it."""
    if job.run is None:
        return job
    config = dict(flat((job.run.summary or {}).get("config") or {}))
    names = {key.removesuffix(".name"): value for key, value in config.items() if key.endswith(".name")}
    own = {name: value for name in named if (value := {**config, **names}.get(name)) is not None}
    values = {
        name: value if isinstance(value, (int, float, str)) else json.dumps(value) for name, value in own.items()
    }
    return dataclasses.replace(job, overrides={**values, **job.overrides})


def _read_overrides(path: Path, note: list[str] | None) -> dict[str, Value]:
    """From the file that Hydra's overrides are in; a job that never began has them in its note alone."""
    try:
        if path.exists():
            lines = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        else:
            lines = note[1].split() if note is not None and len(note) > 1 else []
        return dict(_parsed(str(line)) for line in lines)
    except (OSError, ValueError, yaml.YAMLError, HydraException) as error:
        raise InvalidInput("overrides", str(path), f"a list of overrides ({' '.join(str(error).split())})") from None


@cache
def _parsed(line: str) -> tuple[str, Value]:
    """Key and value by Hydra's own grammar: YAML 1.1 would take 1e-6 for a word and `no` for false."""
    override = OverridesParser.create().parse_override(line)
    value = override.value()
    return override.key_or_group, value if isinstance(value, (int, float, str, type(None))) else json.dumps(value)


def _one_type(column: list[Any]) -> list[Any]:
    """The column as it is, or as text where it mixes types that Parquet cannot hold together."""
    kinds = {type(value) for value in column if value is not None}
    return column if len(kinds) <= 1 or kinds == {int, float} else [None if v is None else cell(v) for v in column]
