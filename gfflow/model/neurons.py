"""Neurons: one immutable snapshot of a two-layer network's weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.model.activations import RELU, Activation
from gfflow.model.numbers import as_numbers

PART = 2**19  # pre-activations held at once where they are not kept: as many as a cache may hold


def row_norms(w: Tensor) -> Tensor:
    """Euclidean norms of the rows of w (..., d), without underflow: shape (...).

    Rows that are too small or too large to be squared are first divided by their largest entry, so that rows of size
    1e-300 keep full relative accuracy. Zero rows give 0.
    """
    norms = torch.linalg.vector_norm(w, dim=-1)
    if norms.numel():
        least, most = norms.aminmax()
        if float(least) >= 1e-140 and float(most) <= 1e140:
            return norms
    odd = (norms < 1e-140) | (norms > 1e140)
    if not bool(odd.any()) or not bool(w[odd].any()):
        return norms
    largest = w.abs().amax(dim=-1)
    safe = largest.masked_fill(largest == 0, 1.0)
    return torch.where(odd, largest * (w / safe.unsqueeze(-1)).square().sum(dim=-1).sqrt(), norms)


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of h(x) = sum_j a_j phi(<w_j, x>): hidden weights w (m, d), output weights a (m,), and the
    activation phi, the ReLU unless said otherwise; `frozen` names the layer that training leaves as it is, 'hidden'
    or 'output', if there is one.

    The weights are float64 and never change; everything derived is computed once, on first use, and is meaningful
    down to weights of size 1e-300. Raises InvalidInput where the shapes do not fit.

    Several networks of one width may be held at once, w (..., m, d) and a (..., m): what is given as a tensor then
    has the same leading axes, and each network's part of it the bits that it would have alone.
    """

    w: Tensor
    a: Tensor
    activation: Activation = RELU
    frozen: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.w, Tensor) and isinstance(self.a, Tensor)):
            kinds = f"w {type(self.w).__name__}, a {type(self.a).__name__}"
            raise InvalidInput("neurons", kinds, "tensors; where a start is asked for, a pair of arrays (w, a) too")
        if self.w.ndim < 2 or self.a.shape != self.w.shape[:-1]:
            shapes = f"w {tuple(self.w.shape)}, a {tuple(self.a.shape)}"
            raise InvalidInput("neurons", shapes, "w of shape (m, d) and a of shape (m,)")

    @classmethod
    def copy_of(cls, w: Tensor, a: Tensor, activation: Activation = RELU, frozen: str | None = None) -> Neurons:
        """A snapshot: float64 copies on the CPU, detached, that do not follow the network's later steps."""
        w, a = (weights.detach().to("cpu", torch.float64, copy=True) for weights in (w, a))
        return cls(w, a, activation, frozen)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal: equal for equal weights."""
        return hashlib.sha256(b"".join(v.contiguous().numpy().tobytes() for v in (self.w, self.a))).hexdigest()

    @cached_property
    def norms(self) -> Tensor:
        """||w_j||, shape (m,)."""
        return row_norms(self.w)

    @cached_property
    def log_norms(self) -> Tensor:
        """rho_j = ln ||w_j|| (Eq. 9), shape (m,); -inf for a zero neuron."""
        return self.norms.log()

    @cached_property
    def directions(self) -> Tensor:
        """w_j / ||w_j|| (Eq. 9), shape (m, d); zero for a zero neuron."""
        safe = self.norms.masked_fill(self.norms == 0, 1.0)
        return self.w / safe.unsqueeze(-1)

    @cached_property
    def signs(self) -> Tensor:
        """s_j = sign(a_j), shape (m,)."""
        return self.a.sign()

    @cached_property
    def half_norms_squared(self) -> Tensor:
        """1/2 ||theta||^2 = 1/2 (sum_j ||w_j||^2 + a_j^2) of each network; finite only where every weight is."""
        return 0.5 * (self.w.square().sum(dim=(-2, -1)) + self.a.square().sum(dim=-1))

    @cached_property
    def half_norm_squared(self) -> float:
        """1/2 ||theta||^2 of the one network."""
        return float(self.half_norms_squared)

    @cached_property
    def singular_values(self) -> Tensor:
        """Those of W (..., m, d), the largest first: shape (..., min(m, d)); in time m d^2."""
        largest = self.w.abs().amax(dim=(-2, -1), keepdim=True)
        scaled = self.w / largest.masked_fill(largest == 0, 1.0)
        if scaled.ndim == 2:
            return largest[0] * torch.linalg.svdvals(scaled)
        # network by network, each from memory of its own: see model/products.py
        return largest[..., 0] * torch.stack([torch.linalg.svdvals(part.clone()) for part in scaled])

    def outputs(self, x: Tensor) -> Tensor:
        """h(x) = sum_j a_j phi(<w_j, x>), shape (n,), for inputs x (n, d). Memory beside the result is bounded: many
        inputs of a wide network are taken in parts."""
        rows = max(1, PART // max(1, len(self.a)))
        if len(x) <= rows:
            return self.activation.value(x @ self.w.T) @ self.a
        h = x.new_empty(len(x))  # results kept one by one would lie between the parts, and keep their memory apart
        for first in range(0, len(x), rows):
            part = slice(first, first + rows)
            h[part] = self.activation.value(x[part] @ self.w.T) @ self.a
        return h

    @property
    def first(self) -> Neurons:
        """The first of the networks; the one, where it is one."""
        w, a = self.w.reshape(-1, *self.w.shape[-2:])[0], self.a.reshape(-1, self.a.shape[-1])[0]
        return Neurons(w, a, self.activation, self.frozen)

    def at(self, index: Any) -> Neurons:
        """Those of the neurons that the index names, in its order; of several networks, those of the networks."""
        return Neurons(self.w[index], self.a[index], self.activation, self.frozen)

    def distances(self, other: Neurons) -> Tensor:
        """||theta - theta'||, the Euclidean distance in all weights, of each network from the one other."""
        return row_norms(torch.cat([(self.w - other.w).flatten(start_dim=-2), self.a - other.a], dim=-1))

    def distance(self, other: Neurons) -> float:
        """||theta - theta'|| of the one network from the other."""
        return float(self.distances(other))


Start = Neurons | tuple[Any, Any]  # or w (m, d) and a (m,), as numpy or torch reads them


def as_neurons(start: Start) -> Neurons:
    """The neurons, copied; made of a pair (w, a) where it is one. Raises InvalidInput for anything else."""
    if not isinstance(start, Neurons):
        try:
            w, a = start
        except (TypeError, ValueError):
            allowed = "Neurons, or a pair (w, a) with w (m, d) and a (m,)"
            raise InvalidInput("start", type(start).__name__, allowed) from None
        start = Neurons(as_numbers(w, "start w"), as_numbers(a, "start a"))
    made = Neurons.copy_of(start.w, start.a, start.activation, start.frozen)
    if not bool(torch.isfinite(made.w).all() and torch.isfinite(made.a).all()):
        raise InvalidInput("start", "weights that are not finite", "finite weights")
    return made
