"""One call of the command line, from its first line to its exit status."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from gfflow.training.signals import StopSignals


class Session:
    """What is known of one call of the command: the signals that it has received, the folder of the sweep it runs
    (None: a single run), and the failures to report at its end. Hydra's callbacks and the jobs in this process find
    it as `Session.current`, which is None in the worker processes of a sweep.

    Within it, an OSError in a thread of TensorBoard's event writer (a full disk) prints no traceback: the next write
    raises it again in the main thread, where it is reported. Errors of all other threads are shown as ever.
    """

    current: ClassVar[Session | None] = None

    def __init__(self) -> None:
        self.signals = StopSignals()
        self.sweep: Path | None = None
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

    def _on_thread_error(self, ended: Any) -> None:
        writer = ended.thread is not None and type(ended.thread).__module__.startswith("tensorboard.")
        if not (writer and isinstance(ended.exc_value, OSError)):
            self._print_error(ended)
