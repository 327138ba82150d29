"""What the flow keeps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gfflow.callbacks.base import Measurement
from gfflow.measures.invariants import balance_drift, reactivations
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot


class Invariants(Measurement):
    """`invariant/balance_drift`: max_j |a_j^2 - ||w_j||^2 - its start| (Lemma 1); `invariant/reactivations`:
    how many gates have been seen off and then on again so far (none on orthogonal data, Lemma 6).
    """

    def __init__(self) -> None:
        self.start: Neurons | None = None
        self.gates: Tensor | None = None
        self.reactivations = 0

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if self.start is None or self.gates is None:
            self.start, self.gates = snapshot.neurons, snapshot.gates
        self.reactivations += reactivations(self.gates, snapshot.gates)
        self.gates = snapshot.gates
        return {
            "invariant/balance_drift": balance_drift(snapshot.neurons, self.start),
            "invariant/reactivations": float(self.reactivations),
        }

    def state_dict(self) -> dict[str, Any]:
        if self.start is None:
            return {}
        return {
            "w": self.start.w,
            "a": self.start.a,
            "gates": self.gates,
            "reactivations": self.reactivations,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self.start = Neurons(state_dict["w"], state_dict["a"])
            self.gates = state_dict["gates"]
            self.reactivations = state_dict["reactivations"]
