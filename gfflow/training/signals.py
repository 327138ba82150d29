"""The signals that stop the command, outside training, for the process that runs it. (Interruption has them in
training.)"""

from __future__ import annotations

import os
import signal
import sys
from types import TracebackType
from typing import Any, ClassVar

OF_SCHEDULERS: tuple[int, ...] = tuple(
    int(getattr(signal, name)) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)  # sent before a job's time is up; Windows has none


def end_at_once(number: int, _: Any) -> None:
    """The handler of a command that has written nothing yet: one line, and the exit status 128 + signal. An exception
    could be lost while modules are half imported, or turned into another."""
    os.write(2, b"gfflow: interrupted\n")
    os._exit(128 + number)


class StopSignals:
    """Within it (`with StopSignals() as signals:`) SIGTERM, SIGUSR1 and SIGUSR2 raise KeyboardInterrupt as SIGINT
    does, so that a launcher ends its workers on any, and the signals that came are kept by number in `received`, also
    afterwards.

    The exception alone cannot be relied on: it is lost where a library drops all exceptions, or where Python calls
    back from collecting garbage, and turned into another where one leaves something half made. So no job begins, and
    no training, once a signal has been received (`end_if_stopped`, `first_received`).

    In a process that is the command's own (`own_process`) signals are ignored from the end of the block on, once one
    has come: all is said then, and another would only change the exit status.

    A signal that is ignored or handled already when the block begins stays so; training handles them in its own way
    meanwhile. What Python would print of an interruption that a `__del__` dropped, such as that of Lightning's
    profiler, is not shown.
    """

    current: ClassVar[StopSignals | None] = None  # the one whose block is being run
    own_process: ClassVar[bool] = False

    def __init__(self) -> None:
        self.received: list[int] = []
        self._held = False
        self._before: dict[int, Any] = {}
        self._print_dropped: Any = None

    def __enter__(self) -> StopSignals:
        usual: dict[int, Any] = dict.fromkeys((signal.SIGTERM, *OF_SCHEDULERS), signal.SIG_DFL)
        usual[signal.SIGINT] = signal.default_int_handler
        self._before = {n: default for n, default in usual.items() if signal.getsignal(n) in (default, end_at_once)}
        self._print_dropped, sys.unraisablehook = sys.unraisablehook, self._on_dropped
        StopSignals.current = self
        for number in self._before:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        StopSignals.current = None
        sys.unraisablehook = self._print_dropped
        ends = self.own_process and self.received
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if ends else handler)

    def _on_signal(self, number: int, _: Any) -> None:
        self.received.append(number)
        if not self._held:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From now on a signal is kept by number and raises nothing: what is left to do is to say how to go on."""
        self._held = True

    def _on_dropped(self, dropped: Any) -> None:
        if not (self.received and dropped.exc_type is KeyboardInterrupt):
            self._print_dropped(dropped)


def first_received() -> int | None:
    """The first signal that the command under way has received; None where there was none, or is no command."""
    signals = StopSignals.current
    return signals.received[0] if signals is not None and signals.received else None


def note_received(number: int) -> None:
    """Notes a signal that training has handled, for the command under way, if any."""
    if StopSignals.current is not None:
        StopSignals.current.received.append(number)


def end_if_stopped() -> None:
    """Raises KeyboardInterrupt again, where a signal has come and the exception that it raised was lost."""
    if first_received() is not None:
        raise KeyboardInterrupt
