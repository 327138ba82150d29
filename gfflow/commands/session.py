"""One call of the command line, from its first line to its exit status."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from gfflow.commands.jobs import Watch
from gfflow.commands.words import keys_of_one_value
from gfflow.training.signals import StopSignals


class Session:
    """What is known of one call of the command: the signals that it has received, the folder of the sweep it runs
    (None: a single run) with what has become of its jobs, the folder of the single run (None: none has begun), and
    the failures to report at its end. Hydra's callbacks and the jobs in this process find
    it as `Session.current`, which is None in the worker processes of a sweep.

    Within it, an OSError in a thread of TensorBoard's event writer (a full disk) prints no traceback: the next write
    raises it again in the main thread, where it is reported. Errors of all other threads are shown as ever.
    """

    current: ClassVar[Session | None] = None

    def __init__(self) -> None:
        self.signals = StopSignals()
        self.sweep: Path | None = None
        self.made = False  # whether the sweep's folder is one that it has made
        self.watch: Watch | None = None  # of the sweep's jobs
        self.searched: tuple[str, bool] | None = None  # by optuna: what, and whether it is maximised
        self.submitted: set[str] = set()  # a scheduler's names of the jobs handed to it that have not ended
        self.cancel = "kill"  # the command that ends them
        self.run: Path | None = None
        self.failures: list[tuple[str, int]] = []  # message and exit status
        self._print_error: Any = None

    def __enter__(self) -> Session:
        self._print_error, threading.excepthook = threading.excepthook, self._on_thread_error
        Session.current = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Session.current = None
        threading.excepthook = self._print_error
        if self.watch is not None:
            self.watch.stop()

    def begin_sweep(self, folder: Path, sweeper: Any) -> None:
        """Tells from now on of the jobs of a sweep; `sweeper` is Hydra's configuration of it. verbose=false on the
        command line: of those alone that fail."""
        self.sweep, self.made = folder, not folder.exists()
        typed = sys.argv[1:]
        quiet = "verbose=false" in [word.lower() for word in typed]
        self.watch = Watch(folder, quiet, common=keys_of_one_value(typed))
        self.watch.total = sweeper.get("n_trials")
        if "direction" in sweeper:  # optuna's sweeper
            metric = next((word.partition("=")[2] for word in sys.argv if word.startswith("optimized_metric=")), "")
            self.searched = metric or "final.loss", "maximize" in str(sweeper.direction)
        self.watch.start()

    def _on_thread_error(self, ended: Any) -> None:
        writer = ended.thread is not None and type(ended.thread).__module__.startswith("tensorboard.")
        if not (writer and isinstance(ended.exc_value, OSError)):
            self._print_error(ended)
