"""Solvers: how the weights move from one iteration to another.

Each name is imported on first use, so that what can be chosen (gfflow.solvers.options) is known without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gfflow.solvers.base import Solver
    from gfflow.solvers.captured import Captured
    from gfflow.solvers.flow import Flow
    from gfflow.solvers.fused import Fused
    from gfflow.solvers.make import make_solver
    from gfflow.solvers.sgd import SGD

_HOME = {
    "SGD": "sgd",
    "Captured": "captured",
    "Flow": "flow",
    "Fused": "fused",
    "Solver": "base",
    "make_solver": "make",
}

__all__ = ["SGD", "Captured", "Flow", "Fused", "Solver", "make_solver"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"gfflow.solvers.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gfflow.solvers' has no attribute {name!r}")
