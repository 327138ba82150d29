"""What is known before training to spoil it, and after a divergence of its cause."""

from __future__ import annotations

import torch

from gfflow.config import RunConfig
from gfflow.data import TrainingSet
from gfflow.measures import Snapshot, sharpness
from gfflow.module import GradientFlowModule
from gfflow.neurons import Neurons
from gfflow.theory import Prediction


def why_diverged(module: GradientFlowModule, start: Neurons) -> str:
    """One line: when, from what, and the likely cause."""
    last = module.last_finite or Snapshot(start, module.training_set)
    line = (
        f"training diverged between iterations {last.iteration:,} and {module.iteration:,}, from loss {last.loss:.3g}"
    )
    bound = _largest_stable_step(last)
    if module.solver.lr > bound:
        return (
            f"{line}: solver.lr = {module.solver.lr:g} is above 2/sharpness = {bound:.3g} there; take a smaller one"
        )
    return f"{line}: solver.lr = {module.solver.lr:g} is likely too large for this data (2/sharpness was {bound:.3g})"


def cautions(config: RunConfig, training_set: TrainingSet, prediction: Prediction) -> list[str]:
    """What is known before training to spoil it."""
    notes = []
    lr, iterations = config.solver.lr, config.solver.iterations
    if config.precision == "float32" and prediction.scale**2 < torch.finfo(torch.float32).tiny:
        notes.append(
            f"precision float32 cannot hold the squares of weights of size {prediction.scale:.1e}; take float64"
        )
    if prediction.limit is not None and config.solver.name != "flow":
        bound = _largest_stable_step(Snapshot(prediction.limit, training_set))
        if lr > bound:
            notes.append(
                f"solver.lr = {lr:g} is above 2/sharpness = {bound:.3g} at the predicted limit: it is unstable"
            )
    fitted = [prediction.events[f"{side}_fitted"] for side in ("plus", "minus")]
    last = max((time / lr for time in fitted if time is not None), default=0.0)
    if last > iterations:
        notes.append(
            f"solver.iterations = {iterations:,} end before all labels are fitted, predicted at iteration {last:,.0f}"
        )
    return notes


def _largest_stable_step(snapshot: Snapshot) -> float:
    """2/sharpness; finite for a network without curvature too."""
    return 2 / max(sharpness(snapshot), 1e-300)
