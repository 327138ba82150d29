"""What no network can fit: samples on one line through zero, whose outputs are bound to one another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.model.data import TrainingSet
from gfflow.model.losses import Loss

DIGITS = 12  # to which two unit inputs agree that lie on one line through zero


def lines_of(training_set: TrainingSet) -> NDArray[np.int64]:
    """For each sample the number of its line through zero, (n,): samples with parallel inputs, of whatever length and
    side, share theirs."""
    x = training_set.x.numpy()
    units = x / np.linalg.norm(x, axis=1)[:, None]
    first = np.argmax(np.abs(units) > 1e-6, axis=1)  # the sign of the first coordinate that is not zero
    units = np.round(units * np.sign(units[np.arange(len(x)), first])[:, None], DIGITS) + 0.0
    return np.unique(units, axis=0, return_inverse=True)[1].reshape(-1)


def least_loss(training_set: TrainingSet) -> float:
    """The least L that any two-layer network without biases has on the samples, however wide, or comes as near to as
    it likes; 0 for losses of your own, of which nothing is said.

    Since 2 relu(z) = z + |z|, h(x) = <v, x> + sum_j b_j |<w_j, x>|, with v and b_j free: on a line it is
    e ||x|| + <v, x> with some e, and the e of different lines are free of each other, since the functions |<., u>| of
    different lines u have their kinks at different places. So L is least where e and v solve a problem of least
    squares; a classification loss comes to 0 where some e and v have margins of at least 1. The same holds for the
    leaky ReLU.
    """
    lines, loss = lines_of(training_set), training_set.loss
    count = int(lines.max()) + 1
    if count == training_set.n or not (loss.is_square or loss.is_classification):
        return 0.0
    x, y = training_set.x.numpy(), training_set.y.numpy()
    even = np.zeros((training_set.n, count))
    even[np.arange(training_set.n), lines] = training_set.norms.numpy()
    shared = np.bincount(lines)[lines] > 1  # a line with one sample is fitted by its own e
    columns = np.hstack([even[shared][:, np.unique(lines[shared])], x[shared]])
    if loss.is_classification:
        return _least_of_margins(loss, columns, y[shared], training_set.n)
    columns = columns / np.linalg.norm(columns, axis=0).clip(min=1e-300)
    rest = y[shared] - columns @ np.linalg.lstsq(columns, y[shared], rcond=1e-12)[0]
    least = float(rest @ rest) / (2 * training_set.n)
    return least if least > 1e-24 * float(y @ y) / training_set.n else 0.0  # below it is rounding


def _least_of_margins(loss: Loss, columns: NDArray[np.float64], y: NDArray[np.float64], n: int) -> float:
    """The infimum over c of (1/n) sum_k l((columns c)_k, y_k), l a classification loss."""
    from scipy.optimize import linprog, minimize

    signed = y[:, None] * columns
    apart = linprog(np.zeros(signed.shape[1]), A_ub=-signed, b_ub=-np.ones(len(y)), bounds=(None, None))
    if apart.status == 0:  # margins of at least 1, hence of any size
        return 0.0
    labels = torch.from_numpy(y)

    def cost(c: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        h = torch.from_numpy(columns @ c)
        return float(loss.value(h, labels).sum()) / n, -(loss.residual(h, labels).numpy() @ columns) / n

    return float(minimize(cost, np.zeros(signed.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-10}).fun)
