"""A snapshot: the network at one iteration, with what several measures share computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons, row_norms


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Neurons and the training set they are trained on; everything else is derived, on first use, once."""

    neurons: Neurons
    training_set: TrainingSet
    iteration: int = 0
    time: float | None = None  # flow time; None where it is not known, or iterations have none

    @cached_property
    def preactivations(self) -> Tensor:
        """z_jk = <w_j, x_k>, shape (m, n)."""
        return self.neurons.w @ self.training_set.x.T

    @cached_property
    def gates(self) -> Tensor:
        """1[<w_j, x_k> > 0], boolean, shape (m, n)."""
        return self.preactivations > 0

    @cached_property
    def outputs(self) -> Tensor:
        """h(x_k) = sum_j a_j phi(z_jk), shape (n,)."""
        return self.neurons.a @ self.neurons.activation.value(self.preactivations)

    @cached_property
    def residuals(self) -> Tensor:
        """r_k = -dl/dh at h(x_k), shape (n,): y_k - h(x_k) for the square loss."""
        return self.training_set.loss.residual(self.outputs, self.training_set.y)

    @cached_property
    def loss(self) -> float:
        """L = (1/n) sum_k l(h(x_k), y_k): 1/(2n) sum_k r_k^2 for the square loss (Eq. 1)."""
        return float(self.training_set.loss.value(self.outputs, self.training_set.y).mean())

    @cached_property
    def fields(self) -> Tensor:
        """D_j = (1/n) sum_k phi'(<w_j, x_k>) r_k x_k (Eq. 3), shape (m, d); for the ReLU a sum over open gates."""
        weighted = self.training_set.x * (self.residuals / self.training_set.n).unsqueeze(1)
        activation = self.neurons.activation
        if activation.is_relu:
            return self.gates.to(weighted.dtype) @ weighted
        return activation.derivative(self.preactivations) @ weighted

    @cached_property
    def field_norms(self) -> Tensor:
        """||D_j||, shape (m,)."""
        return row_norms(self.fields)

    @cached_property
    def largest_field(self) -> float:
        """(1/n) sum_k |r_k| ||x_k||: what no ||D_j|| exceeds with residuals of these sizes."""
        return float((self.residuals.abs() * self.training_set.norms).mean())

    @cached_property
    def field_directions(self) -> Tensor:
        """D_j / ||D_j||, shape (m, d); zero for a zero field."""
        return self.fields / self.field_norms.masked_fill(self.field_norms == 0, 1.0).unsqueeze(1)

    @cached_property
    def gradient_norm(self) -> float:
        """||grad L|| in the weights that are trained: the gradient is (-a_j D_j, -<D_j, w_j>) neuron by neuron
        (Eq. 3)."""
        hidden = self.neurons.a.abs() * self.field_norms
        output = (self.fields * self.neurons.w).sum(dim=1)
        layers = {"hidden": hidden, "output": output}
        return float(row_norms(torch.cat([part for name, part in layers.items() if name != self.neurons.frozen])))
