"""Masses: how much of the network a group of neurons carries."""

from __future__ import annotations

from torch import Tensor

from gfflow.model.neurons import Neurons


def mass(neurons: Neurons, members: Tensor) -> float:
    """u = sum over the members of ||w_j||^2; members is a boolean mask (m,)."""
    return float(neurons.norms[members].square().sum())


def largest_norm(neurons: Neurons, members: Tensor) -> float:
    """max ||w_j|| over the members, a boolean mask (m,) with at least one true entry."""
    return float(neurons.norms[members].max())
