"""How many directions the hidden weights really use."""

from __future__ import annotations

from torch import Tensor

from gfflow.model.neurons import Neurons


def nuclear_norms(neurons: Neurons) -> Tensor:
    """The sum of the singular values of W, shape (...)."""
    return neurons.singular_values.sum(dim=-1)


def stable_ranks(neurons: Neurons) -> Tensor:
    """||W||_F^2 / ||W||^2, shape (...): 1 where all w_j are parallel, at most the rank; 0 for W = 0."""
    values = neurons.singular_values
    largest = values[..., :1]
    return (values / largest.masked_fill(largest == 0, 1.0)).square().sum(dim=-1)
