"""Losses as values: what a sample costs, how strongly it pulls, and how curved its cost is.

The training loss is L = (1/n) sum_k l(h(x_k), y_k). Everything that moves depends on the loss through the residual
r_k = -dl/dh alone: fields D_j, alignment, balancedness, the early phase, saddles. For the square r = y - h (Eq. 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gfflow.errors import InvalidInput


class Loss(ABC):
    """A per-sample loss l(h, y); h and y are tensors of one shape, and so is every result."""

    name: str
    code: ClassVar[int | None] = None  # by which compiled code knows it (model/compiled_losses.py); None: not at all
    is_square: ClassVar[bool] = False  # whether it is the square loss, of which the paper's statements speak
    is_classification: ClassVar[bool] = False  # whether labels are +-1 and l is a function of the margin y h alone
    output_bias: float = 0.0  # a constant that is added to h before it is compared with y
    output_scale: float = 1.0  # and what the sum is then multiplied by

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
    code: ClassVar[int | None] = 0
    is_square: ClassVar[bool] = True

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return (h - y).square() / 2

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return y - h

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return y.new_ones(y.shape)


class Classification(Loss):
    """A loss of labels +1 and -1 that falls to 0 as the margin y h grows, and has no minimum."""

    is_classification: ClassVar[bool] = True

    def check_labels(self, y: Tensor) -> None:
        odd = y[y.abs() != 1]
        if len(odd):
            raise InvalidInput("data labels", f"{odd[0].item():g}", f"+1 and -1 with loss={self.name}")


class Logistic(Classification):
    """l = ln(1 + e^{-yh}): r = y / (1 + e^{yh}), y/2 at h = 0."""

    name = "logistic"
    code: ClassVar[int | None] = 1

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.logaddexp(torch.zeros_like(h), -y * h)

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return y * torch.sigmoid(-y * h)

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.sigmoid(h) * torch.sigmoid(-h)


class Exponential(Classification):
    """l = e^{-yh}: r = y e^{-yh}, y at h = 0."""

    name = "exponential"
    code: ClassVar[int | None] = 2

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-y * h)

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return y * torch.exp(-y * h)

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-y * h)


SQUARE = Square()
LOGISTIC = Logistic()
EXPONENTIAL = Exponential()


@dataclass(frozen=True, eq=False)
class OfFunction(Loss):
    """A loss given as a function of (h, y), of tensors of one shape, differentiated by autograd."""

    function: Callable[[Tensor, Tensor], Tensor]
    name = "given"

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return self.function(h, y)

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return self._derivatives(h, y)[0].detach()

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        slope, at = self._derivatives(h, y, create_graph=True)
        if not slope.requires_grad:
            return torch.zeros_like(y)
        (bend,) = torch.autograd.grad(-slope.sum(), at, allow_unused=True)
        return torch.zeros_like(y) if bend is None else bend.detach()

    def _derivatives(self, h: Tensor, y: Tensor, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = h.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.function(at, y).sum(), at, create_graph=create_graph)
        return -slope, at

    def check_labels(self, y: Tensor) -> None:
        """Raises InvalidInput where the function does not give one number a sample."""
        found = self.function(torch.zeros_like(y), y)
        if not isinstance(found, Tensor) or found.shape != y.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InvalidInput("loss", f"a function that gives {shape}", f"one that gives {tuple(y.shape)}: no mean")


@dataclass(frozen=True, eq=False)
class OfOutput(Loss):
    """l(c (h + b), y): the loss of a network whose output is c (h + b), by an output bias b and an output scale
    c > 0, as a loss of h. The weights move by it as those of a network without either."""

    loss: Loss
    output_bias: float = 0.0
    output_scale: float = 1.0

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.loss.name

    @property
    def is_classification(self) -> bool:  # type: ignore[override]
        return self.loss.is_classification

    def _output(self, h: Tensor) -> Tensor:
        return self.output_scale * (h + self.output_bias)

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return self.loss.value(self._output(h), y)

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return self.output_scale * self.loss.residual(self._output(h), y)

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return self.output_scale**2 * self.loss.curvature(self._output(h), y)

    def check_labels(self, y: Tensor) -> None:
        self.loss.check_labels(y)
