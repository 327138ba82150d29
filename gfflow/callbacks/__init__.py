"""Lightning callbacks, each of them usable alone: when due, gather, call a measure, log."""

from gfflow.callbacks.alignment import AlignmentCosines
from gfflow.callbacks.base import Measurement
from gfflow.callbacks.checkpoint import LastCheckpoint, WholeCheckpointIO
from gfflow.callbacks.distances import LimitDistance, SaddleDistance
from gfflow.callbacks.early_phase import AssignedAlignment
from gfflow.callbacks.flow_distance import FlowDistance
from gfflow.callbacks.histograms import Histograms
from gfflow.callbacks.interruption import Interruption
from gfflow.callbacks.invariants import Invariants
from gfflow.callbacks.loss import GradientNorm, Loss
from gfflow.callbacks.masses import GroupMasses
from gfflow.callbacks.observed import View
from gfflow.callbacks.progress import PhaseProgress
from gfflow.callbacks.solver import SolverState
from gfflow.callbacks.structure import Structure
from gfflow.callbacks.trajectory import TrajectoryRecorder

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
    "Measurement",
    "PhaseProgress",
    "SaddleDistance",
    "SolverState",
    "Structure",
    "TrajectoryRecorder",
    "View",
    "WholeCheckpointIO",
]
