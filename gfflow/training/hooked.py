"""Weights that torch makes anew before each forward: the older weight norm, spectral norm and pruning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


@contextmanager
def up_to_date(module: nn.Module) -> Iterator[None]:
    """Within it the weights are those of the next forward. They are attributes that a hook sets at its beginning,
    and thus one step late when a batch has ended; afterwards they are again what they were."""
    late: list[tuple[nn.Module, str, Any]] = []
    try:
        for layer in module.modules() if isinstance(module, nn.Module) else ():
            for hook in layer._forward_pre_hooks.values():
                made = _made(hook, layer)
                if made is not None:
                    name, weight = made
                    late.append((layer, name, getattr(layer, name)))
                    setattr(layer, name, weight)
        yield
    finally:
        for layer, name, weight in reversed(late):
            setattr(layer, name, weight)


def _made(hook: Any, layer: nn.Module) -> tuple[str, torch.Tensor] | None:
    """The name of the attribute that the hook sets, and what it would set; None for any other hook."""
    with torch.enable_grad():  # a trained weight requires a gradient
        if isinstance(hook, WeightNorm):
            return hook.name, hook.compute_weight(layer)
        if isinstance(hook, SpectralNorm):
            return hook.name, hook.compute_weight(layer, do_power_iteration=False)
        if isinstance(hook, BasePruningMethod):
            return hook._tensor_name, hook.apply_mask(layer)
    return None
