"""The trajectory: frames of all weights at recorded iterations, for figures and later checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from gfflow.callbacks.observed import Observed, observed, view_of
from gfflow.errors import Diverged, InvalidInput
from gfflow.records.files import whole_file
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import Schedule

LARGEST = 32 * 2**20  # bytes of weights kept at most


def frame_count(m: int, d: int, frames: int) -> int:
    """How many frames of m (d + 1) float64 weights to keep: `frames`, or fewer for a large network; at least 2."""
    return max(2, min(frames, LARGEST // (8 * m * (d + 1))))


def check_writable(path: Path) -> None:
    """Makes the folder; raises InvalidInput where a file of that name cannot be written there."""
    if path.suffix != ".npz":
        raise InvalidInput("path", str(path), "a file whose name ends in .npz")
    try:
        with whole_file(path.with_name(f"{path.stem}.try.npz")) as temporary:
            temporary.touch()
        path.with_name(f"{path.stem}.try.npz").unlink()
    except OSError as error:
        raise InvalidInput("path", str(path), f"a file that can be written ({error.strerror})") from None
    if path.is_dir():
        raise InvalidInput("path", str(path), "a file, no folder")


class TrajectoryRecorder(pl.Callback):
    """Writes `trajectory.npz`: step (T,), w (T, m, d), a (T, m) at the schedule's iterations, the first and last
    included, and the training set as x (n, d), y (n,), so that figures can be redrawn from the file alone. By default
    at most 200 of the training's scheduled iterations. An output bias, an activation and a loss are not recorded: a
    run has the latter two in its configuration; of a module, redraw only what is of a plain ReLU network. The file is
    that of the last training; of several processes the first writes it. Raises InvalidInput at the start of training
    where the file cannot be written.
    """

    takes_blocks = True

    def __init__(self, path: str | Path, schedule: Schedule | None = None) -> None:
        self.path = Path(path)
        self.given_schedule = schedule
        self.frames: dict[int, tuple[Tensor, Tensor]] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":  # frames of a training that goes on come with its checkpoint, later
            self.frames = {}
            if not isinstance(pl_module, GradientFlowModule):
                view_of(trainer)
            if trainer.is_global_zero:
                check_writable(self.path)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network = observed(trainer, pl_module)
        self.wanted = self.given_schedule
        if self.wanted is None:
            m, d = network.snapshot().neurons.w.shape
            self.wanted = network.schedule.thinned(frame_count(m, d, 200))
        self._record(network)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._record(observed(trainer, pl_module))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._write(observed(trainer, pl_module))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Diverged) and self.frames:  # nothing will go on from here
            self._write(observed(trainer, pl_module))

    def _write(self, network: Observed) -> None:
        self._record(network, last=True)
        data = network.training_set
        steps = sorted(self.frames)
        with whole_file(self.path) as temporary:
            np.savez(
                temporary,
                step=np.array(steps, dtype=np.int64),
                w=np.stack([self.frames[i][0].numpy() for i in steps]),
                a=np.stack([self.frames[i][1].numpy() for i in steps]),
                x=data.x.numpy(),
                y=data.y.numpy(),
            )

    def _record(self, network: Observed, last: bool = False) -> None:
        passed = network.passed(self.wanted)
        if (network.ended() or last) and network.measurable():
            passed.append(network.snapshot())
        for snapshot in passed:
            self.frames[snapshot.iteration] = (snapshot.neurons.w, snapshot.neurons.a)

    def state_dict(self) -> dict[str, Any]:
        steps = sorted(self.frames)
        if not steps:
            return {}
        return {
            "step": steps,
            "w": torch.stack([self.frames[i][0] for i in steps]),
            "a": torch.stack([self.frames[i][1] for i in steps]),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for i, step in enumerate(state_dict.get("step", [])):
            self.frames[step] = (state_dict["w"][i], state_dict["a"][i])
