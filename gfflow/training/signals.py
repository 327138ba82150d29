"""SIGINT and SIGTERM outside training, for the process that runs the command. (Interruption has them in training.)"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

received: list[int] = []
"""The signals that came while `stopped_by_signals` lasted. What it raises cannot be relied on alone: an exception is
lost where a library drops all of them, or Python calls back from collecting garbage, and turned into another where
one leaves something half made. So no job begins, and no training, once a signal is in this list."""


def end_if_stopped() -> None:
    """Raises KeyboardInterrupt again, where a signal has come and its own has not ended the command."""
    if received:
        raise KeyboardInterrupt


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While it lasts, SIGTERM raises KeyboardInterrupt as SIGINT does, so that a launcher ends its workers on either,
    and which one it was is kept in `received`. A signal that is ignored or handled already stays so; training handles
    both in its own way meanwhile. What Python would say of an interruption that a `__del__` dropped, such as that of
    Lightning's profiler, is not shown."""

    def stop(number: int, _: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    tell = sys.unraisablehook

    def dropped(told: Any) -> None:
        if not (received and told.exc_type is KeyboardInterrupt):
            tell(told)

    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    for number in ours:
        signal.signal(number, stop)
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = tell
        for number in ours:
            signal.signal(number, usual[number])
