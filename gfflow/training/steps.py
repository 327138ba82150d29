"""How many optimiser steps a training has really made, whoever makes them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook


class StepCounter:
    """Counts the steps of every torch optimiser that holds a parameter of the module, Lightning's or one called by
    hand, and one step for each batch whose weights have changed without any: those are written by hand.

    Several optimisers that step on one batch make one step together, as many as the busiest of them; k steps of one
    optimiser on one batch are k. `weights` gives the tensors that are compared, `start` the count to go on from.
    """

    def __init__(self, module: nn.Module, weights: Callable[[], tuple[Any, ...]], start: int = 0) -> None:
        self._module, self._weights = module, weights
        self._before, self._counted = start, Counter[int]()  # until this batch; in it, by optimiser
        self._by_hand, self._looked = 0, True
        self._known: dict[int, bool] = {}  # whether an optimiser is one of this module's
        self._copy: list[Tensor] | None = self._copied()
        counter = weakref.ref(self)

        def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            there = counter()
            if there is not None:
                there._note(optimizer)

        handle = register_optimizer_step_post_hook(note)
        self.close = weakref.finalize(self, handle.remove)

    def begin_batch(self) -> None:
        """A batch begins: what follows belongs to it."""
        self._before = self.count
        self._counted.clear()
        self._by_hand, self._looked = 0, False

    @property
    def before(self) -> int:
        """Steps until this batch."""
        return self._before

    @property
    def count(self) -> int:
        """Steps so far; asked once a batch has been trained on."""
        if self._counted:
            self._copy = None
        elif not self._looked:
            self._look()
        return self._before + max(self._counted.values(), default=self._by_hand)

    def _look(self) -> None:
        self._looked = True
        now, before = self._copied(), self._copy
        self._copy = now
        if before is not None:
            same = len(now) == len(before) and all(map(torch.equal, now, before))
            self._by_hand = 0 if same else 1

    def _copied(self) -> list[Tensor]:
        return [torch.as_tensor(part).detach().clone() for part in self._weights() if part is not None]

    def _note(self, optimizer: torch.optim.Optimizer) -> None:
        key = id(optimizer)
        if key not in self._known:
            own = {id(parameter) for parameter in self._module.parameters()}
            held = (parameter for group in optimizer.param_groups for parameter in group["params"])
            self._known[key] = any(id(parameter) in own for parameter in held)
        if self._known[key]:
            self._counted[key] += 1
