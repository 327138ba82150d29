"""Signals: SIGINT and SIGTERM stop training where it can be resumed."""

from __future__ import annotations

import signal
import threading
from typing import Any

import lightning.pytorch as pl

from gfflow.module import GradientFlowModule


class Interruption(pl.Callback):
    """While training, SIGINT and SIGTERM ask the module to stop at its next pause, which raises Interrupted; a second
    one stops at once. The handlers that were there before, Lightning's own included, are put back afterwards.

    Does nothing outside the main thread, which alone receives signals.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GradientFlowModule)
        if threading.current_thread() is not threading.main_thread():
            return

        def ask(number: int, _: Any) -> None:
            if pl_module.signal is not None:
                raise KeyboardInterrupt
            pl_module.signal = number

        self._before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
