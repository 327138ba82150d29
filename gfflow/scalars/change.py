"""How far the hidden weights have gone from their start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gfflow.model.neurons import row_norms
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Scalars, TensorMeasure, measure


@measure(
    "change",
    [
        Scalars(
            ("weights/relative_change",),
            "||W - W(0)|| / ||W(0)||: small in the lazy regime, large where neurons condense (arXiv 2007.07497)",
        )
    ],
    switch="structure",
)
class RelativeChange(TensorMeasure):
    """`weights/relative_change`: ||W - W(0)|| / ||W(0)||, Frobenius norms, W(0) as first measured."""

    def __init__(self) -> None:
        self.start: Tensor | None = None

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        w = snapshot.neurons.w
        if self.start is None:
            self.start = snapshot.neurons.first.w.clone()
        size = row_norms(self.start.flatten())
        change = row_norms((w - self.start).flatten(start_dim=-2))
        return {"weights/relative_change": change / size.masked_fill(size == 0, torch.nan)}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.start is None else {"w": self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.start = state.get("w")
