"""The configuration of a run: typed, immutable, checked; one line says what is wrong with it."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from gfflow.errors import InvalidInput
from gfflow.model import data
from gfflow.model.data import TrainingSet
from gfflow.model.initialization import NORMALIZATIONS

DATA_MAKERS: dict[str, Callable[..., TrainingSet]] = {
    "orthogonal_pair": data.orthogonal_pair,
    "five_points": data.five_points,
    "three_points": data.three_points,
    "orthonormal": data.orthonormal,
    "gaussian_teacher": data.gaussian_teacher,
    "csv": data.from_csv,
}
SOLVERS = ("auto", "fused", "captured", "sgd", "flow")
PRECISIONS = ("float64", "float32")


def _limited(default: Any, allowed: str, check: Callable[[Any], bool]) -> Any:
    return field(default=default, metadata={"allowed": allowed, "check": check})


def _positive(default: float | None) -> Any:
    null = "null or " if default is None else ""
    return _limited(default, f"{null}a positive finite number", lambda v: v > 0 and math.isfinite(v))


def _at_least(least: int, default: int | None) -> Any:
    null = "null or " if default is None else ""
    return _limited(default, f"{null}an integer of at least {least}", lambda v: v >= least)


def _one_of(default: str, *options: str) -> Any:
    return _limited(default, f"one of {', '.join(options)}", lambda v: v in options)


@dataclass(frozen=True)
class NetworkConfig:
    """The network: its width m, and the ReLU's derivative at 0 (0 but for Appendix D)."""

    width: int = _at_least(1, 60)
    relu_derivative_at_zero: float = _limited(0.0, "a number between 0 and 1", lambda v: 0 <= v <= 1)


@dataclass(frozen=True)
class InitConfig:
    """The start: lambda = scale over the normalization's root; balanced as in Eq. 4 or not."""

    scale: float = _positive(1e-6)
    normalization: str = _one_of("width", *NORMALIZATIONS)
    balanced: bool = True


@dataclass(frozen=True)
class SolverConfig:
    """How the weights move; batch_size is for sgd alone, method for flow alone, rtol for flow and callbacks.flow."""

    name: str = _one_of("auto", *SOLVERS)
    lr: float = _limited(2e-3, "a number between 1e-100 and 1e100", lambda v: 1e-100 <= v <= 1e100)
    iterations: int = _at_least(1, 20000)
    stop_loss: float | None = _positive(None)
    batch_size: int | None = _at_least(1, None)
    rtol: float = _limited(1e-6, "a number between 1e-13 and 0.1", lambda v: 1e-13 <= v <= 0.1)
    method: str = _one_of("auto", "auto", "runge_kutta", "splitting")


@dataclass(frozen=True)
class ScheduleConfig:
    """When to measure: log-spaced with the ratio, united with `linear` equally spaced; frames kept at most."""

    ratio: float | None = _limited(1.05, "null or a number from 1.001 on", lambda v: 1.001 <= v < math.inf)
    linear: int = _at_least(0, 200)
    frames: int = _at_least(2, 200)


@dataclass(frozen=True)
class TrainerConfig:
    """Where Lightning trains."""

    accelerator: str = _one_of("cpu", "cpu", "gpu", "cuda", "auto")


@dataclass(frozen=True)
class CallbacksConfig:
    """Which callbacks run."""

    alignment: bool = True
    masses: bool = True
    saddle: bool = True
    limit: bool = True
    minimum_norm: bool = False
    invariants: bool = True
    gradient: bool = True
    structure: bool = True
    flow: bool = False
    histograms: bool = True
    trajectory: bool = True
    checkpoint: bool = True
    checkpoint_seconds: float = _positive(30.0)
    progress: bool = True


@dataclass(frozen=True)
class LoggersConfig:
    """Experiment trackers beside metrics.csv and TensorBoard, which every run has; offline, in the run's folder."""

    wandb: bool = False
    mlflow: bool = False


