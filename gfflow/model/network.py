"""The network: h(x) = sum_j a_j phi(<w_j, x>)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gfflow.model.neurons import Neurons


class TwoLayerReLU(nn.Module):
    """One hidden layer of m ReLU neurons, one output, no separate bias (Eq. 1).

    Parameters: `hidden` (m, d), the rows w_j, and `output` (m,), the a_j, started from the given neurons. A
    bias is an input coordinate equal to 1. The activation, and the layer that is frozen (if any), are those of the
    start.
    """

    def __init__(self, start: Neurons, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.frozen = start.frozen
        self.hidden = nn.Parameter(start.w.detach().to(dtype, copy=True))
        self.output = nn.Parameter(start.a.detach().to(dtype, copy=True))
        self.activation = start.activation

    def forward(self, x: Tensor) -> Tensor:
        """h(x), shape (n,), for inputs x (n, d)."""
        return self.activation(x @ self.hidden.T) @ self.output

    def neurons(self) -> Neurons:
        """A float64 snapshot of the weights as they are now."""
        return Neurons.copy_of(self.hidden, self.output, self.activation, self.frozen)

    def trained(self) -> list[nn.Parameter]:
        """The parameters of the layers that are not frozen."""
        layers = {"hidden": self.hidden, "output": self.output}
        return [weights for name, weights in layers.items() if name != self.frozen]
