"""The configuration of a run: typed, immutable, checked; one line says what is wrong with it.

Nothing here imports torch. Data sets, starts and solvers are chosen from registries, each with options of its own;
conf/README.md, made from these classes, lists every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from gfflow.errors import InvalidInput
from gfflow.model.data_sets import DATA_SETS, DataOptions
from gfflow.model.options import LOSSES, NetworkOptions
from gfflow.model.starts import STARTS, StartOptions
from gfflow.registry import POSITIVE, Limit, Options, Registry, at_least, chosen, group, one_of, option
from gfflow.solvers.options import SOLVERS, SolverOptions
from gfflow.training.options import ScheduleOptions

if TYPE_CHECKING:
    from gfflow.model.data import TrainingSet

PRECISIONS = ("float64", "float32")
SEED = Limit("an integer from 0 to 2^63 - 1", lambda v: 0 <= v < 2**63)


@dataclass(frozen=True)
class TrainerOptions(Options):
    """Where Lightning trains."""

    group: ClassVar[str] = "trainer"

    accelerator: str = option(
        "cpu",
        "the device; gpu and cuda are the same, auto takes one if there is one",
        one_of(("cpu", "gpu", "cuda", "auto")),
    )


@dataclass(frozen=True)
class CallbackOptions(Options):
    """What is measured, recorded and shown while the network trains."""

    group: ClassVar[str] = "callbacks"

    alignment: bool = option(True, "the cosines of the neurons with their directions")
    masses: bool = option(True, "u+ and u-, the masses of the two groups, and the largest norm elsewhere")
    saddle: bool = option(True, "the distance to the predicted saddle")
    limit: bool = option(True, "the distance to the predicted limit, and the gap to the minimum norm")
    minimum_norm: bool = option(
        False, "on data that is not orthogonal: limit/norm_gap by a convex program (extra convex)"
    )
    invariants: bool = option(True, "the drift of a_j^2 - ||w_j||^2, and gates that came on again")
    gradient: bool = option(True, "the norm of the gradient")
    structure: bool = option(True, "clusters of directions, and kinks of h on a line")
    flow: bool = option(
        False, "integrate the flow beside a descent (to solver.rtol), and log the distance between them"
    )
    histograms: bool = option(True, "histograms of norms and angles in TensorBoard")
    trajectory: bool = option(True, "record all weights at some iterations, for figures and verify")
    checkpoint: bool = option(True, "save the state to resume from")
    checkpoint_seconds: float = option(30.0, "time of training between two checkpoints", POSITIVE, "seconds")
    progress: bool = option(True, "a line for every phase of training, where verbose is true")


@dataclass(frozen=True)
class LoggerOptions(Options):
    """Experiment trackers beside metrics.csv and TensorBoard, which every run has; offline, in the run's folder."""

    group: ClassVar[str] = "loggers"

    wandb: bool = option(False, "Weights & Biases, by Lightning's logger (extra wandb)")
    mlflow: bool = option(False, "MLflow, by Lightning's logger (extra mlflow)")


@dataclass(frozen=True)
class EnsembleOptions(Options):
    """Many starts in one run: members with the seeds seed, seed + 1, ..., each as its own single run would be."""

    group: ClassVar[str] = "ensemble"

    size: int = option(1, "how many members; 1: a single run", at_least(1), "members")
    data: str = option(
        "same",
        "the data of the members: same, or redrawn for each, with the seeds data.seed, data.seed + 1, ...",
        one_of(("same", "redrawn")),
    )
    kept: int = option(8, "how many members' trajectories to keep, the first ones", at_least(1), "members")
    processes: int | None = option(
        None, "how many processes train the members; null: one for each core, in a parallel sweep one", at_least(1)
    )

    @property
    def many(self) -> bool:
        """Whether there are several members."""
        return self.size > 1


