"""View: what the callbacks measure in a LightningModule that knows nothing of them."""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from gfflow.callbacks.plan import plan
from gfflow.callbacks.rows import Rows, lay_out
from gfflow.callbacks.trained_samples import TrainedSamples
from gfflow.errors import InvalidInput
from gfflow.model.activations import leaky_relu
from gfflow.model.data import TrainingSet
from gfflow.model.snapshot import Frames, Snapshot
from gfflow.records.dashboard import charts
from gfflow.solvers.options import SolverOptions
from gfflow.training.foreign import (
    LossOf,
    WeightsOf,
    as_loss,
    as_training_set,
    check_forward,
    in_view,
    layers_weights,
    read_weights,
    shifted,
)
from gfflow.training.hooked import up_to_date
from gfflow.training.schedule import FEW, Schedule
from gfflow.training.shown import ModuleSnapshot, Shown, check_weights
from gfflow.training.steps import StepCounter
from gfflow.training.verdict import Verdict, check_descent, check_step
from gfflow.training.view_check import Accuracy

PREFIX = "gfflow/"  # of the scalars of somebody else's training
CHECKPOINT_KEY = "gfflow_iteration"


class View(pl.Callback):
    """Shows a LightningModule with one hidden ReLU or leaky ReLU layer to the measuring callbacks beside it.

    `view`, a function of the module, returns (w (m, d), a (m,)) or (w, a, output bias); without it the module must
    consist of an nn.Linear, an nn.ReLU (or nn.LeakyReLU) and an nn.Linear. A hidden bias is the last column of w; the
    training inputs then get a last coordinate 1. An output bias b is taken from the labels: residuals are y - b - h,
    and the bias is one of the parameters. `training_set` are the samples of the loss; by default those of the
    training loader's dataset, read once. Measurements are taken at the `schedule`'s optimiser steps, log-spaced by
    default. `step_size` is the step of plain full-batch descent on L = 1/(2n) sum r^2, twice the optimiser's lr where
    the loss is the mean squared error: only with it iterations have a flow time. It is checked against the first
    step. `loss` is 'square', 'logistic', 'exponential', or a function of (h, y) that gives the loss of each sample
    and is differentiated by autograd; by default that of the given training set, or the square loss. Labels 0 and 1
    of a classification loss are read as -1 and +1. Gradient norms are over the parameters that are trained, by
    autograd through the view: those that require a gradient and that an optimiser holds; a layer with none is frozen.
    `output_scale` is what the module multiplies its output by, as 1/m in 1/m sum_j a_j relu(<w_j, x>); weights and
    balance are those of the parameters. `slope` is that of the activation below zero, 0 for the ReLU; by default that
    of the module's own nn.ReLU or nn.LeakyReLU. Losses, gradients and the directions D_j of a leaky network are its
    own, and what the paper says of ReLU networks does not hold of it.

    Scalars are logged under `prefix`, one row a measurement, and are in `trainer.callback_metrics`; `rows` has them
    by iteration, without it. An iteration is an optimiser step that was really made: several optimisers that step on
    one batch make one, and where weights change without any optimiser, so does each such batch. The default schedule
    is thinned where measuring would take more than a tenth of the training, its first and last iterations left
    (training/budget.py). The samples are those that the loader's sampler and the trainer's limits let be trained on;
    where the dataset has changed at a later epoch, it is read anew.

    On the first batch the gradient through the view of the stated loss is compared with that which the training's own
    backward pass leaves in the parameters (training/verdict.py); nothing is written before, and neither forward nor
    training step are called for it. A regulariser is told and left out. Raises InvalidInput at the start of training,
    or after its first batch, with what differs and what to pass; `check=False` takes the view at its word.
    """

    frames: Frames | None = None

    def __init__(
        self,
        view: WeightsOf | None = None,
        training_set: TrainingSet | None = None,
        schedule: Schedule | None = None,
        step_size: float | None = None,
        slope: float | None = None,
        loss: LossOf | None = None,
        prefix: str = PREFIX,
        output_scale: float = 1.0,
        check: bool = True,
    ) -> None:
        if not (view is None or callable(view)):
            raise InvalidInput("View(view=)", view, "a function of the module that returns (w, a)")
        if not (schedule is None or isinstance(schedule, Schedule)):
            raise InvalidInput("View(schedule=)", schedule, "a gfflow.Schedule")
        if step_size is not None:
            SolverOptions.check(lr=step_size)
        if not 0 < output_scale < math.inf:
            raise InvalidInput("output_scale", output_scale, "a positive number")
        self.loss = loss if loss is None else as_loss(loss)
        self.view, self.activation = view, None if slope is None else leaky_relu(slope)
        self.given, self.given_schedule, self.step_size = training_set, schedule, step_size
        self._rows = Rows(prefix)
        self._trainer: pl.Trainer | None = None
        self._samples: TrainedSamples | None = None  # None: they are given
        self._steps: StepCounter | None = None
        self._begun = 0  # the iteration that a checkpoint, or another training by the same trainer, goes on from
        self._last: Callable[[], Any] = lambda: None  # the trainer of that training
        self.output_scale, self.check = output_scale, check
        self._read: tuple[int, Shown] | None = None  # the weights at that iteration
        self._told = False  # that weights change after they were measured
        self._snapshot: ModuleSnapshot | None = None
        self._verdict: Verdict | None = None
        self._first: ModuleSnapshot | None = None  # the network at the start, until the first step has been checked

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":  # a new training, though it be of the same trainer and module
            self._detach()
            if self._last() is not trainer:
                self._begun, self._last = 0, weakref.ref(trainer)

    def attach(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Finds weights, samples and schedule, once for each training."""
        self._trainer, self._module, self._read, self._snapshot = trainer, module, None, None
        self._told = False
        shown = self._read_weights()
        if self.check:
            check_weights(shown)
        self._start = self._begun or trainer.global_step
        self._steps = StepCounter(module, self._shown, self._start)
        self._rows.begin(trainer)
        self._samples = None if self.given is not None else TrainedSamples(trainer)
        x = None if self._samples is None else self._read_samples()
        if self.given is not None:
            self.training_set = in_view(self.given, shown.neurons.w.shape[1], self.loss)
        if self.given_schedule is not None:
            self.schedule, self.few = self.given_schedule, self.given_schedule.thinned(FEW)
        else:
            self.schedule, self.few = plan(trainer, module, self.training_set, len(shown.neurons.a))
        if self.step_size is not None:
            check_descent(trainer, self.step_size)
        agrees = False
        if self.check and x is not None and self.measurable():
            agrees = check_forward(module, x, self.snapshot(), alone=self.view is None)
        self._expect(trainer, agrees)
        lay_out(trainer, charts(mirrored=False), self.prefix)

    def _expect(self, trainer: pl.Trainer, agrees: bool) -> None:
        """Holds back what is measured until the first batch has shown that the view holds, and the first step that it
        is one of the step size."""
        accuracy = Accuracy.of(self._module, trainer.precision)
        given = self._samples is None
        stated = self.loss is not None or not self.training_set.loss.is_square
        anew = self._samples is not None and self._samples.drawn_anew
        self._verdict = Verdict(self._module, accuracy, stated, given, anew, agrees, pending=self.check)
        self._first = self.snapshot() if self.step_size is not None and self.measurable() else None

    def _settle(self) -> None:
        """Lets out what was held back, once the view has been found to hold; raises InvalidInput if it does not."""
        if self._verdict is None or self._trainer is None:
            return
        self._verdict.end_batch(self.training_set)
        if self._first is not None and self.iteration > self._start and self.step_size is not None:
            first, self._first = self._first, None
            check_step(first, self._weights(), self.step_size, self.iteration - self._start, self._verdict.accuracy)
        if not self._verdict.pending and self._first is None:
            self._verdict = None
            self._rows.release()

    def _read_samples(self) -> Tensor:
        """Makes the samples that are trained on the training set; returns the inputs as they come."""
        assert self._samples is not None
        x, y = self._samples.read()
        self.training_set = as_training_set(x, y, self._weights().neurons.w.shape[1], self.loss)
        return x

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._compare_with_measured()
        if self._verdict is not None and self._verdict.pending:
            self._verdict.begin_batch(self._read_weights(), batch)
        if self._steps is not None:
            self._steps.begin_batch()  # last: whoever asks for the iteration from now on looks at what it has changed

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        if self._verdict is not None:
            self._verdict.see_loss(loss)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._settle()

    def _compare_with_measured(self) -> None:
        """Tells, once, where something has changed the weights after they were measured and before another step: a
        module's on_train_batch_end comes after those of the callbacks."""
        if self._told or self._read is None or self._read[0] != self.iteration:
            return
        if self._read[1].differs_from(self._module):
            self._told = True
            line = (
                f"weights are changed after optimiser step {self.iteration}, by the module's on_train_batch_end or "
                "another callback: rows are of the weights before that; changes in optimizer_step are measured"
            )
            warnings.warn(line, stacklevel=2)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._compare_with_measured()
        if self._verdict is not None and self._verdict.pending and self.iteration > self._start:
            line = "no gradient but zero was seen in the parameters: that the view is right has not been checked"
            warnings.warn(line, stacklevel=2)
        self._rows.release()
        lay_out(trainer, charts(self._rows.names, mirrored=False), self.prefix)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._detach()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._detach()

    def _detach(self) -> None:
        if self._verdict is not None:
            self._verdict.close()
        self._verdict = self._first = None
        if self._steps is not None:
            self._begun = self._steps.count
            self._steps.close()
        self._trainer = self._steps = None

    def attached_to(self, trainer: pl.Trainer, module: pl.LightningModule) -> bool:
        """Whether this training of the module has been seen already."""
        return self._trainer is trainer and self._module is module

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[CHECKPOINT_KEY] = self._begun if self._steps is None else self._steps.count

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._begun = checkpoint.get(CHECKPOINT_KEY, 0)

    @property
    def prefix(self) -> str:
        """What the scalars' names begin with in the loggers and in `trainer.callback_metrics`."""
        return self._rows.prefix

    @property
    def rows(self) -> dict[int, dict[str, float]]:
        """What has been measured in this training, by iteration: scalars by name, without the prefix."""
        return self._rows.rows

    @property
    def iteration(self) -> int:
        assert self._steps is not None
        return self._steps.count

    def _shown(self) -> tuple[Any, ...]:
        """The weights, as the view returns them."""
        with up_to_date(self._module):
            return tuple((self.view or layers_weights)(self._module))

    def _weights(self) -> Shown:
        """The weights as they stand, copied once for all that ask at one iteration."""
        if self._read is None or self._read[0] != self.iteration:
            self._read = (self.iteration, self._read_weights())
        return self._read[1]

    def _read_weights(self) -> Shown:
        optimizers = () if self._trainer is None else self._trainer.optimizers
        return read_weights(self._module, self.view, self.activation, self.output_scale, optimizers)

    def measurable(self) -> bool:
        shown = self._weights()
        return math.isfinite(shown.neurons.half_norm_squared + shown.output_bias)

    def due(self, schedule: Schedule | None = None, ended: bool = False) -> bool:
        assert self._steps is not None and self._trainer is not None
        wanted = self.schedule if schedule is None else schedule
        before, now = self._steps.before, self.iteration
        first = now == self._start and now in wanted
        passed = wanted.passed(before, now, endless=self.given_schedule is None)
        return ended or first or passed or self._rows.read_now(self._trainer)

    def gather(self, scalars: Mapping[str, float], last: bool) -> None:
        """Adds scalars to the row of this iteration, which is written with the `last` of the measuring callbacks."""
        assert self._trainer is not None
        self._rows.add(scalars)
        self._settle()
        if last:
            self._rows.write(self._trainer, self.iteration)

    def later(self, write: Callable[[], None]) -> None:
        """Writes now, or as soon as the view has been found to hold."""
        self._rows.later(write)

    def ended(self) -> bool:
        return False  # Lightning's on_train_end says so

    def snapshot(self) -> ModuleSnapshot:
        """The network as it stands, copied: all measurements of one iteration share it."""
        if self._snapshot is None or self._snapshot.iteration != self.iteration:
            shown = self._weights()
            if self._samples is not None and self._samples.changed():
                self._read_samples()
            time = None if self.step_size is None else self.step_size * self.iteration
            samples = shifted(self.training_set, shown.output_bias, self.output_scale)
            self._snapshot = ModuleSnapshot(shown, samples, self.iteration, time)
        return self._snapshot

    def passed(self, wanted: Schedule | None, ended: bool = False) -> list[Snapshot]:
        return [self.snapshot()] if self.due(wanted, ended) and self.measurable() else []
