"""What of the network and its loss can be chosen and set. A new activation or loss is a class here."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gfflow.registry import Entry, Options, Registry, at_least, between, one_of, option

if TYPE_CHECKING:
    from gfflow.model.activations import Activation  # torch is imported only when one is made
    from gfflow.model.losses import Loss


@dataclass(frozen=True)
class ActivationChoice(Entry):
    """An activation, chosen by `network.activation`; its numbers are options of the network."""

    @abstractmethod
    def make(self, network: NetworkOptions) -> Activation:
        """The activation, with the network's options."""


ACTIVATIONS: Registry[ActivationChoice] = Registry("network.activation")


@ACTIVATIONS.register("relu")
@dataclass(frozen=True)
class ReLU(ActivationChoice):
    """max(0, z)."""

    def make(self, network: NetworkOptions) -> Activation:
        from gfflow.model.activations import Activation

        return Activation(at_zero=network.relu_derivative_at_zero)


@ACTIVATIONS.register("leaky_relu")
@dataclass(frozen=True)
class LeakyReLU(ActivationChoice):
    """max(0, z) + slope min(0, z)."""

    def make(self, network: NetworkOptions) -> Activation:
        from gfflow.model.activations import leaky_relu

        return leaky_relu(network.slope)


@dataclass(frozen=True)
class LossChoice(Entry):
    """A loss, chosen by `loss`."""

    @abstractmethod
    def make(self) -> Loss:
        """The loss."""


LOSSES: Registry[LossChoice] = Registry("loss")


@LOSSES.register("square")
@dataclass(frozen=True)
class SquareLoss(LossChoice):
    """(h - y)^2 / 2, averaged over the samples (Eq. 1)."""

    def make(self) -> Loss:
        from gfflow.model.losses import SQUARE

        return SQUARE


@LOSSES.register("logistic")
@dataclass(frozen=True)
class LogisticLoss(LossChoice):
    """ln(1 + e^{-y h}), averaged over the samples, of labels +1 and -1."""

    def make(self) -> Loss:
        from gfflow.model.losses import LOGISTIC

        return LOGISTIC


@LOSSES.register("exponential")
@dataclass(frozen=True)
class ExponentialLoss(LossChoice):
    """e^{-y h}, averaged over the samples, of labels +1 and -1."""

    def make(self) -> Loss:
        from gfflow.model.losses import EXPONENTIAL

        return EXPONENTIAL


@dataclass(frozen=True)
class NetworkOptions(Options):
    """The network h(x) = sum_j a_j phi(<w_j, x>): m hidden neurons, one output, no bias of its own."""

    group: ClassVar[str] = "network"

    width: int = option(60, "m, how many hidden neurons", at_least(1), "neurons")
    activation: str = option(ACTIVATIONS.default, "phi", one_of(ACTIVATIONS))
    slope: float = option(0.01, "of the leaky ReLU below 0", between(0, 1))
    frozen: str | None = option(None, "the layer that is not trained; null: both are", one_of(("output", "hidden")))
    relu_derivative_at_zero: float = option(
        0.0, "c, which stands for relu'(0); another than 0 only to study Appendix D, with solver=sgd", between(0, 1)
    )

    def make_activation(self) -> Activation:
        """phi, as these options have it."""
        return ACTIVATIONS[self.activation]().make(self)
