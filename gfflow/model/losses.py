"""Losses as values: what a sample costs, how strongly it pulls, and how curved its cost is.

The training loss is L = (1/n) sum_k l(h(x_k), y_k). Everything that moves depends on the loss through the residual
r_k = -dl/dh alone: fields D_j, alignment, balancedness, the early phase, saddles. For the square r = y - h (Eq. 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Loss(ABC):
    """A per-sample loss l(h, y); h and y are tensors of one shape, and so is every result."""

    name: str
    is_square: ClassVar[bool] = False  # whether it is the square loss, of which the paper's statements speak

    @abstractmethod
    def value(self, h: Tensor, y: Tensor) -> Tensor:
        """l(h, y), differentiable."""

    @abstractmethod
    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        """r = -dl/dh."""

    @abstractmethod
    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        """d^2 l/dh^2."""

    def check_labels(self, y: Tensor) -> None:  # noqa: B027
        """Raises InvalidInput where the loss has no meaning for these labels."""


class Square(Loss):
    """l = (h - y)^2 / 2, so that L = 1/(2n) sum_k (h(x_k) - y_k)^2 (Eq. 1)."""

    name = "square"
    is_square: ClassVar[bool] = True

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return (h - y).square() / 2

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return y - h

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return y.new_ones(y.shape)


SQUARE = Square()
