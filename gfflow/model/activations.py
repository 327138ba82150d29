"""The ReLU as an autograd function whose derivative at 0 is exactly 0.

The choice matters: relu'(0) = 0 is the only one for which a gradient flow exists for all time (Appendix D,
Proposition 2). Another c in [0, 1] can be set, to see what goes wrong.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Step(Function):
    """1 where z > 0, c where z = 0, 0 where z < 0, NaN where z is NaN; its derivative is zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, at_zero: float) -> Tensor:
        return torch.where(z.isnan(), z, (z > 0).to(z.dtype) + at_zero * (z == 0).to(z.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return torch.zeros_like(gradient), None


class _ReLU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, at_zero: float) -> Tensor:
        return torch.relu(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        z, ctx.at_zero = inputs
        ctx.save_for_backward(z)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradient * _Step.apply(z, ctx.at_zero), None


def relu(z: Tensor, derivative_at_zero: float = 0.0) -> Tensor:
    """max(0, z), elementwise; its derivative is 1 for z > 0, 0 for z < 0 and `derivative_at_zero` at z = +-0.

    NaN passes through, in the value and in the derivative. The second derivative is zero everywhere. Any
    floating dtype and device; works under torch.func.grad and torch.func.vmap.
    """
    return _ReLU.apply(z, derivative_at_zero)
