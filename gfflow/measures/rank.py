"""How many directions the hidden weights really use."""

from __future__ import annotations

from gfflow.model.neurons import Neurons


def nuclear_norm(neurons: Neurons) -> float:
    """The sum of the singular values of W."""
    return float(neurons.singular_values.sum())


def stable_rank(neurons: Neurons) -> float:
    """||W||_F^2 / ||W||^2: 1 where all w_j are parallel, at most the rank; 0 for W = 0."""
    values = neurons.singular_values
    return float((values / values[0]).square().sum()) if float(values[0]) > 0 else 0.0
