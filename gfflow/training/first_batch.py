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
    differentiated, and the gradients of the parameters as the backward passes give them, added up: before any
    clipping, and whoever makes the step. Nothing of the training is called or changed; close() ends it."""

    def __init__(self, module: nn.Module, shown: Shown, batch: Any) -> None:
        self.shown, self.batch = shown, batch
        self.inputs: list[Tensor] = []
        self.gradients: dict[str, Tensor] = {}
        self.loss: float | None = None  # the number that is differentiated; None where it was not seen
        self.late: set[str] = set()  # parameters that got a gradient only after some weight had moved
        self._parameters = {n: p for n, p in module.named_parameters() if n in shown.parameters}
        self._handles: list[Any] = []
        for layer in _owners(module, shown):
            self._handles.append(layer.register_forward_pre_hook(self._see_inputs, with_kwargs=True))
        for name, parameter in self._parameters.items():
            if parameter.requires_grad:
                self._handles.append(parameter.register_hook(self._see_gradient(name)))

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
        """The names of the parameters that require a gradient, and have not got it too late to be compared."""
        named = self._parameters.items()
        return frozenset(name for name, p in named if p.requires_grad and name not in self.late)

    @property
    def has_moved(self) -> bool:
        """Whether some weight is another by now."""
        return not self._unmoved()

    def _unmoved(self) -> bool:
        starts = ((name, start.detach()) for name, start in self.shown.parameters.items())
        return all(torch.equal(self._parameters[name].detach().to(start), start) for name, start in starts)

    def _see_inputs(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled() and self._unmoved():
            self.inputs += [found.detach() for found in tensors_in([args, kwargs])[:1]]

    def _see_gradient(self, name: str) -> Any:
        def see(slope: Tensor) -> None:
            if self._unmoved():
                found = slope.detach().to("cpu", torch.float64, copy=True)
                self.gradients[name] = self.gradients[name] + found if name in self.gradients else found
            elif name not in self.gradients:
                self.late.add(name)

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
