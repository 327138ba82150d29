"""The weights of somebody else's module as its view shows them, and the way back: gradients of its own parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gfflow.errors import InvalidInput
from gfflow.model.activations import Activation
from gfflow.model.neurons import Neurons, row_norms
from gfflow.model.snapshot import Snapshot
from gfflow.training.hooked import up_to_date

Weights = tuple[Tensor, ...]  # (w, a) or (w, a, output bias)
WeightsOf = Callable[[Any], Weights]

ALLOWED = (
    "a function of the module that returns (w (m, d), a (m,)) or (w, a, output bias), its own weights as tensors"
)
MANY = 2**23  # numbers in parameters that nothing trains
UNIFORM = 1e-9  # to how many digits a factor between a view's weights and the module's own is one


@dataclass(frozen=True, eq=False)
class Shown:
    """The weights at one moment: copies in float64 of the parameters, by name, and what the view makes of these.

    The module's output is output_scale * (sum_j a_j phi(<w_j, x>) + output_bias). `trained` names the parameters that
    the training moves.
    """

    neurons: Neurons
    output_bias: float
    output_scale: float
    parameters: dict[str, Tensor]
    weights: Weights
    trained: frozenset[str]

    @cached_property
    def sources(self) -> tuple[frozenset[str], ...]:
        """The names of the parameters that w, a and the output bias are made of."""
        return _sources(self.weights, self.parameters)

    def pulled_back(self, *slopes: Tensor) -> dict[str, Tensor]:
        """The derivatives of all parameters, those of w, a and the output bias being given: autograd through the
        view. Parameters that it does not show are left out."""
        pairs = [
            (part, slope.to(part).reshape(part.shape))
            for part, slope in zip(self.weights, slopes, strict=False)
            if part.requires_grad
        ]
        if not pairs:
            return {}
        parts, given = zip(*pairs, strict=True)
        found = torch.autograd.grad(
            parts, list(self.parameters.values()), given, retain_graph=True, allow_unused=True
        )
        named = zip(self.parameters, found, strict=True)
        return {name: slope.to("cpu", torch.float64) for name, slope in named if slope is not None}

    def gradient(self, snapshot: Snapshot) -> dict[str, Tensor]:
        """grad L of the snapshot, whose neurons are these, in all parameters that the view shows."""
        w, a, fields = self.neurons.w, self.neurons.a, snapshot.fields
        return self.pulled_back(-a[:, None] * fields, -(fields * w).sum(dim=1), -snapshot.residuals.mean())

    @property
    def is_attached(self) -> bool:
        """Whether the view's weights are computed from the module's parameters, or only have their values."""
        return any(self.sources)

    def differs_from(self, module: nn.Module) -> bool:
        """Whether one of the module's parameters has another value by now."""
        named = dict(module.named_parameters())
        pairs = ((named[name].detach().to(old), old) for name, old in self.parameters.items() if name in named)
        return not all(torch.allclose(new, old, rtol=0, atol=0, equal_nan=True) for new, old in pairs)

    def factors(self) -> tuple[float, float] | None:
        """By how much w and a are larger than the parameters that they are made of, where each is one constant times
        its own; None where they are not. A parameter that is drawn at random and scaled keeps all angles."""
        found = []
        for part in self.weights[:2]:
            generator = torch.Generator().manual_seed(0)
            ratios = []
            for _ in range(3):
                probe = torch.randn(part.shape, generator=generator, dtype=torch.float64)
                pulled = _pulled(part, self.parameters, probe.to(part))
                ratios.append(_norm(pulled.values()) / float(probe.norm()))
            own = _norm(self.parameters[name] for name in pulled) if pulled else 0.0
            ratios.append(float(part.detach().norm()) / own if own else 0.0)
            if min(ratios) <= 0 or max(ratios) > min(ratios) * (1 + UNIFORM):
                return None
            found.append(ratios[0])
        return found[0], found[1]


class ModuleSnapshot(Snapshot):
    """A snapshot of somebody else's module: gradients are those of the parameters that are trained."""

    def __init__(self, shown: Shown, *values: Any) -> None:
        super().__init__(shown.neurons, *values)
        object.__setattr__(self, "shown", shown)

    shown: Shown

    @cached_property
    def gradient(self) -> dict[str, Tensor]:
        """grad L, by the names of the parameters that are trained."""
        return {name: slope for name, slope in self.shown.gradient(self).items() if name in self.shown.trained}

    @cached_property
    def gradient_norms(self) -> Tensor:
        """||grad L|| over the trained parameters, by autograd through the view."""
        if not self.shown.is_attached:
            return super().gradient_norms
        parts = [slope.flatten() for slope in self.gradient.values()]
        return row_norms(torch.cat(parts)) if parts else torch.zeros((), dtype=torch.float64)


