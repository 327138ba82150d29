"""The tangent kernel: what the network would learn if its features stayed as they are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot


def tangent_kernel(neurons: Neurons, x: Tensor, z: Tensor) -> Tensor:
    """K(x, z) = <grad h(x), grad h(z)>, the gradient taken in all weights that are trained, for x (p, d), z (q, d):
    shape (p, q).

    sum_j phi(<w_j, x>) phi(<w_j, z>) + <x, z> sum_j a_j^2 phi'(<w_j, x>) phi'(<w_j, z>), the first sum that of the
    output weights.
    """
    at_x, at_z, phi = x @ neurons.w.T, z @ neurons.w.T, neurons.activation
    hidden = (phi.derivative(at_x) * neurons.a.square()) @ phi.derivative(at_z).T * (x @ z.T)
    output = phi.value(at_x) @ phi.value(at_z).T
    if neurons.frozen is not None:
        return hidden if neurons.frozen == "output" else output
    return output + hidden


def kernel_interpolator(snapshot: Snapshot, inputs: Tensor) -> Tensor:
    """h(x) + K(x, X) K(X, X)^+ (y - h(X)) at the inputs (p, d), shape (p,): the limit of training the network
    linearised at the snapshot by the square loss (lazy training; Figure 5).

    The kernel's scale does not matter, so the weights are first divided by the largest: 1e-300 is no trouble.
    """
    neurons, data = snapshot.neurons, snapshot.training_set
    largest = torch.maximum(neurons.norms.max(), neurons.a.abs().max())
    unit = replace(neurons, w=neurons.w / largest, a=neurons.a / largest)
    gram = tangent_kernel(unit, data.x, data.x)
    coefficients = torch.linalg.lstsq(gram, snapshot.residuals.unsqueeze(1), driver="gelsd").solution
    now = neurons.outputs(inputs)
    return now + (tangent_kernel(unit, inputs, data.x) @ coefficients).squeeze(1)
