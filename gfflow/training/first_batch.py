"""What a training does on one batch, seen from outside: inputs of the first layer, loss, and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gfflow.training.batches import tensors_in
from gfflow.training.shown import Shown


class FirstBatch:
    """Records, while the weights are still those of `shown`, what the layer that holds w is given, what is
    differentiated, and the gradients that gather in the parameters, as they come from the backward pass: before any
    clipping, and whoever makes the step. Nothing of the training is called or changed; close() ends it."""

    def __init__(self, module: nn.Module, shown: Shown, batch: Any) -> None:
        self.shown, self.batch = shown, batch
        self.inputs: list[Tensor] = []
        self.gradients: dict[str, Tensor] = {}
        self.loss: float | None = None  # the number that is differentiated; None where it was not seen
        self._parameters = dict(module.named_parameters())
        self._handles: list[Any] = []
        for layer in _owners(module, shown):
            self._handles.append(layer.register_forward_pre_hook(self._see_inputs, with_kwargs=True))
        for name, parameter in self._parameters.items():
            if parameter.requires_grad:
                hook = parameter.register_post_accumulate_grad_hook(self._see_gradient(name))
                self._handles.append(hook)

    def close(self) -> None:
        """Takes the hooks away."""
        while self._handles:
            self._handles.pop().remove()

    def see_loss(self, loss: Tensor) -> None:
        """Before each backward pass: the loss that it differentiates; several are added up."""
        if isinstance(loss, Tensor) and loss.numel() == 1 and self._unmoved():
            self.loss = (self.loss or 0.0) + float(loss.detach())

    @property
    def trainable(self) -> frozenset[str]:
        """The names of the parameters that require a gradient."""
        return frozenset(name for name, parameter in self._parameters.items() if parameter.requires_grad)

    def _is_still(self, name: str) -> bool:
        start = self.shown.parameters[name].detach()
        return torch.equal(self._parameters[name].detach().to(start), start)

    def _unmoved(self) -> bool:
        return all(map(self._is_still, self._parameters))

    def _see_inputs(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled() and self._unmoved():
            self.inputs += [found.detach() for found in tensors_in([args, kwargs])[:1]]

    def _see_gradient(self, name: str) -> Any:
        def see(parameter: Tensor) -> None:
            if parameter.grad is not None and self._is_still(name):
                self.gradients[name] = parameter.grad.detach().to("cpu", torch.float64, copy=True)

        return see


def _owners(module: nn.Module, shown: Shown) -> Iterator[nn.Module]:
    """The modules whose parameters w is made of; of a parametrized one, the layer that has it."""
    seen: set[int] = set()
    for name in sorted(shown.sources[0]):
        path = name.split(".parametrizations.")[0] if ".parametrizations." in name else name.rpartition(".")[0]
        owner = module.get_submodule(path)
        if id(owner) not in seen:
            seen.add(id(owner))
            yield owner
