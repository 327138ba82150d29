"""View: what the callbacks measure in a LightningModule that knows nothing of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from gfflow.errors import InvalidInput
from gfflow.model.activations import leaky_relu
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.records.dashboard import charts
from gfflow.records.event_file import add_layout
from gfflow.solvers.options import SolverOptions
from gfflow.training.foreign import (
    LossOf,
    WeightsOf,
    as_loss,
    as_training_set,
    check_forward,
    note_of_loss,
    read_samples,
    read_weights,
    shifted,
    with_loss,
)
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import Schedule


class Observed(Protocol):
    """What a measuring callback sees of a training: a GradientFlowModule, or any other module through its View."""

    schedule: Schedule
    training_set: TrainingSet

    @property
    def iteration(self) -> int: ...

    @property
    def step_size(self) -> float | None:
        """Flow time per iteration; None where an iteration is no step of descent on L."""

    def measurable(self) -> bool:
        """Whether the weights are finite."""

    def on_schedule(self) -> bool:
        """Whether this iteration is one of the schedule's."""

    def ended(self) -> bool:
        """Whether training has ended at this iteration."""

    def snapshot(self) -> Snapshot: ...


class View(pl.Callback):
    """Shows a LightningModule with one hidden ReLU or leaky ReLU layer to the measuring callbacks beside it.

    `view`, a function of the module, returns (w (m, d), a (m,)) or (w, a, output bias); without it the module must
    consist of an nn.Linear, an nn.ReLU (or nn.LeakyReLU) and an nn.Linear. A hidden bias is the last column of w; the
    training inputs then get a last coordinate 1. An output bias b is taken from the labels: residuals are y - b - h,
    and gradient norms are in w and a alone. `training_set` are the samples of the loss; by default those of the
    training loader's dataset, read once. Measurements are taken at the `schedule`'s optimiser steps, log-spaced by
    default. `step_size` is the step of plain full-batch SGD on L = 1/(2n) sum r^2, twice the optimiser's lr where the
    loss is the mean squared error: only with it iterations have a flow time. `loss` is 'square', 'logistic',
    'exponential', or a function of (h, y) that gives the loss of each sample and is differentiated by autograd; by
    default that of the given training set, or the square loss. Labels 0 and 1 of a classification loss are read as -1
    and +1. A layer that requires no gradient counts as frozen: gradient norms are then in the other alone. A module
    whose output is scaled, 1/m sum_j a_j relu(<w_j, x>), is shown by View(view=...) with the factor folded into a;
    weights, balance and gradient norms are then those of the folded a. `slope` is that of the activation below
    zero, 0 for the ReLU; by default that of the module's own nn.ReLU or nn.LeakyReLU. Losses, gradients and the
    directions D_j of a leaky network are its own, and what the paper says of ReLU networks does not hold of it.
    Raises InvalidInput at the start of training.
    """

    def __init__(
        self,
        view: WeightsOf | None = None,
        training_set: TrainingSet | None = None,
        schedule: Schedule | None = None,
        step_size: float | None = None,
        slope: float | None = None,
        loss: LossOf | None = None,
    ) -> None:
        if not (view is None or callable(view)):
            raise InvalidInput("View(view=)", view, "a function of the module that returns (w, a)")
        if not (schedule is None or isinstance(schedule, Schedule)):
            raise InvalidInput("View(schedule=)", schedule, "a gfflow.Schedule")
        if step_size is not None:
            SolverOptions.check(lr=step_size)
        self.loss = loss if loss is None else as_loss(loss)
        self.view, self.activation = view, None if slope is None else leaky_relu(slope)
        self.given, self.given_schedule, self.step_size = training_set, schedule, step_size
        self.logged: set[str] = set()  # names of scalars
        self._trainer: pl.Trainer | None = None
        self._read: tuple[int, Neurons, float] | None = None  # iteration, weights, output bias
        self._snapshot: Snapshot | None = None

    def attach(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Finds weights, samples and schedule, once for each training."""
        self._trainer, self._module, self._read, self._snapshot = trainer, module, None, None
        neurons, bias = self._weights()
        x = None if self.given is not None else (samples := read_samples(trainer.train_dataloader))[0]
        self.training_set = (
            as_training_set(*samples, neurons.w.shape[1], self.loss)
            if self.given is None
            else with_loss(self.given, self.loss)
        )
        note = note_of_loss(module, self.training_set.loss)
        if note is not None:
            warnings.warn(note, stacklevel=2)
        self.schedule = self.given_schedule or _default_schedule(trainer)
        if self.step_size is not None:
            _check_plain_descent(trainer, self.step_size)
        if x is not None and self.measurable():
            check_forward(module, x, self.snapshot(), bias)
        _lay_out(trainer, charts(mirrored=False))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _lay_out(trainer, charts(self.logged, mirrored=False))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._trainer = None

    def attached_to(self, module: pl.LightningModule) -> bool:
        """Whether this training of the module has been seen already."""
        return self._trainer is not None and self._module is module

    @property
    def iteration(self) -> int:
        assert self._trainer is not None
        return self._trainer.global_step

    def _weights(self) -> tuple[Neurons, float]:
        """The weights and the output bias as they stand, copied once for all that ask at one iteration."""
        if self._read is None or self._read[0] != self.iteration:
            self._read = (self.iteration, *read_weights(self._module, self.view, self.activation))
        return self._read[1:]

    def measurable(self) -> bool:
        neurons, bias = self._weights()
        return math.isfinite(neurons.half_norm_squared + bias)

    def on_schedule(self) -> bool:
        return self.iteration in self.schedule

    def ended(self) -> bool:
        return False  # Lightning's on_train_end says so

    def snapshot(self) -> Snapshot:
        """The network as it stands, copied: all measurements of one iteration share it."""
        if self._snapshot is None or self._snapshot.iteration != self.iteration:
            neurons, bias = self._weights()
            time = None if self.step_size is None else self.step_size * self.iteration
            samples = shifted(self.training_set, bias)
            self._snapshot = Snapshot(neurons, samples, self.iteration, time)
        return self._snapshot


def observed(trainer: pl.Trainer, module: pl.LightningModule) -> Observed:
    """What the callbacks measure: the module itself if it is a GradientFlowModule, else the trainer's View of it (one
    is added to the trainer's callbacks where there is none)."""
    if isinstance(module, GradientFlowModule):
        return module
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    view = next((callback for callback in callbacks if isinstance(callback, View)), None)
    if view is None:
        view = View()
        callbacks.append(view)
    if not view.attached_to(module):
        view.attach(trainer, module)
    return view


def _lay_out(trainer: pl.Trainer, layout: Mapping[str, Mapping[str, tuple[str, Sequence[str]]]]) -> None:
    """Gives the custom charts to TensorBoard, where a logger of Lightning's writes for it."""
    for logger in trainer.loggers:
        if layout and isinstance(logger, TensorBoardLogger):
            add_layout(logger.experiment, layout)


def _default_schedule(trainer: pl.Trainer) -> Schedule:
    steps = trainer.estimated_stepping_batches
    if not 1 <= steps < float("inf"):
        raise InvalidInput("schedule", f"none, for a training of {steps} steps", "View(schedule=Schedule.of(last))")
    return Schedule.of(int(steps), linear=0)


def _check_plain_descent(trainer: pl.Trainer, step_size: float) -> None:
    """Raises InvalidInput where steps are not those of gradient descent with a constant step on the whole loss."""
    optimizers = trainer.optimizers
    plain = len(optimizers) == 1 and type(optimizers[0]) is torch.optim.SGD and not trainer.lr_scheduler_configs
    options = [group for optimizer in optimizers for group in optimizer.param_groups] if plain else []
    changed = any(group["momentum"] or group["weight_decay"] or group["maximize"] for group in options)
    batches = trainer.num_training_batches / trainer.accumulate_grad_batches
    if not plain or changed or batches != 1 or trainer.gradient_clip_val:
        name = ", ".join(type(optimizer).__name__ for optimizer in optimizers)
        received = f"{step_size} with {name} and {batches:g} steps per epoch"
        raise InvalidInput("step_size", received, "null, or plain SGD at a constant rate on the whole training set")
