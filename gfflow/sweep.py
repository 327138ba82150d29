"""What holds for the jobs of a sweep together, across the processes that run them: threads, and who failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

ERROR_FILE = "error.txt"  # in the folder of a job that failed: exit status, overrides, message

failed_jobs: list[tuple[str, int]] = []  # of the sweep that has just ended: message and exit status


def record_failure(folder: Path, overrides: str, message: str, status: int) -> None:
    """Tells of a failed job at once, with its overrides, and leaves a note in its folder for the sweep's end."""
    print(f"gfflow: job {folder.name} ({overrides}) failed: {message}", file=sys.stderr, flush=True)
    (folder / ERROR_FILE).write_text(f"{status}\n{overrides}\n{message}\n", encoding="utf-8")


def forget_failure(folder: Path) -> None:
    """Takes away the note of an earlier try, where a sweep is resumed."""
    (folder / ERROR_FILE).unlink(missing_ok=True)


class CollectFailures(Callback):
    """Hydra's callback that gathers the notes when all jobs have ended."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        failed_jobs.clear()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        notes = Path(str(config.hydra.sweep.dir)).glob(f"*/{ERROR_FILE}")
        for note in sorted(notes, key=lambda path: (len(path.parent.name), path.parent.name)):
            status, overrides, message = note.read_text(encoding="utf-8").split("\n", 2)
            reason = message.strip().splitlines()[-1]
            failed_jobs.append((f"{note.parent.name} ({overrides}): {reason}", int(status)))


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class OneThreadEach(Callback):
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
