"""What a training loader gives, whatever its form: pairs of inputs and labels, and the numbers in any other batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from gfflow.errors import InvalidInput

REMEDY = "a DataLoader of pairs (inputs, labels) from a map-style dataset, or View(training_set=TrainingSet(x, y))"


def pairs(batches: Iterable[Any]) -> list[tuple[Tensor, Tensor]]:
    """The batches, each as inputs and labels, two tensors of equal length. Raises InvalidInput for anything else."""
    found = []
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise InvalidInput("training data", f"batches of {form(batch)}", REMEDY)
        x, y = batch
        if not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.is_complex() or y.is_complex():
            raise InvalidInput("training data", f"batches of {form(batch)}", REMEDY)
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            shapes = f"inputs of shape {tuple(x.shape)} with labels of shape {tuple(y.shape)}"
            raise InvalidInput("training data", shapes, REMEDY)
        found.append((x, y))
    return found


def form(batch: Any) -> str:
    """A batch in words: the kinds of its parts."""
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{key!r}: {form(value)}" for key, value in list(batch.items())[:3]) + "}"
    if isinstance(batch, (tuple, list)) and batch:
        if len(batch) > 3 or all(isinstance(part, str) for part in batch):
            return f"{type(batch).__name__} of {len(batch)} {type(batch[0]).__name__}"
        return "(" + ", ".join(map(form, batch)) + ")"
    return type(batch).__name__


def tensors_in(batch: Any) -> list[Tensor]:
    """All tensors of a batch, in their order."""
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, Mapping):
        return [tensor for value in batch.values() for tensor in tensors_in(value)]
    if isinstance(batch, (tuple, list)):
        return [tensor for value in batch for tensor in tensors_in(value)]
    return []
