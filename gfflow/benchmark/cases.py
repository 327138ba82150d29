"""What is timed: the paper's three training sets, and Gaussian ones of any size."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gfflow.model.data import TrainingSet
from gfflow.model.data_sets import DATA_SETS
from gfflow.model.initialization import draw_start, initialization_scale
from gfflow.model.neurons import Neurons

LR = 2e-3


@dataclass(frozen=True)
class Case:
    """A training set by its configuration name, a width m and a start; the same as in the experiment's own file."""

    name: str
    experiment: str
    data: str
    m: int
    scale: float
    normalization: str
    iterations: int  # of the paper's run
    plain_steps: int  # enough of the plain loop to time it

    def training_set(self) -> TrainingSet:
        return DATA_SETS[self.data]().make()

    def start(self) -> Neurons:
        d = self.training_set().d
        return draw_start(self.m, d, initialization_scale(self.scale, self.normalization, self.m, d), seed=0)


FIGURE_2 = Case("Figure 2", "fig2", "orthogonal_pair", 60, 1e-6, "width", 20_000, 1000)
FIGURE_4 = Case("Figure 4", "fig4", "five_points", 60, 1e-4, "width", 300_000, 1000)
FIGURE_6 = Case("Figure 6", "fig6", "gaussian_teacher", 200, 1e-20, "width_dim", 200_000, 300)
CASES = (FIGURE_2, FIGURE_4, FIGURE_6)


def gaussian_set(n: int, d: int) -> TrainingSet:
    """n standard normal inputs in R^d and labels, for costs alone."""
    generator = torch.Generator().manual_seed(n * 1000 + d)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return TrainingSet(x, torch.randn(n, generator=generator, dtype=torch.float64))
