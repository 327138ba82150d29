"""Margins of a network that classifies: labels are +1 and -1, and the network is homogeneous of degree two."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot


def margins(snapshot: Snapshot) -> Tensor:
    """y_k times the output on x_k, an output bias and an output scale included, shape (n,)."""
    data = snapshot.training_set
    return data.y * data.loss.output_scale * (snapshot.outputs + data.loss.output_bias)


def errors(snapshot: Snapshot) -> int:
    """How many training samples are misclassified, those of output 0 among them."""
    return int((margins(snapshot) <= 0).sum())


def normalized_margin(snapshot: Snapshot) -> float | None:
    """min_k y_k h(x_k) / ||theta||^2 (Lyu and Li 2019), the same for c theta as for theta; None for a network that is
    zero, or has an output bias and so is not homogeneous."""
    square = 2 * snapshot.neurons.half_norm_squared
    if square == 0 or snapshot.training_set.loss.output_bias != 0:
        return None
    return float(margins(snapshot).min()) / square


def smoothed_margin(snapshot: Snapshot) -> float | None:
    """The normalized margin as the loss sees it, which the flow does not let fall once it is positive (Lyu and Li
    2019): -ln(n L) / ||theta||^2 for the exponential loss, -ln(e^{n L} - 1) / ||theta||^2 for the logistic one; at
    most the normalized margin. None where it is not positive: some sample may be misclassified.
    """
    data, total = snapshot.training_set, snapshot.loss * snapshot.training_set.n
    shown = math.expm1(total) if data.loss.name == "logistic" and total < 1 else total
    if not 0 < shown < 1 or snapshot.neurons.half_norm_squared == 0:
        return None
    return -math.log(shown) / (2 * snapshot.neurons.half_norm_squared)


def cosine(one: Neurons, other: Neurons) -> float:
    """The cosine of two networks as vectors of all their weights; NaN where one is zero."""
    a, b = (torch.cat([part.w.flatten(), part.a]) for part in (one, other))
    return float(a / a.norm() @ (b / b.norm()))


def gradient_cosine(snapshot: Snapshot) -> float:
    """The cosine of theta with -grad L, 1 at a KKT point of the max-margin problem (Lyu and Li 2019; Ji and Telgarsky
    2020); NaN where one is zero."""
    neurons = snapshot.neurons
    descent = Neurons(neurons.a[:, None] * snapshot.fields, (snapshot.fields * neurons.w).sum(dim=1))
    return cosine(neurons, Neurons(descent.w / descent.w.abs().max(), descent.a / descent.w.abs().max()))


def is_orthogonally_separable(training_set: TrainingSet) -> bool:
    """Whether <x_k, x_l> > 0 for equal labels and <= 0 for different ones (Phuong and Lampert 2021)."""
    same = training_set.y[:, None] == training_set.y
    gram = training_set.gram
    return bool((gram[same] > 0).all() and (gram[~same] <= 0).all())


def max_margin_vector(training_set: TrainingSet, sign: int) -> Tensor | None:
    """The shortest w (d,) with <w, x_k> >= 1 for all samples with the label `sign`: their max-margin vector; None
    where there is none.

    It is sum_k c_k x_k with c >= 0: by Gale's alternative the solution of a least squares problem of not negative
    numbers, min ||X^T c||^2 + (sum c - 1)^2, whose residual is the vector but for its length.
    """
    from scipy.optimize import nnls

    x = training_set.x[training_set.y == sign].numpy()
    if not len(x):
        return None
    scale = float(training_set.norms.max())
    system = torch.cat([torch.from_numpy(x.T / scale), torch.ones(1, len(x), dtype=torch.float64)]).numpy()
    target = torch.zeros(x.shape[1] + 1, dtype=torch.float64).numpy()
    target[-1] = 1.0
    c = nnls(system, target)[0]
    w = torch.from_numpy(c @ x)
    least = float((torch.from_numpy(x) @ w).min())
    return w / least if least > 1e-12 * scale * float(w.norm()) else None
