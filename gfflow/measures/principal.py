"""Principal components of the hidden weights (Figures 6 and 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons


def principal_components(neurons: Neurons) -> tuple[Tensor, Tensor]:
    """Uncentred principal components of the rows of w: unit vectors (k, d), k = min(m, d), and the share of
    sum_j ||w_j||^2 that each explains, (k,), decreasing.

    Uncentred, since the origin is the network's own zero. Signs are fixed so that the largest entry of each
    component is positive. Raises ValueError where every weight is zero.
    """
    largest = neurons.w.abs().max()
    if largest == 0:
        raise ValueError("no principal component: every weight is zero")
    _, values, components = torch.linalg.svd(neurons.w / largest, full_matrices=False)
    at = components.abs().argmax(dim=1, keepdim=True)
    return components * components.gather(1, at).sign(), values.square() / values.square().sum()
