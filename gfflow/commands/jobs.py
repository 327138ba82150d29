"""What becomes of the jobs of a sweep: one record for each, written by the process that ran it, whichever launcher
started that, and read by the one that runs the sweep, which tells of it at once."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gfflow.commands.words import command_of
from gfflow.errors import InvalidInput
from gfflow.printing import shell_word
from gfflow.records.files import UNFINISHED, write_text

RECORDS = ".jobs"  # in the folder of a sweep while it runs
ALWAYS = 1e9  # seconds over which the time left is estimated: the whole sweep
NUMBERS = {"final.loss": "loss", "final.limit_distance": "distance to the limit", "final.half_norm_squared": "norm"}


@dataclass(frozen=True)
class Ended:
    """How a job has ended: exit status 0, or that of its failure with its message."""

    number: int
    folder: str
    overrides: list[str]
    seconds: float
    status: int = 0
    message: str = ""
    numbers: dict[str, float] = field(default_factory=dict)  # by what they are
    value: float | None = None  # of the optimized metric

    @property
    def failure(self) -> str:
        """One line on a failed job: its number, its overrides, and the last line of its message."""
        return f"{self.number} ({' '.join(self.overrides)}): {self.message.strip().splitlines()[-1]}"


def record(sweep: Path, ended: Ended) -> None:
    """Leaves the record of a job in the folder of its sweep."""
    write_text(sweep / RECORDS / f"{ended.number}.json", json.dumps(asdict(ended)))


def recorded(sweep: Path) -> list[Ended]:
    """The records that are there, in the order of their numbers."""
    found = []
    for path in (sweep / RECORDS).glob("*.json"):
        if not path.match(UNFINISHED):
            try:
                found.append(Ended(**json.loads(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError, TypeError):  # on a network file system: half there, and whole the next time
                continue
    return sorted(found, key=lambda ended: ended.number)


class Watch:
    """Tells of a sweep's jobs as they end, from a thread of its own, until `stop`: one line each, on a terminal with
    a bar and the time left below; of failures on stderr. `quiet`: of failures alone.

    `total` is how many jobs there are as far as is known, `common` the keys that have one value in all of them.
    """

    def __init__(self, sweep: Path, quiet: bool = False, common: Collection[str] = ()) -> None:
        self.sweep, self.quiet, self.common = sweep, quiet, frozenset(common)
        self.total: int | None = None
        self.ended: dict[int, Ended] = {}
        self._known = 0
        self._began = time.monotonic()
        self._console = Console(highlight=False, soft_wrap=True)
        self._draws = self._console.is_terminal and not self._console.is_dumb_terminal  # where a bar can stand
        self._stopping = threading.Event()
        self._bar = Progress(
            TextColumn("sweep"), BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("jobs,"),
            TimeElapsedColumn(), TextColumn("so far,"), TimeRemainingColumn(), TextColumn("left"),
            console=self._console, disable=quiet or not self._draws, speed_estimate_period=ALWAYS,
            transient=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._watch, name="sweep", daemon=True)

    def start(self) -> None:
        """Begins, and forgets what an earlier call of the command has left."""
        shutil.rmtree(self.sweep / RECORDS, ignore_errors=True)
        self._bar.start()
        self._task = self._bar.add_task("", total=None)
        self._thread.start()

    def stop(self) -> None:
        """Tells of what has ended by now, and takes the records away."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()
        self._bar.stop()
        shutil.rmtree(self.sweep / RECORDS, ignore_errors=True)

    @property
    def failed(self) -> list[Ended]:
        """The jobs that failed, in order."""
        return [ended for _, ended in sorted(self.ended.items()) if ended.status]

    def more(self, jobs: int) -> None:
        """So many jobs more are to come, where it was not known before how many in all."""
        self._known += jobs
        self.total = max(self.total or 0, self._known)

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            self._look()
        self._look()

    def _look(self) -> None:
        for ended in recorded(self.sweep):
            if ended.number not in self.ended:
                self.ended[ended.number] = ended
                self._tell(ended)
        if not self.quiet:
            self._bar.update(self._task, completed=len(self.ended), total=self.total)

    def _tell(self, ended: Ended) -> None:
        if ended.status:
            overrides = " ".join(ended.overrides)
            print(f"gfflow: job {ended.number} ({overrides}) failed: {ended.message}", file=sys.stderr)
            sys.stderr.flush()
        elif not self.quiet:
            self._console.print(escape(self._line(ended)))

    def _line(self, ended: Ended) -> str:
        of = f" of {self.total}" if self.total else ""
        numbers = ", ".join(f"{name} {value:.3g}" for name, value in ended.numbers.items())
        parts = [f"job {ended.number}{of}", self._own(ended), numbers, f"{ended.seconds:.1f} s"]
        remaining = (self.total or 0) - len(self.ended)
        if not self._draws and remaining > 0:
            spent = time.monotonic() - self._began
            parts.append(f"about {_duration(spent / len(self.ended) * remaining)} left")
        return "  ".join(part for part in parts if part)

    def _own(self, ended: Ended) -> str:
        """The overrides that tell the job from the others."""
        words = [word for word in ended.overrides if word.partition("=")[0].lstrip("+") not in self.common]
        return " ".join(words)

    def closing(self, best_of: str | None, maximise: bool = False) -> str:
        """What is said at the end: how many jobs, where they are, how to see them together, and for a search (whose
        metric is given) the best."""
        done = sum(not ended.status for ended in self.ended.values())
        failed = f", {len(self.failed)} failed" if self.failed else ""
        lines = [f"{done} job(s) have ended{failed}, in {_duration(time.monotonic() - self._began)}"]
        found = [ended for ended in self.ended.values() if ended.value is not None]
        if best_of is not None and found:
            best = (max if maximise else min)(found, key=lambda ended: ended.value or 0.0)
            lines.append(f"best         job {best.number}, {best_of} = {best.value:.6g}  {self._own(best)}")
        if (results := self.sweep / "optimization_results.yaml").exists():
            lines.append(f"results      {results}")
        lines += [f"folder       {self.sweep}", f"report       {command_of('report')} {shell_word(self.sweep)}"]
        return "\n".join(lines)


