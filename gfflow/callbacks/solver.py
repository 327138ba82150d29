"""What the solver tells of itself."""

from __future__ import annotations

from gfflow.callbacks.base import Measurement
from gfflow.model.snapshot import Snapshot
from gfflow.solvers import Solver


class SolverState(Measurement):
    """Logs the solver's own scalars: of `flow`, `flow/sliding_pairs`, the number of pairs (neuron, sample) whose gate
    slides; of the descents, nothing.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return self.solver.scalars()
