"""The solvers that a configuration can name, and what of them can be set. A new one is a class here that names its
solver's class; what that can do are attributes of the solver's class."""

from __future__ import annotations

import dataclasses
import inspect
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gfflow.errors import InvalidInput
from gfflow.registry import POSITIVE, Entry, Registry, at_least, between, one_of, option

if TYPE_CHECKING:
    from gfflow.model.activations import Activation
    from gfflow.model.losses import Loss
    from gfflow.solvers.base import Solver  # torch is imported only when a solver is made

METHODS = ("auto", "runge_kutta", "splitting")


@dataclass(frozen=True)
class SolverOptions(Entry):
    """How the weights move, chosen by its name."""

    group: ClassVar[str] = "solver"

    lr: float = option(
        2e-3, "eta, the step size; iteration i stands at flow time lr * i", between(1e-100, 1e100), "flow time a step"
    )
    iterations: int = option(20000, "how many steps", at_least(1), "steps")
    stop_loss: float | None = option(None, "end at the first measurement with a loss below this", POSITIVE, "loss")
    batch_size: int | None = option(
        None, "samples per step, with solvers for mini-batches (sgd); null: all", at_least(1), "samples"
    )
    rtol: float = option(1e-6, "relative tolerance of the flow (solver=flow and callbacks.flow)", between(1e-13, 0.1))
    method: str = option("auto", "how solver=flow integrates; auto is splitting", one_of(METHODS))

    @classmethod
    @abstractmethod
    def solver_classes(cls) -> list[type[Solver]]:
        """The class that moves the weights, or those of which the first that can is taken; imported only here."""

    def chosen(
        self, *, activation: Activation | None = None, loss: Loss | None = None, cuda: bool | None = None
    ) -> type[Solver]:
        """The class that moves the weights of a network of that activation (None: the ReLU) by that loss (None: the
        square loss), on CUDA or a CPU (None: where it can); raises InvalidInput, naming the solvers that can, where
        none of its own can."""
        usual, known = activation is None or activation.is_usual, loss is None or loss.code is not None
        classes = self.solver_classes()
        devices = list(PLACES) if cuda is None else ["cuda" if cuda else "cpu"]
        if self.batch_size is not None:
            classes = [cls for cls in classes if cls.takes_batches]
        if not classes:
            able = " or ".join(f"solver={cls.name}" for cls in all_classes() if cls.takes_batches)
            allowed = f"null with solver={self.name}; {able} for mini-batches"
            raise InvalidInput("solver.batch_size", self.batch_size, allowed)
        there = [cls for cls in classes if set(devices) & set(cls.runs_on)]
        if not there:
            *some, last = dict.fromkeys(name for name, cls in named_classes() if devices[0] in cls.runs_on)
            others = " or ".join(PLACES[place] for place in classes[0].runs_on)
            raise InvalidInput(
                "solver.name", self.name, f"{PLACES[devices[0]]} {', '.join(some)} or {last}; {self.name} {others}"
            )
        # what a single solver cannot do is said by its own check, which sees the network
        return next((c for c in there if (usual or c.any_activation) and (known or c.any_loss)), there[0])

    def make(
        self, *, seed: int = 0, activation: Activation | None = None, loss: Loss | None = None, cuda: bool = False
    ) -> Solver:
        """The solver; raises InvalidInput as `chosen` does. It is given those of these options that it takes."""
        cls = self.chosen(activation=activation, loss=loss, cuda=cuda)
        taken = inspect.signature(cls).parameters
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"seed": seed}
        return cls(**{name: value for name, value in values.items() if name in taken})


PLACES = {"cpu": "on a CPU", "cuda": "on CUDA"}
SOLVERS: Registry[SolverOptions] = Registry("solver")


def named_classes() -> list[tuple[str, type[Solver]]]:
    """Every name with each class that it may choose: auto is there with several."""
    return [(name, cls) for name, entry in SOLVERS.items() for cls in entry.solver_classes()]


def all_classes() -> list[type[Solver]]:
    """Every solver's class, once."""
    return list(dict.fromkeys(cls for _, cls in named_classes()))


def solver_class(name: str) -> type[Solver]:
    """The class of a solver, by the name that a summary gives it; raises InvalidInput for an unknown name."""
    (cls,) = SOLVERS.named(name).solver_classes()
    return cls


@SOLVERS.register("auto")
@dataclass(frozen=True)
class Auto(SolverOptions):
    """The first descent of this list that can do what is asked: fused on a CPU, captured on CUDA, sgd for
    mini-batches and for losses and activations of your own."""

    @classmethod
    def solver_classes(cls) -> list[type[Solver]]:
        others = [solver_class(name) for name, entry in SOLVERS.items() if entry is not Auto]
        return [solver for solver in others if solver.is_descent]


@SOLVERS.register("fused")
@dataclass(frozen=True)
class FusedOptions(SolverOptions):
    """Full-batch descent written out and compiled, on a CPU."""

    @classmethod
    def solver_classes(cls) -> list[type[Solver]]:
        from gfflow.solvers.fused import Fused

        return [Fused]


@SOLVERS.register("captured")
@dataclass(frozen=True)
class CapturedOptions(SolverOptions):
    """Full-batch descent as a captured CUDA graph."""

    @classmethod
    def solver_classes(cls) -> list[type[Solver]]:
        from gfflow.solvers.captured import Captured

        return [Captured]


@SOLVERS.register("sgd")
@dataclass(frozen=True)
class SGDOptions(SolverOptions):
    """torch.optim.SGD by autograd through the custom ReLU: the reference; any device, mini-batches."""

    @classmethod
    def solver_classes(cls) -> list[type[Solver]]:
        from gfflow.solvers.sgd import SGD

        return [SGD]


@SOLVERS.register("flow")
@dataclass(frozen=True)
class FlowOptions(SolverOptions):
    """Adaptive integration of the gradient flow itself, on a CPU: no step size, lr is only the unit of time."""

    @classmethod
    def solver_classes(cls) -> list[type[Solver]]:
        from gfflow.solvers.flow import Flow

        return [Flow]


def given(solver: Solver, options: SolverOptions) -> SolverOptions:
    """The options under which a run with a solver given as an object is recorded: those of the configuration, with
    the name, the class and the step size of that solver. (What else it depends on only its owner knows.)"""

    @dataclass(frozen=True)
    class Given(SolverOptions):
        name: ClassVar[str] = solver.name

        @classmethod
        def solver_classes(cls) -> list[type[Solver]]:
            return [type(solver)]

    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    return Given(**{**values, "lr": solver.lr})
