"""Activations as values: phi(z) = z above 0 and slope * z below, with a stated derivative at 0.

For the ReLU the choice matters: relu'(0) = 0 is the only one for which a gradient flow exists for all time
(Appendix D, Proposition 2). Another c in [0, 1] can be set, to see what goes wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from gfflow.model.options import NetworkOptions


@dataclass(frozen=True)
class Activation:
    """phi(z) = max(0, z) + slope * min(0, z), elementwise; phi'(z) is 1 for z > 0, `slope` for z < 0 and `at_zero`
    at z = +-0. The second derivative is zero everywhere. Raises InvalidInput for a derivative at 0 outside [0, 1]."""

    slope: float = 0.0
    at_zero: float = 0.0

    def __post_init__(self) -> None:
        NetworkOptions.check(relu_derivative_at_zero=self.at_zero)

    @property
    def is_relu(self) -> bool:
        """Whether it is the ReLU with relu'(0) = 0, of which the paper's statements speak."""
        return self.slope == 0 and self.at_zero == 0

    @property
    def is_usual(self) -> bool:
        """Whether phi'(0) is the slope from below, as for the ReLU of the paper and the leaky ReLU of torch."""
        return self.at_zero == self.slope

    def __call__(self, z: Tensor) -> Tensor:
        """phi(z), differentiable. NaN passes through, in the value and in the derivative. Any floating dtype and
        device; works under torch.func.grad and torch.func.vmap."""
        return _Activation.apply(z, self.slope, self.at_zero)

    def value(self, z: Tensor) -> Tensor:
        """phi(z), where no derivative is asked for."""
        return z.clamp(min=0) if self.slope == 0 else torch.nn.functional.leaky_relu(z, self.slope)

    def derivative(self, z: Tensor) -> Tensor:
        """phi'(z), of the dtype of z."""
        on = (z > 0).to(z.dtype)
        if self.slope:
            on = on + self.slope * (z < 0).to(z.dtype)
        return on + self.at_zero * (z == 0).to(z.dtype) if self.at_zero else on


RELU = Activation()


def leaky_relu(slope: float) -> Activation:
    """The leaky ReLU; at 0 its derivative is that from below, as in torch."""
    return Activation(slope, at_zero=slope)


class _Step(Function):
    """1 where z > 0, at_zero where z = 0, slope where z < 0, NaN where z is NaN; its derivative is zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, slope: float, at_zero: float) -> Tensor:
        return torch.where(z.isnan(), z, Activation(slope, at_zero).derivative(z))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return torch.zeros_like(gradient), None, None


class _Activation(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, slope: float, at_zero: float) -> Tensor:
        return torch.relu(z) if slope == 0 else torch.nn.functional.leaky_relu(z, slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        z, ctx.slope, ctx.at_zero = inputs
        ctx.save_for_backward(z)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        return gradient * _Step.apply(z, ctx.slope, ctx.at_zero), None, None
