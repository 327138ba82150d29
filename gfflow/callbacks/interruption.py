"""Signals: SIGINT and SIGTERM stop training where it can be resumed."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

import lightning.pytorch as pl

from gfflow.training.module import GradientFlowModule
from gfflow.training.signals import first_received, note_received


class Interruption(pl.Callback):
    """Within it (`with Interruption(module) as callback: Trainer(callbacks=[callback, ...]).fit(module)`) SIGINT and
    SIGTERM ask the module to stop at its next pause, which raises Interrupted; a second one stops at once. The
    handlers that were there before are put back afterwards.

    Lightning's own, which it adds when `fit` begins, would end a run by SIGTERM with status 0, and by SIGINT with 1:
    they are replaced when training begins. Does nothing outside the main thread, which alone receives signals.
    """

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
        while self._before:
            signal.signal(*self._before.popitem())

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._install()

    def _install(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, _: Any) -> None:
        if self.module.signal is not None:
            note_received(number)
            raise KeyboardInterrupt
        self.module.signal = number
