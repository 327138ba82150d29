"""Kinks: how simple the function of a network on a line is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Kinks:
    """Where h has a kink, in increasing order, and by how much its slope changes there; each of shape (K,)."""

    places: Tensor
    slope_changes: Tensor

    def __len__(self) -> int:
        return len(self.places)


def kinks(neurons: Neurons, low: float, high: float, tolerance: float = 1e-2, negligible: float = 1e-2) -> Kinks:
    """The kinks of h(t) = sum_j a_j relu(w_j1 t + w_j2) for t in [low, high].

    Neuron j bends h at -w_j2 / w_j1 by a_j |w_j1|. Neurons whose kinks follow each other within
    tolerance * (high - low) count as one kink, at their mean weighted by |a_j w_j1|, with the sum of their slope
    changes; kinks that then change the slope by less than `negligible` times the sum of all |a_j w_j1| are left
    out. Neurons with w_j1 = 0 have no kink.
    """
    bending = neurons.w[:, 0] != 0
    w, a = neurons.w[bending], neurons.a[bending]
    places, changes = -w[:, 1] / w[:, 0], a * w[:, 0].abs()
    inside = (places >= low) & (places <= high)
    smallest = negligible * float(changes.abs().sum())
    places, order = places[inside].sort()
    changes = changes[inside][order]
    if not len(places):
        return Kinks(places, changes)
    group = torch.cat([torch.zeros(1), places.diff() > tolerance * (high - low)]).cumsum(0).long()
    count = int(group[-1]) + 1

    def total(values: Tensor) -> Tensor:
        return torch.zeros(count, dtype=values.dtype).index_add_(0, group, values)

    weights = changes.abs()
    merged, centres = total(changes), total(weights * places) / total(weights).clamp(min=torch.finfo(w.dtype).tiny)
    kept = merged.abs() > smallest
    return Kinks(centres[kept], merged[kept])


def kinks_on_line(snapshot: Snapshot) -> Kinks | None:
    """The kinks around the data: between the smallest and largest input, and a quarter of their distance beyond (1
    beyond a single input). None where the inputs are not on a line with bias."""
    data = snapshot.training_set
    if not data.one_dimensional:
        return None
    low, high = float(data.x[:, 0].min()), float(data.x[:, 0].max())
    margin = (high - low) / 4 or 1.0
    return kinks(snapshot.neurons, low - margin, high + margin)
