"""Lightning callbacks, each of them usable alone: when due, gather, call a measure, log."""

from gfflow.callbacks.base import Measurement
from gfflow.callbacks.checkpoint import LastCheckpoint, WholeCheckpointIO
from gfflow.callbacks.histograms import Histograms
from gfflow.callbacks.interruption import Interruption
from gfflow.callbacks.measured import (
    AlignmentCosines,
    AssignedAlignment,
    FlowDistance,
    GradientNorm,
    GroupMasses,
    Invariants,
    LimitDistance,
    Loss,
    Margin,
    Measured,
    PredictedLoss,
    SaddleDistance,
    SolverState,
    Structure,
)
from gfflow.callbacks.progress import PhaseProgress
from gfflow.callbacks.trajectory import TrajectoryRecorder
from gfflow.callbacks.view import View

__all__ = [
    "AlignmentCosines",
    "AssignedAlignment",
    "FlowDistance",
    "GradientNorm",
    "GroupMasses",
    "Histograms",
    "Interruption",
    "Invariants",
    "LastCheckpoint",
    "LimitDistance",
    "Loss",
    "Margin",
    "Measured",
    "Measurement",
    "PhaseProgress",
    "PredictedLoss",
    "SaddleDistance",
    "SolverState",
    "Structure",
    "TrajectoryRecorder",
    "View",
    "WholeCheckpointIO",
]
