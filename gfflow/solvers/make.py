"""A solver by its name, from Python."""

from __future__ import annotations

from typing import Any

from gfflow.model.activations import RELU, Activation
from gfflow.solvers.base import Solver
from gfflow.solvers.options import SOLVERS


def make_solver(
    name: str,
    lr: float,
    *,
    seed: int = 0,
    activation: Activation = RELU,
    cuda: bool = False,
    **options: Any,
) -> Solver:
    """The solver of that name with its options (`batch_size`, `rtol`, `method`, ...); 'auto' is the fastest descent
    that can do what is asked.

    Raises InvalidInput for options outside their limits and, naming the solver that can, where the named one cannot.
    """
    chosen = SOLVERS.of({"name": name, "lr": lr, **options})
    return chosen.make(seed=seed, activation=activation, cuda=cuda)
