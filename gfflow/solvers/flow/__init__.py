"""The flow itself, without step-size error: adaptive integration through every gate change."""

from gfflow.solvers.flow.solver import Flow

__all__ = ["Flow"]
