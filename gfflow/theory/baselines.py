"""What a trained network is compared with: the linear function of least squares, and a network of least norm."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.examples import linear
from gfflow.model.neurons import Neurons
from gfflow.theory.prediction import Prediction


@lru_cache(maxsize=1)  # many starts on one training set
def least_squares(training_set: TrainingSet) -> Tensor:
    """beta (d,) of the linear function <beta, x> of least squared error on the training samples; the shortest one
    where several are."""
    return torch.linalg.lstsq(training_set.x, training_set.y[:, None], driver="gelsd").solution.squeeze(1)


def least_squares_loss(training_set: TrainingSet) -> float:
    """The square loss of that function on the training samples."""
    residual = training_set.y - training_set.x @ least_squares(training_set)
    return float(residual.square().mean()) / 2


@lru_cache(maxsize=1)
def _linear(training_set: TrainingSet) -> Neurons:
    return linear(least_squares(training_set))


def baselines(training_set: TrainingSet, prediction: Prediction | None = None) -> dict[str, Neurons]:
    """Networks to compare with, by name: `least_squares`, and `minimum_norm` where one is known (Proposition 1; a
    convex program with callbacks.minimum_norm)."""
    found = {"least_squares": _linear(training_set)}
    if prediction is not None and prediction.least_norm is not None:
        found["minimum_norm"] = prediction.least_norm
    return found


@lru_cache(maxsize=2)
def losses(neurons: Neurons, training_set: TrainingSet) -> dict[str, float | None]:
    """Its loss on the training samples and on the test samples (None without)."""
    test = training_set.test

    def mean(x: Tensor, y: Tensor) -> float:
        return float(training_set.loss.value(neurons.outputs(x), y).mean())

    return {
        "loss": mean(training_set.x, training_set.y),
        "test_loss": None if test is None else mean(test.x, test.y),
    }
