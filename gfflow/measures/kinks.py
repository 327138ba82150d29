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
    return _kinks(neurons.w[None], neurons.a[None], low, high, tolerance, negligible)[0]


def _kinks(
    w: Tensor, a: Tensor, low: float, high: float, tolerance: float = 1e-2, negligible: float = 1e-2
) -> tuple[Tensor, Tensor]:
    """`kinks` of several networks, w (T, m, 2) and a (T, m): all places (K,), those of the first network first, and
    which network each is of (K,)."""
    slopes, offsets = w.numpy()[..., 0], w.numpy()[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        places, changes = -offsets / slopes, a.numpy() * np.abs(slopes)
    inside = (places >= low) & (places <= high) & (slopes != 0)
    smallest = negligible * np.abs(changes).sum(axis=1)
    network = np.nonzero(inside)[0]
    places, changes = places[inside], changes[inside]
    order = np.lexsort((places, network))
    network, places, changes = network[order], places[order], changes[order]
    begins = (np.diff(network, prepend=-1) > 0) | (np.diff(places, prepend=low) > tolerance * (high - low))
    group = begins.cumsum() - 1
    weights, owner = np.abs(changes), network[begins]
    merged, total = np.bincount(group, changes), np.bincount(group, weights)
    centres = np.bincount(group, weights * places) / np.maximum(total, np.finfo(np.float64).tiny)
    kept = np.abs(merged) > smallest[owner]
    return torch.from_numpy(centres[kept]), torch.from_numpy(owner[kept])


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


def kink_counts(snapshot: Snapshot) -> Tensor | None:
    """How many kinks each network has there, shape (...); None where the inputs are not on a line with bias."""
    data, neurons = snapshot.training_set, snapshot.neurons
    if not data.one_dimensional:
        return None
    w, a = neurons.w.reshape(-1, *neurons.w.shape[-2:]), neurons.a.reshape(-1, neurons.a.shape[-1])
    _, network = _kinks(w, a, *line_interval(data))
    return torch.bincount(network, minlength=len(a)).reshape(neurons.a.shape[:-1])
