"""What a solver is: a way for the weights to move from one iteration to a later one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.measures.rest import at_rest
from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.model.options import LOSSES
from gfflow.model.snapshot import Snapshot
from gfflow.solvers.options import PLACES, SolverOptions, all_classes


class Abandoned(Exception):
    """An advance was given up on its way, because `Solver.stop_asked` said so; the network has not moved."""


def never() -> bool:
    """No stop is asked for."""
    return False


class Solver(ABC):
    """Moves a network's weights in place; iteration i stands at flow time lr * i.

    A solver may keep state between calls (a random generator, an integrator's step); `state_dict` holds it as
    tensors and plain Python values, so that a run resumed from a checkpoint goes on bit-exactly.
    """

    name: ClassVar[str]
    is_descent: ClassVar[bool] = True  # it takes steps of size lr; False: it follows the flow itself
    compiles: ClassVar[bool] = False  # the first use on data of a new shape waits for a compiler
    compiles_first: ClassVar[bool] = False  # before anything has moved: a signal may stop its compiler
    runs_on: ClassVar[tuple[str, ...]] = ("cpu",)  # kinds of device, as torch names them
    takes_batches: ClassVar[bool] = False
    any_loss: ClassVar[bool] = False  # False: those that compiled code knows alone
    any_activation: ClassVar[bool] = False  # False: the ReLU and the leaky ReLU, of the usual derivative at 0, alone
    trains_one_layer: ClassVar[bool] = False  # it can leave a layer frozen
    resolution: float = 1e-12  # relative size of a field D_j that the solver cannot tell from zero
    stop_asked: Callable[[], bool] = staticmethod(never)  # a solver whose strides are long looks in between

    def __init__(self, lr: float) -> None:
        SolverOptions.check(lr=lr)
        self.lr = lr

    def check(self, network: TwoLayerReLU, training_set: TrainingSet) -> None:
        """Raises InvalidInput, naming the solver that can, where this one cannot do what is asked. The network may
        still lie on another device than the one it will train on."""
        if not (self.any_activation or network.activation.is_usual):
            able = " or ".join(f"solver={cls.name}" for cls in all_classes() if cls.any_activation)
            raise InvalidInput("solver", self.name, f"with network.relu_derivative_at_zero=0; {able} for others")
        if not (self.any_loss or training_set.loss.code is not None):
            able = " or ".join(f"solver={cls.name}" for cls in all_classes() if cls.any_loss)
            *some, last = LOSSES
            known = f"{', '.join(some)} or {last}"
            raise InvalidInput("solver", self.name, f"with loss={known}; {able} for loss={training_set.loss.name}")
        if not (self.trains_one_layer or network.frozen is None):
            able = " or ".join(f"solver={cls.name}" for cls in all_classes() if cls.trains_one_layer)
            raise InvalidInput("solver", self.name, f"with network.frozen=null; {able} for a frozen layer")

    def check_device(self, network: TwoLayerReLU) -> None:
        """Raises InvalidInput, naming the solvers that can, where this one does not run on the network's device."""
        device = network.hidden.device.type
        if device not in self.runs_on:
            able = " or ".join(f"solver={cls.name}" for cls in all_classes() if device in cls.runs_on)
            here, there = PLACES.get(device, f"on {device}"), " or ".join(PLACES[place] for place in self.runs_on)
            raise InvalidInput("solver", self.name, f"{there}; {here} {able or 'none'}")

    def stride(self, network: TwoLayerReLU, training_set: TrainingSet) -> int:
        """How many steps may pass between two looks at whether a signal has come: about a tenth of a second's worth.
        A leap is always cut at the multiples of this number, so that stopping and resuming at one changes nothing."""
        return 200

    @abstractmethod
    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        """Moves the network, which stands at iteration `start`, to iteration `stop`; or raises Abandoned."""

    def advance_through(
        self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stops: Sequence[int]
    ) -> tuple[Tensor, Tensor] | None:
        """Moves the network to each of the iterations `stops` (T,) in turn, none before `start`, in one call; returns
        its weights at each, float64 and copied, w (T, m, d) and a (T, m). None, and nothing done, where the solver
        cannot, or it would not pay."""
        return None

    def at_rest(self, snapshot: Snapshot) -> bool:
        """Whether the loss is positive and nothing moves any more, to what the solver can tell from zero."""
        return at_rest(snapshot, self.resolution)

    def scalars(self) -> dict[str, float]:
        """What the solver itself has to tell at the iteration where it stands, by the name to log it under."""
        return {}

    def summary(self) -> dict[str, Any]:
        """Counters for the run's summary; empty unless the solver has something to tell."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The state kept between calls."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Takes back what state_dict gave."""
