"""Predictions: what the paper's theory says of a run before it begins; float64 in, frozen dataclasses out."""

from gfflow.motion.field import Escape, ExtremalDirection, escape, extremal_directions
from gfflow.theory.directions import Assumptions, Timeline
from gfflow.theory.early_phase import EarlyPhase, solve_early_phase, takes_seconds
from gfflow.theory.forecast import Forecast, make_forecast, with_forecast
from gfflow.theory.groups import Group, ordered
from gfflow.theory.limit_process import LimitProcess, solve_limit_process
from gfflow.theory.milestones import Milestone, admitted_epsilons, milestone_iterations, milestones
from gfflow.theory.prediction import Prediction, Saddle, predict

__all__ = [
    "Assumptions",
    "EarlyPhase",
    "Escape",
    "ExtremalDirection",
    "Forecast",
    "Group",
    "LimitProcess",
    "Milestone",
    "Prediction",
    "Saddle",
    "Timeline",
    "admitted_epsilons",
    "escape",
    "extremal_directions",
    "make_forecast",
    "milestone_iterations",
    "milestones",
    "ordered",
    "predict",
    "solve_early_phase",
    "solve_limit_process",
    "takes_seconds",
    "with_forecast",
]
