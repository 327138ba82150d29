"""Signals: SIGINT, SIGTERM and those of schedulers stop training where it can be resumed."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import lightning.pytorch as pl

from gfflow.solvers.base import Abandoned
from gfflow.training.module import GradientFlowModule
from gfflow.training.signals import OF_SCHEDULERS, StopSignals, first_received, note_received


class Interruption(pl.Callback):
    """Within it (`with Interruption(module) as callback: Trainer(callbacks=[callback, ...]).fit(module)`) SIGINT,
    SIGTERM, SIGUSR1 and SIGUSR2 ask the module to stop at its next pause, which raises Interrupted; a second SIGINT
    stops at once (schedulers send their signals several times, and SIGKILL in the end). The handlers that were there
    before are put back afterwards. A compilation that a leap waits for is given up.

    SIGUSR1 and SIGUSR2 are what a scheduler sends before a job's time is up. They are meant for somebody: once the
    state is saved, the handler that was there is called, such as submitit's, which queues the job again and ends the
    process. Where they were ignored, they stay so.

    Lightning's own, which it adds when `fit` begins, would end a run by SIGTERM with status 0, and by SIGINT with 1:
    they are replaced when training begins. Does nothing outside the main thread, which alone receives signals.
    """

    takes_blocks = True

    def __init__(self, module: GradientFlowModule) -> None:
        self.module = module
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        self._before = self._install()
        if (number := first_received()) is not None:
            self.module.signal = number
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        meant_for = self._before.get(self.module.signal or 0) if self.module.signal in OF_SCHEDULERS else None
        while self._before:
            signal.signal(*self._before.popitem())
        of_command = isinstance(getattr(meant_for, "__self__", None), StopSignals)  # Interrupted ends that by itself
        if callable(meant_for) and not of_command:
            meant_for(self.module.signal, None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._install()

    def _install(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        heard = [number for number in OF_SCHEDULERS if signal.getsignal(number) != signal.SIG_IGN]
        return {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM, *heard)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.module.signal is None:
            self.module.signal = number
            if self.module.solver.compiles_first and _compiles(frame):  # for a minute or two, it may be
                raise Abandoned
        elif number == signal.SIGINT:
            note_received(number)
            raise KeyboardInterrupt


def _compiles(frame: FrameType | None) -> bool:
    """Whether a leap is under way that waits for numba's compiler, as the stack says."""
    leaps = GradientFlowModule.leap.__code__, GradientFlowModule.leap_through.__code__
    compiler = False
    while frame is not None and frame.f_code not in leaps:
        compiler |= frame.f_globals.get("__name__") == "numba.core.dispatcher"
        frame = frame.f_back
    return compiler and frame is not None
