"""Kinks: how simple the function of a network on a line is."""

from __future__ import annotations

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
    sloped = neurons.w[:, 0] != 0
    w, a = neurons.w[sloped], neurons.a[sloped]
    places, changes = -w[:, 1] / w[:, 0], a * w[:, 0].abs()
    inside = (places >= low) & (places <= high)
    smallest = negligible * float(changes.abs().sum())
    places, order = places[inside].sort()
    changes = changes[inside][order]
    if not len(places):
        return places
    group = torch.cat([torch.zeros(1), places.diff() > tolerance * (high - low)]).cumsum(0).long()
    count = int(group[-1]) + 1

    def total(values: Tensor) -> Tensor:
        return torch.zeros(count, dtype=values.dtype).index_add_(0, group, values)

    weights = changes.abs()
    merged, centres = total(changes), total(weights * places) / total(weights).clamp(min=torch.finfo(w.dtype).tiny)
    kept = merged.abs() > smallest
    return centres[kept]


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
