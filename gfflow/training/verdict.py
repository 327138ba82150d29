"""When a view is judged, and by what: its gradient on the first batch, a step size by the first step."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.training.first_batch import FirstBatch
from gfflow.training.shown import ModuleSnapshot, Shown
from gfflow.training.view_check import Accuracy, Reading, are_in, compare, readings
from gfflow.training.view_faults import Faults, regulariser


@dataclass
class Verdict:
    """Whether the view holds, found on the first batch with a gradient that is not zero: `pending` until then.

    `stated`: the loss was named; `given`: the training set was given; `drawn_anew`: each reading of the dataset gives
    other samples; `forward_agrees`: the module's forward has been seen to be the view's. `end_batch` raises
    InvalidInput where the view does not hold.
    """

    module: nn.Module
    accuracy: Accuracy
    stated: bool
    given: bool
    drawn_anew: bool
    forward_agrees: bool
    pending: bool = True
    _seen: FirstBatch | None = field(default=None, repr=False)

    def begin_batch(self, shown: Shown, batch: Any) -> None:
        """Watches a batch, where none has been decisive yet."""
        self.close()
        if self.pending:
            self._seen = FirstBatch(self.module, shown, batch)

    def see_loss(self, loss: Tensor) -> None:
        """Before each backward pass."""
        if self._seen is not None:
            self._seen.see_loss(loss)

    def close(self) -> None:
        """Watches no longer."""
        if self._seen is not None:
            self._seen.close()
        self._seen = None

    def end_batch(self, training_set: TrainingSet) -> None:
        """Judges by the batch that was watched, if any."""
        seen = self._seen
        self.close()
        if seen is None or not all(bool(slope.isfinite().all()) for slope in seen.gradients.values()):
            return
        tried: list[Reading] = []
        fitting = None
        for one in readings(seen, training_set, self.accuracy.eps):
            tried.append(one)
            fitting = one if compare(one, seen, self.accuracy.share).holds else None
            if fitting is not None:
                break
        slopes = [*seen.gradients.values(), *(slope for one in tried[:1] for slope in one.gradient.values())]
        if not any(bool(slope.any()) for slope in slopes) or not (seen.gradients or seen.has_moved):
            return  # nothing moves, which says nothing
        self.pending = False
        if not tried or not seen.gradients:
            what = "samples were found in" if seen.gradients else "gradients were seen on"
            warnings.warn(f"no {what} the first batch: that the view is right has not been checked", stacklevel=2)
            return
        faults = Faults(self.module, seen, self.accuracy, self.forward_agrees)
        if fitting is None:
            self._judge_misfit(tried, seen, faults, training_set)
            return
        unclear = None if self.stated else faults.ambiguous(fitting)
        if unclear is not None:
            received = f"the {fitting.loss.name} loss and another, which this start does not tell apart"
            raise InvalidInput("view", received, unclear)
        self._check_samples(fitting, training_set)

    def _judge_misfit(
        self, tried: list[Reading], seen: FirstBatch, faults: Faults, training_set: TrainingSet
    ) -> None:
        for reading in tried:
            note = regulariser(reading, seen, self.accuracy)
            if note is not None:
                warnings.warn(f"{note}; measured without it", stacklevel=2)
                self._check_samples(reading, training_set)
                return
        faults.explain(min(tried, key=faults.misfit))

    def _check_samples(self, fitting: Reading, training_set: TrainingSet) -> None:
        """Whether what was trained on is what is measured on."""
        if self.drawn_anew or are_in(fitting, training_set, self.accuracy.eps):
            return
        if self.given:
            warnings.warn("the first batch's samples are not in the given training set", stacklevel=2)
            return
        received = "samples that are other ones in training than in the dataset, standardised or changed on the way"
        remedy = "View(training_set=TrainingSet(x, y)) with inputs and labels as network and loss are given them"
        raise InvalidInput("view", received, remedy)


def check_descent(trainer: pl.Trainer, step_size: float) -> None:
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


def check_step(start: ModuleSnapshot, now: Shown, step_size: float, steps: int, accuracy: Accuracy) -> None:
    """Raises InvalidInput where the weights have not moved by -step_size * grad L in the first step."""
    allowed = "null, or the step of plain descent on L"
    if steps != 1:
        raise InvalidInput("step_size", f"{step_size:g} where the first batch makes {steps} steps", allowed)
    moved = {name: (now.parameters[name] - old).detach().to("cpu") for name, old in start.shown.parameters.items()}
    slopes = {name: start.gradient.get(name) for name in moved}
    square = sum(float(slope.square().sum()) for slope in slopes.values() if slope is not None)
    along = -sum(float((moved[name] * slope).sum()) for name, slope in slopes.items() if slope is not None)

    def is_step(size: float) -> bool:
        apart = rounding = 0.0
        for name, change in moved.items():
            slope = slopes[name]
            apart += float((change if slope is None else change + size * slope).square().sum())
            rounding += (accuracy.rounding * float(start.shown.parameters[name].detach().norm())) ** 2
        return math.sqrt(apart) <= 10 * accuracy.share * abs(size) * math.sqrt(square) + math.sqrt(rounding)

    if is_step(step_size):
        return
    size = along / square if square else 0.0
    if size > 0 and is_step(size):
        found = f"{float(f'{size:.4g}'):g}, that of the first step as it was made"
        raise InvalidInput("step_size", f"{step_size:g}", f"{found} (twice the rate of descent on the mean square)")
    received = (
        f"{step_size:g}, where the first step was none along the gradient of L on the {start.training_set.n} samples"
    )
    raise InvalidInput("step_size", received, allowed)
