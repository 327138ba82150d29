"""Numbers as people give them from Python: lists, arrays, tensors, columns of a table; and draws from a seed."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from gfflow.errors import InvalidInput


def as_numbers(values: Any, key: str) -> Tensor:
    """A float64 copy on the CPU of whatever numpy or torch reads as an array of real numbers.

    Raises InvalidInput, naming `key`, for words, for complex numbers, for rows of different lengths, and for what
    has no numbers in some places (masked arrays) or in all (tensors on the meta device).
    """
    try:
        if isinstance(values, Tensor):
            if values.is_complex() or values.is_meta:
                raise TypeError
            return values.detach().to_dense().to("cpu", torch.float64, copy=True)
        array = np.asarray(values)
        if array.dtype.kind not in "biufO" or np.ma.is_masked(values):
            raise TypeError
        return torch.from_numpy(np.array(array, dtype=np.float64))
    except (TypeError, ValueError):
        shown = f"{type(values).__name__} {values!r}".splitlines()[0][:60]
        raise InvalidInput(key, shown, "an array of real numbers, in rows of equal length") from None


def generator(seed: SupportsIndex) -> torch.Generator:
    """A generator of random numbers of its own; numpy's integers are seeds too."""
    return torch.Generator().manual_seed(seed.__index__())
