"""Solvers: how the weights move from one iteration to another."""

from __future__ import annotations

from gfflow.errors import InvalidInput
from gfflow.solvers.base import Solver
from gfflow.solvers.sgd import SGD

__all__ = ["SGD", "Solver", "make_solver"]


def make_solver(
    name: str,
    lr: float,
    *,
    batch_size: int | None = None,
    rtol: float = 1e-6,
    method: str = "auto",
    seed: int = 0,
    cuda: bool = False,
) -> Solver:
    """The solver of that name; 'auto' is the fastest one that can do what is asked.

    Raises InvalidInput, naming the solver that can, where the named one cannot.
    """
    if name == "auto":
        name = "sgd"
    if batch_size is not None and name != "sgd":
        raise InvalidInput("solver.batch_size", batch_size, f"null with solver={name}; solver=sgd for mini-batches")
    if name == "sgd":
        return SGD(lr, batch_size, seed)
    raise InvalidInput("solver.name", name, "auto or sgd")