def show(
    module: nn.Module,
    view: WeightsOf,
    activation: Activation,
    output_scale: float = 1.0,
    optimizers: Iterable[torch.optim.Optimizer] = (),
) -> Shown:
    """The weights as they stand, copied, on the CPU in float64. A parameter is trained where it requires a gradient
    and one of the optimizers, if there are any, holds it; a layer of the network is frozen where none of its own is.

    Raises InvalidInput where the view returns something else than weights of one hidden layer with one output.
    """
    lazy = [name for name, parameter in module.named_parameters() if is_lazy(parameter)]
    if lazy:
        remedy = "a module whose layers are initialised: call it on one batch before, or give in_features"
        raise InvalidInput("network", f"the lazy parameter {lazy[0]}", remedy)
    parameters = {name: _copy(module.get_parameter(name)).requires_grad_() for name in _copied(module)}
    buffers = {name: _copy(b) if b.is_floating_point() else b for name, b in module.named_buffers() if b is not None}
    swapped = {f"module.{name}": tensor for name, tensor in _everywhere(module, {**parameters, **buffers}).items()}
    with torch.enable_grad():  # ties are ours: torch's way leaves a layer that has two names with the copies
        found = torch.func.functional_call(_Viewed(module, view), swapped, (), tie_weights=False)
    w, a, *bias = weights = _checked(found)
    sources = _sources(weights, parameters)
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    named = module.named_parameters()
    trained = frozenset(name for name, p in named if p.requires_grad and (not held or id(p) in held))
    neurons = Neurons.copy_of(w, a.flatten(), activation, _frozen(sources, trained))
    shift = float(bias[0].detach()) if bias else 0.0
    return Shown(neurons, shift, output_scale, parameters, weights, trained)


def check_weights(shown: Shown) -> None:
    """Raises InvalidInput where a view's weights are not computed from the module's own, or are a multiple of these:
    balance, norms and flow would then be those of other weights than the ones that are trained."""
    if not shown.is_attached and shown.trained:
        received = "weights that are not computed from the parameters of the module that it is given"
        raise InvalidInput("view", received, f"{ALLOWED}, not detached")
    factors = shown.factors()
    if factors is not None and any(abs(factor - 1) > UNIFORM for factor in factors):
        w, a = factors
        received = f"w and a that are {w:.6g} and {a:.6g} times the module's own"
        scale = w * a * shown.output_scale
        raise InvalidInput("view", received, f"the module's own, and View(output_scale={scale:.6g})")


class _Viewed(nn.Module):
    """A view as the forward of a module, so that torch puts other parameters in the place of the module's own."""

    def __init__(self, module: nn.Module, view: WeightsOf) -> None:
        super().__init__()
        self.module, self.view = module, view

    def forward(self) -> Any:
        with up_to_date(self.module):
            try:
                return self.view(self.module)
            except InvalidInput:
                raise
            except Exception as error:  # somebody else's code, which may do anything
                line = f"a function that raises {type(error).__name__} ({next(iter(str(error).splitlines()), '')})"
                raise InvalidInput("view", line, ALLOWED) from error


def _checked(found: Any) -> Weights:
    """What a view has returned, as two or three tensors."""
    kinds = ", ".join(type(part).__name__ for part in found) if isinstance(found, (tuple, list)) else ""
    received = f"a function that returns {f'({kinds})' if kinds else type(found).__name__}"
    if not kinds or len(found) not in (2, 3):
        raise InvalidInput("view", received, ALLOWED)
    w, a, *bias = found
    bias = [part for part in bias if part is not None]
    if not all(isinstance(part, Tensor) for part in (w, a, *bias)):
        raise InvalidInput("view", received, ALLOWED)
    if w.ndim != 2 or a.numel() != len(w) or a.ndim not in (1, 2) or any(part.numel() != 1 for part in bias):
        shapes = ", ".join(str(tuple(part.shape)) for part in (w, a, *bias))
        remedy = "w (m, d), a (m,) and an output bias of one number: one hidden layer with one output; View(view=...)"
        raise InvalidInput("view", f"weights of the shapes {shapes}", remedy)
    return (w, a, *bias)


def _copied(module: nn.Module) -> list[str]:
    """The names of the parameters that are copied: all, or only those that require a gradient where the others are
    many, such as a body of layers in front of the network."""
    named = dict(module.named_parameters())
    fixed = sum(parameter.numel() for parameter in named.values() if not parameter.requires_grad)
    return [name for name, parameter in named.items() if parameter.requires_grad or fixed <= MANY]


def _everywhere(module: nn.Module, copies: dict[str, Tensor]) -> dict[str, Tensor]:
    """The copies by all places that hold the tensor: each layer counts once, however many names it has, and a tensor
    that several layers share in each of them."""
    held = [*module.named_parameters(), *module.named_buffers()]
    known = {id(tensor): copies[name] for name, tensor in held if name in copies}
    return {
        f"{path}.{name}" if path else name: known[id(tensor)]
        for path, layer in module.named_modules()
        for name, tensor in [*layer._parameters.items(), *layer._buffers.items()]
        if id(tensor) in known
    }


def _copy(tensor: Tensor) -> Tensor:
    found = tensor.detach()
    return found.to(torch.float64, copy=True) if found.device.type != "mps" else found.clone()  # it has no float64


def _pulled(part: Tensor, parameters: dict[str, Tensor], slope: Tensor) -> dict[str, Tensor]:
    if not part.requires_grad:
        return {}
    found = torch.autograd.grad(part, list(parameters.values()), slope, retain_graph=True, allow_unused=True)
    return {name: value for name, value in zip(parameters, found, strict=True) if value is not None}


def _sources(weights: Weights, parameters: dict[str, Tensor]) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(_pulled(part, parameters, torch.ones_like(part))) for part in weights)


def _norm(parts: Iterable[Tensor]) -> float:
    return sum(float(part.detach().square().sum()) for part in parts) ** 0.5


def _frozen(sources: tuple[frozenset[str], ...], trained: frozenset[str]) -> str | None:
    hidden, output = (bool(part & trained) for part in sources[:2])
    if hidden == output:
        return None
    return "output" if hidden else "hidden"
