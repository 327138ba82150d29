"""What holds for the jobs of a sweep together, across the processes that run them: threads, who failed, what
ends their workers, and which of them are composed before the first one runs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig

from gfflow.commands.session import Session
from gfflow.commands.words import keys_of_one_value
from gfflow.records.files import write_text
from gfflow.records.folder import ERROR_FILE
from gfflow.threads import SWEEP

GRACE = 10.0  # seconds that a worker whose sweep has gone is given to save the state of its job
COMMON = "GFFLOW_SWEEP_COMMON"  # environment variable: the keys that have one value in all jobs, separated by blanks


def note_failure(folder: Path, overrides: Sequence[str], message: str, status: int) -> None:
    """Leaves a note in the folder of a job that failed, which reports on the sweep read."""
    write_text(folder / ERROR_FILE, f"{status}\n{' '.join(overrides)}\n{message}\n")


def forget_failure(folder: Path) -> None:
    """Takes away the note of an earlier try, where a sweep is resumed."""
    (folder / ERROR_FILE).unlink(missing_ok=True)


def forget_refused(sweep: Path) -> bool:
    """Empties the folder of a sweep of which every job was refused, unless more is in it than what tells of that;
    whether it did."""
    files = [path for path in sweep.rglob("*") if not path.is_dir()]
    if any(path.name not in ("multirun.yaml", ERROR_FILE) for path in files):
        return False
    for path in files:
        path.unlink()
    for path in sorted(sweep.rglob("*"), reverse=True):
        path.rmdir()
    return True


def end_with_sweep() -> None:
    """In a worker process: ends it when the process that runs the sweep has gone, whatever killed that one, and saves
    the state of the job that is training first. Otherwise workers would work off what is in their queue."""
    parent = int(os.environ.get(SWEEP, 0))
    if not parent or parent == os.getpid():
        return
    if os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)
    sys.unraisablehook = without_interruptions
    if any(thread.name == SWEEP for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name=SWEEP, daemon=True).start()


def without_interruptions(dropped: Any) -> None:
    """In place of Python's words on an exception that a `__del__` dropped: none on an interruption. The process that
    runs the sweep ends its workers, and says so."""
    if dropped.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(dropped)


def varied_keys(overrides: Sequence[str]) -> list[str]:
    """The keys among a job's overrides that differ between the jobs of its sweep, as the command line tells."""
    common = os.environ.get(COMMON, "").split()
    keys = [word.partition("=")[0].lstrip("+") for word in overrides]
    return [key for key in dict.fromkeys(keys) if key not in common]


class RecordSweep(Callback):
    """Hydra's callback that records, while a sweep runs, its folder in the session, which then tells of its jobs; for
    the jobs, which may be processes elsewhere, what is common to them; for joblib's workers which process runs it.
    (Those of submitit outlive it by design: they belong to the scheduler.)"""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if Session.current is not None:
            Session.current.begin_sweep(Path(str(config.hydra.sweep.dir)), config.hydra.sweeper)
        os.environ[COMMON] = " ".join(sorted(keys_of_one_value(sys.argv[1:])))
        if config.hydra.launcher._target_.endswith("JoblibLauncher"):
            os.environ[SWEEP] = str(os.getpid())

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        os.environ.pop(SWEEP, None)
        os.environ.pop(COMMON, None)


class ReportSweep(Callback):
    """Hydra's callback that, where the configuration says `report`, writes a sweep's report once its jobs have ended
    here: table, figures and TensorBoard run, as scripts/report.py does. A scheduler's jobs run on: report on them
    later."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not config.report or "submitit" in config.hydra.launcher._target_.lower():
            return
        from gfflow.commands.report import report_sweep  # torch and matplotlib are heavy

        folder = Path(str(config.hydra.sweep.dir))
        if any(folder.glob("*/summary.json")):
            for path in report_sweep(folder):
                print(path)


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class OneThreadPerJob(Callback):
    """Hydra's callback that gives each parallel job one thread, through the environment that its process inherits:
    otherwise every job would start as many threads as there are cores. A variable that is set already stays."""

    def __init__(self) -> None:
        self._set: list[str] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not config.hydra.launcher._target_.endswith("BasicLauncher"):
            self._set = [name for name in THREADS if name not in os.environ]
            os.environ.update(dict.fromkeys(self._set, "1"))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        for name in self._set:
            os.environ.pop(name, None)


def one_of_each_kind(batch: Sequence[Sequence[str]], config_loader: Any) -> list[Sequence[str]]:
    """One job of each kind, in order. Jobs whose overrides differ only in plain values are of one kind: where Hydra
    can compose one of them, it can compose all. The choice of a config group is not a plain value."""
    parser = OverridesParser.create(config_loader=config_loader)
    kept: dict[str, str] = {}  # override -> the part of it that decides the kind

    def kind(override: str) -> str:
        if override not in kept:
            parsed = parser.parse_override(override)
            plain = isinstance(parsed.value(), (bool, int, float, str))
            group = config_loader.get_group_options(parsed.key_or_group)
            kept[override] = parsed.get_key_element() if plain and not group else override
        return kept[override]

    return list({tuple(kind(override) for override in job): job for job in reversed(batch)}.values())[::-1]


def check_metrics(batch: Sequence[Sequence[str]]) -> None:
    """Raises InvalidInput for an `optimized_metric` of a sweep's jobs that no summary.json has: said once, and not by
    each of them."""
    words = {word.lstrip("+") for job in batch for word in job}
    metrics = sorted(value for key, _, value in (word.partition("=") for word in words) if key == "optimized_metric")
    if metrics:
        from gfflow.commands.metric import check_metric  # torch is heavy

        for metric in metrics:
            check_metric(metric, ensemble=True)


def compose_one_of_each_kind() -> None:
    """Has Hydra's sweepers try to compose one job of each kind before the first job runs. Left alone they compose
    every job twice, the first time only to find mistakes early, which for short runs is a tenth of a sweep's time."""
    compose_all = Sweeper.validate_batch_is_legal

    def validate(self: Sweeper, batch: Sequence[Sequence[str]]) -> None:
        context = self.hydra_context
        assert context is not None
        if Session.current is not None and Session.current.watch is not None:
            Session.current.watch.more(len(batch))
        check_metrics(batch)
        compose_all(self, one_of_each_kind(batch, context.config_loader))

    if compose_all.__module__ != __name__:
        Sweeper.validate_batch_is_legal = validate  # type: ignore[method-assign]
