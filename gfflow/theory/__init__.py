"""Predictions: what the paper's theory says of a run before it begins; float64 in, frozen dataclasses out."""

from gfflow.theory.directions import Assumptions, Timeline
from gfflow.theory.limit_process import LimitProcess, solve_limit_process
from gfflow.theory.prediction import Group, Prediction, predict

__all__ = ["Assumptions", "Group", "LimitProcess", "Prediction", "Timeline", "predict", "solve_limit_process"]
