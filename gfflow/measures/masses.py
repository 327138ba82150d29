"""Masses: how much of the network a group of neurons carries."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons


def masses(neurons: Neurons, members: Tensor) -> Tensor:
    """u = sum over the members of ||w_j||^2, shape (...); members is a boolean mask (m,) or (..., m)."""
    return neurons.norms.masked_fill(~members, 0.0).square().sum(dim=-1)


def mass(neurons: Neurons, members: Tensor) -> float:
    """u of the one network."""
    return float(masses(neurons, members))


def largest_norms(neurons: Neurons, members: Tensor) -> Tensor:
    """max ||w_j|| over the members, shape (...); NaN where the mask, (m,) or (..., m), names none."""
    largest = neurons.norms.masked_fill(~members, 0.0).amax(dim=-1)
    return largest.masked_fill(~members.any(dim=-1), torch.nan)


def largest_norm(neurons: Neurons, members: Tensor) -> float:
    """max ||w_j|| over the members of the one network."""
    return float(largest_norms(neurons, members))