@dataclass(frozen=True)
class DataConfig:
    """The training set: the maker's name and its arguments."""

    name: str = _one_of("orthogonal_pair", *DATA_MAKERS)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> TrainingSet:
        """The training set; raises InvalidInput for arguments that the maker cannot take."""
        return DATA_MAKERS[self.name](**self.arguments)


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on: with the same configuration it gives the same numbers."""

    name: str = "run"
    seed: int = _limited(0, "an integer from 0 to 2^63 - 1", lambda v: 0 <= v < 2**63)
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    init: InitConfig = field(default_factory=InitConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    callbacks: CallbacksConfig = field(default_factory=CallbacksConfig)
    loggers: LoggersConfig = field(default_factory=LoggersConfig)
    precision: str = _one_of("float64", *PRECISIONS)
    figures: bool = True
    verify: bool = False
    verbose: bool = True
    fail_fast: bool = False
    resume: str | None = None
    optimized_metric: str = "final.loss"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunConfig:
        """From nested plain values, as a YAML file gives them; raises InvalidInput naming the key."""
        return _typed(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, from which `of` makes an equal configuration."""
        return {**dataclasses.asdict(self), "data": {"name": self.data.name, **self.data.arguments}}


def _typed(cls: type, values: Mapping[str, Any], prefix: str) -> Any:
    """An instance of the dataclass from plain values: unknown keys, types and ranges checked."""
    if not isinstance(values, Mapping):
        raise InvalidInput(prefix.rstrip("."), values, "a group of keys")
    if cls is DataConfig:
        return _typed_data(values)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise InvalidInput(f"{prefix}{key}", values[key], f"no such key; one of {', '.join(fields)}")
    hints = get_type_hints(cls)
    return cls(**{key: _checked(hints[key], fields[key], value, prefix + key) for key, value in values.items()})


def _typed_data(values: Mapping[str, Any]) -> DataConfig:
    name = values.get("name", "orthogonal_pair")
    if name not in DATA_MAKERS:
        raise InvalidInput("data.name", name, f"one of {', '.join(DATA_MAKERS)}")
    parameters = inspect.signature(DATA_MAKERS[name]).parameters
    hints = get_type_hints(DATA_MAKERS[name])
    arguments = {}
    for key, value in values.items():
        if key == "name":
            continue
        if key not in parameters:
            known = ", ".join(parameters) or "none for this data"
            raise InvalidInput(f"data.{key}", value, f"no such key; {known}")
        arguments[key] = _converted(hints[key], value, f"data.{key}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and arguments.get(key) is None:
            raise InvalidInput(f"data.{key}", None, "a value: this data needs one")
    return DataConfig(name, arguments)


def _checked(hint: Any, spec: dataclasses.Field[Any], value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _typed(hint, value, f"{key}.")  # type: ignore[arg-type]
    allowed = spec.metadata.get("allowed")
    value = _converted(hint, value, key, allowed)
    if value is not None and allowed is not None and not spec.metadata["check"](value):
        raise InvalidInput(key, value, allowed)
    return value


def _converted(hint: Any, value: Any, key: str, allowed: str | None = None) -> Any:
    """The value as its annotated type, or InvalidInput: no silent truncation, no bool for a number."""
    options = getattr(hint, "__args__", (hint,)) if "|" in str(hint) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if option is bool and isinstance(value, bool):
            return value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if option is int and number and math.isfinite(value) and value == int(value):
            return int(value)
        if option is float and number:
            return float(value)
        if option is str and isinstance(value, str):
            return value
        if "Sequence" in str(option) and isinstance(value, (list, tuple)):
            return [_converted(float, entry, key, "a list of numbers") for entry in value]
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a word"}
    expected = [names.get(o, "a list of numbers") for o in options if o is not type(None) and "Path" not in str(o)]
    if any("Path" in str(o) for o in options):
        expected = ["the path of a file"]
    null = ["null"] if type(None) in options else []
    raise InvalidInput(key, value, allowed or " or ".join(null + expected))
