"""What of the network and its loss can be chosen and set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gfflow.registry import Entry, Options, Registry, at_least, between, one_of, option


@dataclass(frozen=True)
class ActivationOptions(Entry):
    """An activation, chosen by `network.activation`; its numbers are keys of the network."""


ACTIVATIONS: Registry[ActivationOptions] = Registry("network.activation")


@ACTIVATIONS.register("relu")
@dataclass(frozen=True)
class ReLU(ActivationOptions):
    """max(0, z)."""


@dataclass(frozen=True)
class LossOptions(Entry):
    """A loss, chosen by `loss`."""


LOSSES: Registry[LossOptions] = Registry("loss")


@LOSSES.register("square")
@dataclass(frozen=True)
class Square(LossOptions):
    """(h - y)^2 / 2, averaged over the samples (Eq. 1)."""


@dataclass(frozen=True)
class NetworkOptions(Options):
    """The network h(x) = sum_j a_j phi(<w_j, x>): m hidden neurons, one output, no bias of its own."""

    group: ClassVar[str] = "network"

    width: int = option(60, "m, how many hidden neurons", at_least(1), "neurons")
    activation: str = option(ACTIVATIONS.default, "phi", one_of(ACTIVATIONS))
    relu_derivative_at_zero: float = option(
        0.0, "c, which stands for relu'(0); another than 0 only to study Appendix D, with solver=sgd", between(0, 1)
    )
