"""A laboratory for the training dynamics of two-layer ReLU networks: theory beside measurement.

What one uses from Python is here; each name is imported from its module on first use, so that `import gfflow` is
quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "TrainingSet": "gfflow.data",
    "orthogonal_pair": "gfflow.data",
    "five_points": "gfflow.data",
    "three_points": "gfflow.data",
    "orthonormal": "gfflow.data",
    "gaussian_teacher": "gfflow.data",
    "from_csv": "gfflow.data",
    "Neurons": "gfflow.neurons",
    "TwoLayerReLU": "gfflow.network",
    "draw_start": "gfflow.initialization",
    "predict": "gfflow.theory",
    "Prediction": "gfflow.theory",
    "Snapshot": "gfflow.measures",
    "Schedule": "gfflow.schedule",
    "GradientFlowModule": "gfflow.module",
    "predict_module": "gfflow.view",
    "snapshot_of": "gfflow.view",
    "RunConfig": "gfflow.config",
    "build": "gfflow.run",
    "train": "gfflow.run",
    "Run": "gfflow.records",
}
_MODULES = ("callbacks", "figures", "measures", "theory")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"gfflow.{name}")
    raise AttributeError(f"module 'gfflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
