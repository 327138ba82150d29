"""Alignment: cosines between neurons and the directions that attract them."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.measures.snapshot import Snapshot
from gfflow.neurons import Neurons


def cosines_with(neurons: Neurons, direction: Tensor) -> Tensor:
    """cos(w_j, direction), shape (m,), for a non-zero direction (d,); 0 for a zero neuron."""
    return neurons.directions @ (direction / direction.norm())


def own_cosines(snapshot: Snapshot) -> Tensor:
    """cos(w_j, s_j D_j) for each neuron whose field D_j is not zero: shape (at most m,).

    s_j D_j is the direction that the neuron itself is drawn to at this instant (Eq. 9); it exists on any data.
    """
    cosines = own_cosines_by_neuron(snapshot)
    return cosines[~cosines.isnan()]


def own_cosines_by_neuron(snapshot: Snapshot) -> Tensor:
    """cos(w_j, s_j D_j), shape (m,); NaN where a field at rounding level (all labels fitted, or a dead neuron)
    has no direction."""
    data = snapshot.training_set
    rounding = 1e-13 * float((data.y.abs() * data.norms).mean())
    moving = snapshot.field_norms > rounding
    neurons = snapshot.neurons
    cosines = neurons.signs * (neurons.directions * snapshot.fields).sum(dim=1) / snapshot.field_norms
    return cosines.where(moving, torch.nan)