def numbers_of(summary: dict[str, Any], metric: str, value: float) -> dict[str, float]:
    """Two or three numbers by which a run is told from others, of an ensemble medians over its members, and the
    optimized metric where it is another."""
    found = {}
    members = summary.get("ensemble")
    for path, name in NUMBERS.items():
        section, key = path.split(".")
        number = summary[section].get(key) if members is None else members.get(section, {}).get(key, {}).get("p50")
        if number is not None:
            found[name if members is None else f"median {name}"] = float(number)
    return found if metric in NUMBERS or value != value else {**found, metric: value}


def number_at(summary: Mapping[str, Any], path: str) -> float:
    """The number at a dotted path of the summary, what a sweeper such as optuna's minimises; NaN where the summary
    has null there or on the way. Raises InvalidInput for a path that is not there, or that leads to no number."""
    value: Any = summary
    passed: list[str] = []
    for key in path.split("."):
        if value is None:
            return math.nan
        if not isinstance(value, Mapping) or key not in value:
            raise no_such_path(path, passed, value)
        value = value[key]
        passed.append(key)
    if value is None:
        return math.nan
    if not isinstance(value, (int, float)):
        raise no_number(path)
    return float(value)


def no_such_path(path: str, passed: Sequence[str], place: Any, hint: str = "") -> InvalidInput:
    """What is said of a dotted path that ends after the names `passed`, where there is `place`."""
    where = f" in {'.'.join(passed)}" if passed else " in summary.json"
    known = ", ".join(place) if isinstance(place, Mapping) else "nothing: it is a value already"
    return InvalidInput("optimized_metric", path, f"a dotted path{where}: {known}{hint}")


def no_number(path: str, hint: str = "") -> InvalidInput:
    """What is said of a dotted path that leads to something else."""
    return InvalidInput("optimized_metric", path, f"a dotted path in summary.json to a number{hint}")


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def count_summaries(sweep: Path) -> int:
    """How many jobs under the folder have come to their end, in whatever folders they are."""
    return sum(1 for _, _, names in os.walk(sweep) if "summary.json" in names)
