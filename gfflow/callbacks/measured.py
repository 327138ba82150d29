"""The measures of gfflow.scalars as callbacks: any of them by `Measured`, the built-in ones by their names."""

from __future__ import annotations

from copy import copy
from typing import Any

import lightning.pytorch as pl

from gfflow import scalars
from gfflow.callbacks.base import Measurement
from gfflow.callbacks.observed import Observed, observed
from gfflow.callbacks.view import View
from gfflow.errors import InvalidInput
from gfflow.model.snapshot import Frames, Snapshot
from gfflow.scalars import Measure
from gfflow.solvers import Solver
from gfflow.theory import Prediction
from gfflow.training.schedule import Schedule


class Measured(Measurement):
    """Logs the scalars of a measure.

    `few`: at a few of the training's scheduled iterations alone, for costly measures; `schedule`: at those of the
    scheduled iterations that are in it. Each training that no checkpoint resumes begins with the measure as it was
    before the first.
    """

    def __init__(self, source: Measure, *, few: bool = False, schedule: Schedule | None = None) -> None:
        if not isinstance(source, Measure):
            raise InvalidInput("Measured", source, "a measure, such as Measured(MyMeasure())")
        self.source = source
        self.few, self.given_schedule, self.wanted = few, schedule, schedule
        self._unused: dict[str, Any] | None = None  # the measure's attributes before the first training

    @property
    def state_key(self) -> str:
        """One for each kind of measure: a training may have several of this class."""
        return f"Measured({type(self.source).__qualname__})"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        if self._unused is None:
            self._unused = _copied(vars(self.source))
        else:
            vars(self.source).clear()
            vars(self.source).update(_copied(self._unused))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network = observed(trainer, pl_module)
        self.wanted = network.few if self.few and self.given_schedule is None else self.given_schedule
        if network.measurable():
            lr = network.step_size
            self.source.begin(network.snapshot(), [] if lr is None else [lr * i for i in network.schedule])
        super().on_train_start(trainer, pl_module)

    def due(self, network: Observed, ended: bool) -> bool:
        return network.due(self.wanted, ended)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return self.source.measure(snapshot)

    def measure_frames(self, frames: Frames) -> list[dict[str, float]]:
        rows: list[dict[str, float]] = [{} for _ in frames.iterations]
        for name, values in self.source.measure_some(frames, self.wanted).items():
            for row, value in zip(rows, values.tolist(), strict=True):
                if value == value:
                    row[name] = value
        return rows

    def state_dict(self) -> dict[str, Any]:
        return self.source.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.source.load_state_dict(state_dict)


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, lists and mappings among them copied: measures put others in their places, or add to these."""
    return {
        name: copy(value) if isinstance(value, (dict, list, set)) else value for name, value in attributes.items()
    }


class Margin(Measured):
    """`margin/normalized`, `margin/errors` (scalars.Margin), with a classification loss."""

    def __init__(self) -> None:
        super().__init__(scalars.Margin())


class Loss(Measured):
    """`loss` and, where training is descent on L, `time` (scalars.Loss)."""

    def __init__(self) -> None:
        super().__init__(scalars.Loss())


class PredictedLoss(Measured):
    """`theory/loss`, the predicted loss (scalars.PredictedLoss)."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__(scalars.PredictedLoss(prediction))


class GradientNorm(Measured):
    """`gradient/norm` and `gradient/pl_ratio` (scalars.GradientNorm)."""

    def __init__(self) -> None:
        super().__init__(scalars.GradientNorm())


class AlignmentCosines(Measured):
    """`alignment/own_*` and, with a prediction, `alignment/plus_*` and `alignment/minus_*`
    (scalars.AlignmentCosines)."""

    def __init__(self, prediction: Prediction | None = None) -> None:
        super().__init__(scalars.AlignmentCosines(prediction))


class AssignedAlignment(Measured):
    """`alignment/assigned_*`, on data that is not orthogonal (scalars.AssignedAlignment)."""

    def __init__(self) -> None:
        super().__init__(scalars.AssignedAlignment())


class GroupMasses(Measured):
    """`mass/*` and, with a prediction, `theory/u_plus` and `theory/u_minus` (scalars.GroupMasses)."""

    def __init__(self, prediction: Prediction | None = None) -> None:
        super().__init__(scalars.GroupMasses(prediction))


class SaddleDistance(Measured):
    """`saddle/distance` (scalars.SaddleDistance)."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__(scalars.SaddleDistance(prediction))


class LimitDistance(Measured):
    """`limit/distance` and `limit/norm_gap` (scalars.LimitDistance)."""

    def __init__(self, prediction: Prediction) -> None:
        super().__init__(scalars.LimitDistance(prediction))


class Invariants(Measured):
    """`invariant/*` (scalars.Invariants)."""

    def __init__(self) -> None:
        super().__init__(scalars.Invariants())


class SolverState(Measured):
    """The scalars that the solver reports of itself (scalars.SolverState)."""

    def __init__(self, solver: Solver) -> None:
        super().__init__(scalars.SolverState(solver))


class FlowDistance(Measured):
    """`flow/distance` and `flow/function_distance`: lr is the flow time of an iteration, rtol the flow's relative
    tolerance (scalars.FlowDistance).

    In somebody else's training only with `View(step_size=lr)`, which checks that steps are those of descent on L, and
    without an output bias, of which the flow knows nothing; raises InvalidInput otherwise.
    """

    def __init__(self, lr: float, rtol: float = 1e-6) -> None:
        super().__init__(scalars.FlowDistance(lr, rtol))
        self.lr = lr

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network = observed(trainer, pl_module)
        if isinstance(network, View):
            if network.step_size != self.lr:
                received = f"lr {self.lr:g} with View(step_size={network.step_size})"
                remedy = f"View(step_size={self.lr:g}), checked against the first step of plain full-batch descent"
                raise InvalidInput("FlowDistance", received, remedy)
            if len(network.snapshot().shown.weights) == 3:
                raise InvalidInput("FlowDistance", "an output bias", "an output layer with bias=False")
        super().on_train_start(trainer, pl_module)


class Structure(Measured):
    """`structure/*`, at those of the training's scheduled iterations that are in `schedule`, a few by default
    (scalars.Structure)."""

    def __init__(self, schedule: Schedule | None = None) -> None:
        super().__init__(scalars.Structure(), few=True, schedule=schedule)
