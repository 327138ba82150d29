"""What the flow keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gfflow.measures.invariants import balance_drifts, reactivations
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Scalars, TensorMeasure, measure


@measure(
    "invariants",
    [
        Scalars(
            ("invariant/balance_drift",),
            "max_j |a_j^2 - ||w_j||^2 - its start|, 0 along the flow (Lemma 1)",
            "no layer frozen",
        ),
        Scalars(
            ("invariant/reactivations",),
            "how many gates were seen off and then on again so far, none on orthogonal inputs (Lemma 6)",
        ),
    ],
    switch="invariants",
)
class Invariants(TensorMeasure):
    """`invariant/balance_drift`: max_j |a_j^2 - ||w_j||^2 - its start| (Lemma 1); `invariant/reactivations`:
    how many gates have been seen off and then on again so far (none on orthogonal data, Lemma 6).
    """

    def __init__(self) -> None:
        self.start: Neurons | None = None
        self.gates: Tensor | None = None
        self.reactivations = 0

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        gates = snapshot.gates.reshape(-1, *snapshot.gates.shape[-2:])  # frame by frame, whether there are several
        if self.start is None or self.gates is None:
            self.start, self.gates = snapshot.neurons.first, gates[0]
        before = torch.cat([self.gates[None], gates[:-1]])
        so_far = self.reactivations + reactivations(before, gates).cumsum(dim=0)
        self.gates, self.reactivations = gates[-1].clone(), int(so_far[-1])
        found: dict[str, Tensor | float] = {"invariant/reactivations": snapshot.numbers(so_far.tolist())}
        if snapshot.neurons.frozen is None:
            return {"invariant/balance_drift": balance_drifts(snapshot.neurons, self.start)} | found
        return found

    def state_dict(self) -> dict[str, Any]:
        if self.start is None:
            return {}
        return {
            "w": self.start.w,
            "a": self.start.a,
            "gates": self.gates,
            "reactivations": self.reactivations,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self.start = Neurons(state["w"], state["a"])
            self.gates = state["gates"]
            self.reactivations = state["reactivations"]
