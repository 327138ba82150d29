"""A laboratory for the training dynamics of two-layer ReLU networks: theory beside measurement.

What one uses from Python is here; each name is imported from its module on first use, so that `import gfflow` is
quick. Type checkers read the imports below instead.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names and modules as in _HOME and _MODULES
    from gfflow import callbacks as callbacks
    from gfflow import figures as figures
    from gfflow import measures as measures
    from gfflow import theory as theory
    from gfflow.config import RunConfig as RunConfig
    from gfflow.experiment import Experiment as Experiment
    from gfflow.experiment import build as build
    from gfflow.measures import Snapshot as Snapshot
    from gfflow.model.data import TestSet as TestSet
    from gfflow.model.data import TrainingSet as TrainingSet
    from gfflow.model.data import five_points as five_points
    from gfflow.model.data import gaussian_teacher as gaussian_teacher
    from gfflow.model.data import orthogonal_pair as orthogonal_pair
    from gfflow.model.data import orthonormal as orthonormal
    from gfflow.model.data import random_points as random_points
    from gfflow.model.data import three_points as three_points
    from gfflow.model.examples import correlated_teacher as correlated_teacher
    from gfflow.model.examples import early_alignment as early_alignment
    from gfflow.model.examples import four_kinks as four_kinks
    from gfflow.model.examples import noisy_linear as noisy_linear
    from gfflow.model.examples import piecewise_linear as piecewise_linear
    from gfflow.model.files import from_csv as from_csv
    from gfflow.model.files import from_file as from_file
    from gfflow.model.initialization import draw_start as draw_start
    from gfflow.model.network import TwoLayerReLU as TwoLayerReLU
    from gfflow.model.neurons import Neurons as Neurons
    from gfflow.records.recorder import Recorder as Recorder
    from gfflow.records.run import Run as Run
    from gfflow.run import train as train
    from gfflow.theory import Prediction as Prediction
    from gfflow.theory import predict as predict
    from gfflow.theory.staircase import Staircase as Staircase
    from gfflow.theory.staircase import staircase as staircase
    from gfflow.training.foreign import predict_module as predict_module
    from gfflow.training.foreign import snapshot_of as snapshot_of
    from gfflow.training.measuring import measure as measure
    from gfflow.training.module import GradientFlowModule as GradientFlowModule
    from gfflow.training.schedule import Schedule as Schedule

__version__: str

_HOME = {
    "Experiment": "gfflow.experiment",
    "GradientFlowModule": "gfflow.training.module",
    "Neurons": "gfflow.model.neurons",
    "Prediction": "gfflow.theory",
    "Recorder": "gfflow.records.recorder",
    "Run": "gfflow.records.run",
    "RunConfig": "gfflow.config",
    "Schedule": "gfflow.training.schedule",
    "Snapshot": "gfflow.measures",
    "Staircase": "gfflow.theory.staircase",
    "TestSet": "gfflow.model.data",
    "TrainingSet": "gfflow.model.data",
    "TwoLayerReLU": "gfflow.model.network",
    "build": "gfflow.experiment",
    "correlated_teacher": "gfflow.model.examples",
    "draw_start": "gfflow.model.initialization",
    "early_alignment": "gfflow.model.examples",
    "five_points": "gfflow.model.data",
    "four_kinks": "gfflow.model.examples",
    "from_csv": "gfflow.model.files",
    "from_file": "gfflow.model.files",
    "gaussian_teacher": "gfflow.model.data",
    "measure": "gfflow.training.measuring",
    "noisy_linear": "gfflow.model.examples",
    "orthogonal_pair": "gfflow.model.data",
    "orthonormal": "gfflow.model.data",
    "piecewise_linear": "gfflow.model.examples",
    "predict": "gfflow.theory",
    "predict_module": "gfflow.training.foreign",
    "random_points": "gfflow.model.data",
    "snapshot_of": "gfflow.training.foreign",
    "staircase": "gfflow.theory.staircase",
    "three_points": "gfflow.model.data",
    "train": "gfflow.run",
}
_MODULES = ("callbacks", "figures", "measures", "theory")

__all__ = [*_HOME, *_MODULES, "__version__"]


def _version() -> str:
    """The version of the package: as installed, or as pyproject.toml says in a checkout that is not."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    try:
        return version("gfflow")
    except PackageNotFoundError:
        try:
            project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
            return str(project["project"]["version"])
        except (OSError, LookupError, ValueError):
            return "unknown"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"gfflow.{name}")
    raise AttributeError(f"module 'gfflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
