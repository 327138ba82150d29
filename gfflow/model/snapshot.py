"""A snapshot: the network at one iteration, or at several, with what several measures share computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons, row_norms
from gfflow.model.products import inner, product, weighted_sum


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Neurons and the training set they are trained on; everything else is derived, on first use, once.

    Shapes are those of one network; those of `Frames` have one axis more, the first.
    """

    neurons: Neurons
    training_set: TrainingSet
    iteration: int = 0
    time: float | None = None  # flow time; None where it is not known, or iterations have none

    @property
    def moments(self) -> tuple[float, ...] | None:
        """The flow times, one a frame."""
        return None if self.time is None else (self.time,)

    def numbers(self, values: Sequence[float] | NDArray[np.float64]) -> Tensor:
        """Numbers, one a frame, as a tensor of the shape of `losses`."""
        return torch.as_tensor(values, dtype=torch.float64).reshape(self.neurons.a.shape[:-1])

    @cached_property
    def preactivations(self) -> Tensor:
        """z_jk = <w_j, x_k>, shape (m, n)."""
        return product(self.neurons.w, self.training_set.x.T)

    @cached_property
    def gates(self) -> Tensor:
        """1[<w_j, x_k> > 0], boolean, shape (m, n)."""
        return self.preactivations > 0

    @cached_property
    def outputs(self) -> Tensor:
        """h(x_k) = sum_j a_j phi(z_jk), shape (n,)."""
        return weighted_sum(self.neurons.a, self.neurons.activation.value(self.preactivations))

    @cached_property
    def residuals(self) -> Tensor:
        """r_k = -dl/dh at h(x_k), shape (n,): y_k - h(x_k) for the square loss."""
        return self.training_set.loss.residual(self.outputs, self.training_set.y)

    @cached_property
    def losses(self) -> Tensor:
        """L = (1/n) sum_k l(h(x_k), y_k): 1/(2n) sum_k r_k^2 for the square loss (Eq. 1), as a tensor."""
        return self.training_set.loss.value(self.outputs, self.training_set.y).mean(dim=-1)

    @cached_property
    def loss(self) -> float:
        """L of the one network."""
        return float(self.losses)

    @cached_property
    def fields(self) -> Tensor:
        """D_j = (1/n) sum_k phi'(<w_j, x_k>) r_k x_k (Eq. 3), shape (m, d); for the ReLU a sum over open gates."""
        weighted = self.training_set.x * (self.residuals / self.training_set.n).unsqueeze(-1)
        activation = self.neurons.activation
        if activation.is_relu:
            return product(self.gates.to(weighted.dtype), weighted)
        return product(activation.derivative(self.preactivations), weighted)

    @cached_property
    def field_norms(self) -> Tensor:
        """||D_j||, shape (m,)."""
        return row_norms(self.fields)

    @cached_property
    def largest_fields(self) -> Tensor:
        """(1/n) sum_k |r_k| ||x_k||: what no ||D_j|| exceeds with residuals of these sizes, as a tensor."""
        return (self.residuals.abs() * self.training_set.norms).mean(dim=-1)

    @cached_property
    def largest_field(self) -> float:
        """What no ||D_j|| exceeds, of the one network."""
        return float(self.largest_fields)

    @cached_property
    def field_directions(self) -> Tensor:
        """D_j / ||D_j||, shape (m, d); zero for a zero field."""
        return self.fields / self.field_norms.masked_fill(self.field_norms == 0, 1.0).unsqueeze(-1)

    @cached_property
    def gradient_norms(self) -> Tensor:
        """||grad L|| in the weights that are trained, as a tensor: the gradient is (-a_j D_j, -<D_j, w_j>) neuron by
        neuron (Eq. 3)."""
        hidden = self.neurons.a.abs() * self.field_norms
        output = inner(self.fields, self.neurons.w)
        layers = {"hidden": hidden, "output": output}
        trained = [part for name, part in layers.items() if name != self.neurons.frozen]
        return row_norms(torch.cat(trained, dim=-1))

    @cached_property
    def gradient_norm(self) -> float:
        """||grad L|| of the one network."""
        return float(self.gradient_norms)


@dataclass(frozen=True, eq=False)
class Frames(Snapshot):
    """One network at T iterations at once: every tensor has a leading axis of T, and each frame's part of it has the
    bits that it has in a snapshot of that frame alone. The numbers of one network (`loss`, ...) are not defined."""

    iterations: tuple[int, ...] = ()
    times: tuple[float, ...] | None = None  # flow times; None where iterations have none

    @property
    def moments(self) -> tuple[float, ...] | None:
        return self.times

    def until(self, count: int) -> Frames:
        """The first `count` frames; all of them with what has been derived of them."""
        if count >= len(self.iterations):
            return self
        times = None if self.times is None else self.times[:count]
        some = self.neurons.at(slice(count))
        return Frames(some, self.training_set, iterations=self.iterations[:count], times=times)

    def some(self, frames: Sequence[int]) -> Frames:
        """Those of the frames, copied."""
        times = None if self.times is None else tuple(self.times[i] for i in frames)
        steps = tuple(self.iterations[i] for i in frames)
        return Frames(self.neurons.at(list(frames)), self.training_set, iterations=steps, times=times)

    def at(self, frame: int) -> Snapshot:
        """The snapshot of one frame."""
        neurons, time = self.neurons, None if self.times is None else self.times[frame]
        # in memory of its own: BLAS rounds otherwise where an array begins elsewhere
        one = Neurons(neurons.w[frame].clone(), neurons.a[frame].clone(), neurons.activation, neurons.frozen)
        return Snapshot(one, self.training_set, self.iterations[frame], time)
