"""Alignment: cosines between neurons and the directions that attract them."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons
from gfflow.model.products import inner
from gfflow.model.snapshot import Snapshot

ROUNDING = 1e-13  # of a field, relative to the largest that the labels allow: below it the field has no direction


def cosines_with(neurons: Neurons, direction: Tensor) -> Tensor:
    """cos(w_j, direction), shape (..., m), for a non-zero direction (d,); 0 for a zero neuron."""
    return inner(neurons.directions, direction / direction.norm())


def own_cosines(snapshot: Snapshot) -> Tensor:
    """cos(w_j, s_j D_j) for each neuron whose field D_j is not zero: shape (at most m,).

    s_j D_j is the direction that the neuron itself is drawn to at this instant (Eq. 9); it exists on any data.
    """
    cosines = own_cosines_by_neuron(snapshot)
    known = ~cosines.isnan()
    return cosines if bool(known.all()) else cosines[known]


def own_cosines_by_neuron(snapshot: Snapshot) -> Tensor:
    """cos(w_j, s_j D_j), shape (..., m); NaN where a field at rounding level (all labels fitted, or a dead neuron)
    has no direction. Residuals of another loss than the square are no differences: they are exact however small."""
    data = snapshot.training_set
    largest = data.field_scale if data.loss.is_square else snapshot.largest_fields.unsqueeze(-1)
    moving = snapshot.field_norms > ROUNDING * largest
    neurons = snapshot.neurons
    cosines = neurons.signs * inner(neurons.directions, snapshot.field_directions)
    return cosines.where(moving, torch.nan)
