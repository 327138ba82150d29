"""The scalars of a run, as metrics.csv and TensorBoard have them: one file a measure, registered by name.

The order here is the order in which they are measured and logged.
"""

# isort: off
from gfflow.scalars.loss import GradientNorm, Loss, PredictedLoss
from gfflow.scalars.test import TeacherDistance, TestLoss
from gfflow.scalars.alignment import AlignmentCosines
from gfflow.scalars.assigned import AssignedAlignment
from gfflow.scalars.masses import GroupMasses
from gfflow.scalars.distances import LimitDistance, SaddleDistance
from gfflow.scalars.margin import Margin
from gfflow.scalars.invariants import Invariants
from gfflow.scalars.solver import SolverState
from gfflow.scalars.flow_distance import FlowDistance
from gfflow.scalars.change import RelativeChange
from gfflow.scalars.structure import Structure

# isort: on
from gfflow.scalars.base import MEASURES, Chart, Entry, Measure, Scalars, Setting, measure, table

__all__ = [
    "MEASURES",
    "AlignmentCosines",
    "AssignedAlignment",
    "Chart",
    "Entry",
    "FlowDistance",
    "GradientNorm",
    "GroupMasses",
    "Invariants",
    "LimitDistance",
    "Loss",
    "Margin",
    "Measure",
    "PredictedLoss",
    "RelativeChange",
    "SaddleDistance",
    "Scalars",
    "Setting",
    "SolverState",
    "Structure",
    "TeacherDistance",
    "TestLoss",
    "measure",
    "table",
]