@dataclass(frozen=True)
class RunConfig(Options):
    """Everything a run depends on: with the same configuration it gives the same numbers."""

    name: str = option("run", "the run's name, in its folder and its tables; from the command line, the experiment's")
    seed: int = option(0, "of the start and of mini-batches", SEED)
    data: DataOptions = chosen(DATA_SETS)
    network: NetworkOptions = group(NetworkOptions)
    loss: str = option(LOSSES.default, "ell(h, y), averaged over the samples", one_of(LOSSES))
    init: StartOptions = chosen(STARTS)
    solver: SolverOptions = chosen(SOLVERS)
    schedule: ScheduleOptions = group(ScheduleOptions)
    trainer: TrainerOptions = group(TrainerOptions)
    callbacks: CallbackOptions = group(CallbackOptions)
    loggers: LoggerOptions = group(LoggerOptions)
    ensemble: EnsembleOptions = group(EnsembleOptions)
    forecast: str | bool = option(
        "auto",
        "integrate the training's own trajectory before the first step: auto, where the inputs are not orthogonal; "
        "true, everywhere; false, nowhere",
        Limit("auto, true or false", lambda v: v in ("auto", True, False)),
    )
    precision: str = option("float64", "of the weights while they train", one_of(PRECISIONS))
    figures: bool = option(True, "draw the run's main figures at its end")
    verify: bool = option(False, "check every statement of the paper at the end")
    verbose: bool = option(True, "print phases, notes and the table at the end")
    report: bool = option(False, "of a sweep: write its report, as scripts/report.py does, when it has ended")
    fail_fast: bool = option(False, "the first job of a sweep that fails ends the sweep")
    resume: str | None = option(
        None,
        "true (from Python: auto): go on in this run's folder (hydra.run.dir), or with what of a sweep "
        "(hydra.sweep.dir) has no summary.json; or the folder of a run to go on with",
        Limit("true, auto, or the folder of a run", lambda v: True),
    )
    optimized_metric: str = option(
        "final.loss", "what a run returns to a sweeper that optimises: a dotted path in summary.json"
    )

    def __post_init__(self) -> None:
        for name, part in vars(self).items():
            if isinstance(part, Mapping):
                raise InvalidInput(name, part, "options; RunConfig.of({...}) makes them of plain values")
        super().__post_init__()
        if self.verify and not self.callbacks.trajectory:
            raise InvalidInput("verify", True, "false, or callbacks.trajectory=true: it reads the recorded frames")
        if self.solver.batch_size is not None:
            self.solver.chosen()  # raises where the solver takes no mini-batches
        if self.callbacks.flow and not (
            self.solver.chosen().is_descent
            and self.network.frozen is None
            and self.network.make_activation().is_usual  # which imports torch
        ):
            where = "with solver=flow, with a frozen layer and where relu'(0) is not 0"
            allowed = f"false {where}: it compares descent with the flow"
            raise InvalidInput("callbacks.flow", True, allowed)

        if not SEED.holds(self.seed + self.ensemble.size - 1):
            raise InvalidInput("ensemble.size", self.ensemble.size, "so many that seed + size - 1 is below 2^63")
        if self.ensemble.many and self.ensemble.data == "redrawn" and not hasattr(self.data, "seed"):
            random = [name for name, data in DATA_SETS.items() if "seed" in data.__dataclass_fields__]
            raise InvalidInput("ensemble.data", "redrawn", f"same; redrawn where data is one of {', '.join(random)}")

    def member(self, index: int) -> RunConfig:
        """The single run that the member of that index, from 0 on, is."""
        redrawn = self.ensemble.many and self.ensemble.data == "redrawn"
        data = replace(self.data, seed=self.data.seed + index) if redrawn else self.data  # type: ignore
        return replace(self, seed=self.seed + index, data=data, ensemble=EnsembleOptions())

    def make_data(self) -> TrainingSet:
        """The training set, with the loss by which it is fitted."""
        training_set, loss = self.data.make(), LOSSES[self.loss]().make()
        return training_set if training_set.loss is loss else replace(training_set, loss=loss)


def presets() -> dict[str, dict[str, dict[str, Any]]]:
    """Group -> name -> plain values: what GROUP=NAME on the command line puts under the group's key. Made anew at
    every call, with all that is registered by now."""
    registries: Mapping[str, Registry[Any]] = {"data": DATA_SETS, "init": STARTS, "solver": SOLVERS}
    made = {group: {name: registry.defaults(name) for name in registry} for group, registry in registries.items()}
    everything = CallbackOptions().to_dict()
    none = {key: False if isinstance(value, bool) else value for key, value in everything.items()}
    return {
        **made,
        "network": {"two_layer": NetworkOptions().to_dict()},
        "schedule": {"log_linear": ScheduleOptions().to_dict()},
        "trainer": {name: TrainerOptions(name).to_dict() for name in ("cpu", "gpu")},
        "callbacks": {"all": everything, "none": none},
        "loggers": {
            "files": LoggerOptions().to_dict(),
            "wandb": LoggerOptions(wandb=True).to_dict(),
            "mlflow": LoggerOptions(mlflow=True).to_dict(),
        },
        "ensemble": {"seeds": EnsembleOptions().to_dict()},
    }
