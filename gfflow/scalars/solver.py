"""Scalars that the solver reports of itself."""

from __future__ import annotations

from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Measure, Scalars, Setting, measure
from gfflow.solvers import Solver


@measure(
    "solver",
    [
        Scalars(
            ("flow/sliding_pairs",),
            "pairs (neuron, sample) whose gate slides: held at <w_j, x_k> = 0",
            "`solver=flow`",
        )
    ],
)
class SolverState(Measure):
    """Logs the solver's own scalars: of `flow`, `flow/sliding_pairs`, the number of pairs (neuron, sample) whose gate
    slides; of the descents, nothing.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        solver = setting.solver
        return None if solver is None or not solver.scalars() else cls(solver)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return self.solver.scalars()
