"""Kinks: how simple the function of a network on a line is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot


def kinks(neurons: Neurons, low: float, high: float, tolerance: float = 1e-2, negligible: float = 1e-2) -> Tensor:
    """Where h(t) = sum_j a_j relu(w_j1 t + w_j2) has a kink for t in [low, high], in increasing order: shape (K,).

    Neuron j changes the slope of h at -w_j2 / w_j1 by a_j |w_j1|. Neurons whose kinks follow each other within
    tolerance * (high - low) count as one kink, at their mean weighted by |a_j w_j1|, with the sum of their slope
    changes; kinks that then change the slope by less than `negligible` times the sum of all |a_j w_j1| are left
    out. Neurons with w_j1 = 0 have no kink.
    """
    sloped = neurons.w[:, 0].numpy() != 0
    w, a = neurons.w.numpy()[sloped], neurons.a.numpy()[sloped]
    places, changes = -w[:, 1] / w[:, 0], a * np.abs(w[:, 0])
    inside = (places >= low) & (places <= high)
    smallest = negligible * float(np.abs(changes).sum())
    places, changes = places[inside], changes[inside]
    order = np.argsort(places, kind="stable")
    places, changes = places[order], changes[order]
    if not len(places):
        return torch.from_numpy(places)
    group = np.concatenate([[0], np.diff(places) > tolerance * (high - low)]).cumsum()
    weights = np.abs(changes)
    merged, total = np.bincount(group, changes), np.bincount(group, weights)
    centres = np.bincount(group, weights * places) / np.maximum(total, np.finfo(np.float64).tiny)
    return torch.from_numpy(centres[np.abs(merged) > smallest])


def line_interval(data: TrainingSet) -> tuple[float, float]:
    """(low, high) of inputs on a line with bias: from the smallest to the largest, and a quarter of their distance
    beyond on either side (1 beyond a single input). Kinks are counted, and functions drawn, over it."""
    low, high = float(data.x[:, 0].min()), float(data.x[:, 0].max())
    margin = (high - low) / 4 or 1.0
    return low - margin, high + margin


def kinks_on_line(snapshot: Snapshot) -> Tensor | None:
    """The kinks of h within line_interval of the data, (K,); None where the inputs are not on a line with bias."""
    data = snapshot.training_set
    return kinks(snapshot.neurons, *line_interval(data)) if data.one_dimensional else None
