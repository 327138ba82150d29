"""What a measuring callback sees of a training, whoever's it is."""

from __future__ import annotations

from typing import Any, Protocol

import lightning.pytorch as pl

from gfflow.callbacks.view import View
from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.model.snapshot import Frames, Snapshot
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import Schedule


class Observed(Protocol):
    """What a measuring callback sees of a training: a GradientFlowModule, or any other module through its View."""

    schedule: Schedule
    training_set: TrainingSet
    frames: Frames | None  # the network at the several iterations passed since the last batch; None: at one alone

    @property
    def few(self) -> Schedule:
        """The iterations at which costlier measures are taken, unless they are told otherwise."""

    @property
    def iteration(self) -> int: ...

    @property
    def step_size(self) -> float | None:
        """Flow time per iteration; None where an iteration is no step of descent on L."""

    def measurable(self) -> bool:
        """Whether the weights are finite."""

    def due(self, schedule: Schedule | None = None, ended: bool = False) -> bool:
        """Whether to measure now what is wanted at the iterations of that schedule, by default the training's, and,
        where training has `ended`, at its end."""

    def ended(self) -> bool:
        """Whether training has ended at this iteration."""

    def snapshot(self) -> Snapshot: ...

    def passed(self, wanted: Schedule | None, ended: bool = False) -> list[Snapshot]:
        """The network where it was `due` since the last batch, as far as it is measurable."""


def observed(trainer: pl.Trainer, module: pl.LightningModule) -> Observed:
    """What the callbacks measure: the module itself if it is a GradientFlowModule, else the trainer's View of it (one
    is added to the trainer's callbacks where there is none)."""
    if isinstance(module, GradientFlowModule):
        return module
    view = view_of(trainer)
    if not view.attached_to(trainer, module):
        view.attach(trainer, module)
    return view


def view_of(trainer: pl.Trainer) -> View:
    """The trainer's View; one is added to its callbacks where there is none. Raises InvalidInput where there are
    several."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    views = [callback for callback in callbacks if isinstance(callback, View)]
    if len(views) > 1:
        raise InvalidInput("callbacks", f"{len(views)} Views", "one View, which all measuring callbacks share")
    if not views:
        views = [View()]
        callbacks.extend(views)
    return views[0]
