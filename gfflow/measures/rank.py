"""How many directions the hidden weights really use."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons


def singular_values(neurons: Neurons) -> Tensor:
    """Those of W (m, d), the largest first; accurate for weights of any size, in time m d^2."""
    largest = float(neurons.w.abs().max())
    if largest == 0:
        return torch.zeros(min(neurons.w.shape), dtype=neurons.w.dtype)
    return largest * torch.linalg.svdvals(neurons.w / largest)


def nuclear_norm(neurons: Neurons) -> float:
    """The sum of the singular values of W."""
    return float(singular_values(neurons).sum())


def stable_rank(neurons: Neurons) -> float:
    """||W||_F^2 / ||W||^2: 1 where all w_j are parallel, at most the rank; 0 for W = 0."""
    values = singular_values(neurons)
    return float((values / values[0]).square().sum()) if float(values[0]) > 0 else 0.0
