"""The tangent kernel: what the network would learn if its features stayed as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot


def tangent_kernel(neurons: Neurons, x: Tensor, z: Tensor) -> Tensor:
    """K(x, z) = <grad h(x), grad h(z)>, the gradient taken in all weights, for x (p, d) and z (q, d): (p, q).

    sum_j relu(<w_j, x>) relu(<w_j, z>) + <x, z> sum_j a_j^2 1[<w_j, x> > 0] 1[<w_j, z> > 0].
    """
    at_x, at_z = x @ neurons.w.T, z @ neurons.w.T
    gates_x, gates_z = (at_x > 0).to(x.dtype), (at_z > 0).to(z.dtype)
    hidden = (gates_x * neurons.a.square()) @ gates_z.T * (x @ z.T)
    return at_x.clamp(min=0) @ at_z.clamp(min=0).T + hidden


def kernel_interpolator(snapshot: Snapshot, inputs: Tensor) -> Tensor:
    """h(x) + K(x, X) K(X, X)^+ (y - h(X)) at the inputs (p, d), shape (p,): the limit of training the network
    linearised at the snapshot (lazy training; Figure 5).

    The kernel's scale does not matter, so the weights are first divided by the largest: 1e-300 is no trouble.
    """
    neurons, data = snapshot.neurons, snapshot.training_set
    largest = torch.maximum(neurons.norms.max(), neurons.a.abs().max())
    unit = Neurons(neurons.w / largest, neurons.a / largest)
    gram = tangent_kernel(unit, data.x, data.x)
    coefficients = torch.linalg.lstsq(gram, snapshot.residuals.unsqueeze(1), driver="gelsd").solution
    now = neurons.outputs(inputs)
    return now + (tangent_kernel(unit, inputs, data.x) @ coefficients).squeeze(1)
