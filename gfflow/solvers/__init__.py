"""Solvers: how the weights move from one iteration to another."""

from __future__ import annotations

from gfflow.errors import InvalidInput
from gfflow.solvers.base import Solver
from gfflow.solvers.captured import Captured
from gfflow.solvers.flow import Flow
from gfflow.solvers.fused import Fused
from gfflow.solvers.sgd import SGD

__all__ = ["SGD", "Captured", "Flow", "Fused", "Solver", "make_solver"]


def make_solver(
    name: str,
    lr: float,
    *,
    batch_size: int | None = None,
    rtol: float = 1e-6,
    method: str = "auto",
    seed: int = 0,
    relu_derivative_at_zero: float = 0.0,
    cuda: bool = False,
) -> Solver:
    """The solver of that name; 'auto' is the fastest one that can do what is asked.

    Raises InvalidInput, naming the solver that can, where the named one cannot.
    """
    if name == "auto":
        plain = batch_size is None and relu_derivative_at_zero == 0
        name = ("captured" if cuda else "fused") if plain else "sgd"
    if batch_size is not None and name != "sgd":
        raise InvalidInput("solver.batch_size", batch_size, f"null with solver={name}; solver=sgd for mini-batches")
    if name == "sgd":
        return SGD(lr, batch_size, seed)
    if name == "fused":
        if cuda:
            raise InvalidInput("solver.name", name, "on CUDA auto, captured or sgd; fused on a CPU")
        return Fused(lr)
    if name == "captured":
        if not cuda:
            raise InvalidInput("solver.name", name, "on a CPU auto, fused, flow or sgd; captured on CUDA")
        return Captured(lr)
    if name == "flow":
        if cuda:
            raise InvalidInput("solver.name", name, "on CUDA auto, captured or sgd; flow on a CPU")
        return Flow(lr, rtol, method)
    raise InvalidInput("solver.name", name, "auto, fused, captured, flow or sgd")
