"""The network: h(x) = sum_j a_j relu(<w_j, x>)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gfflow.model.activations import relu
from gfflow.model.neurons import Neurons
from gfflow.model.options import NetworkOptions


class TwoLayerReLU(nn.Module):
    """One hidden layer of m ReLU neurons, one output, no separate bias (Eq. 1).

    Parameters: `hidden` (m, d), the rows w_j, and `output` (m,), the a_j, started from the given neurons. A
    bias is an input coordinate equal to 1. `relu_derivative_at_zero` is 0 except to study Appendix D.
    """

    def __init__(
        self, start: Neurons, dtype: torch.dtype = torch.float64, relu_derivative_at_zero: float = 0.0
    ) -> None:
        super().__init__()
        NetworkOptions.check(relu_derivative_at_zero=relu_derivative_at_zero)
        self.hidden = nn.Parameter(start.w.detach().to(dtype, copy=True))
        self.output = nn.Parameter(start.a.detach().to(dtype, copy=True))
        self.relu_derivative_at_zero = relu_derivative_at_zero

    def forward(self, x: Tensor) -> Tensor:
        """h(x), shape (n,), for inputs x (n, d)."""
        return relu(x @ self.hidden.T, self.relu_derivative_at_zero) @ self.output

    def neurons(self) -> Neurons:
        """A float64 snapshot of the weights as they are now."""
        return Neurons.copy_of(self.hidden, self.output)
