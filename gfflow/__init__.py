"""A laboratory for the training dynamics of two-layer ReLU networks: theory beside measurement.

What one uses from Python is here; each name is imported from its module on first use, so that `import gfflow` is
quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__: str

_HOME = {
    "TrainingSet": "gfflow.model.data",
    "orthogonal_pair": "gfflow.model.data",
    "five_points": "gfflow.model.data",
    "three_points": "gfflow.model.data",
    "orthonormal": "gfflow.model.data",
    "gaussian_teacher": "gfflow.model.data",
    "from_csv": "gfflow.model.data",
    "Neurons": "gfflow.model.neurons",
    "TwoLayerReLU": "gfflow.model.network",
    "draw_start": "gfflow.model.initialization",
    "predict": "gfflow.theory",
    "Prediction": "gfflow.theory",
    "Snapshot": "gfflow.measures",
    "Schedule": "gfflow.training.schedule",
    "GradientFlowModule": "gfflow.training.module",
    "predict_module": "gfflow.training.foreign",
    "snapshot_of": "gfflow.training.foreign",
    "RunConfig": "gfflow.config",
    "build": "gfflow.run",
    "train": "gfflow.run",
    "Run": "gfflow.records.run",
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
