"""Sharpness: how curved the loss is, and so how large a step descent can take."""

from __future__ import annotations

import math

import torch

from gfflow.measures.kernel import tangent_kernel
from gfflow.model.data import TrainingSet
from gfflow.model.snapshot import Snapshot


def sharpness(snapshot: Snapshot) -> float:
    """The largest eigenvalue of (1/n) sum_k l''_k grad h(x_k) grad h(x_k)^T, l'' = 1 for the square loss: it is the
    Hessian of L where the labels are fitted and close to it nearby: descent with a step above 2/sharpness cannot
    settle there.

    Computed from the tangent kernel (n, n), which has the same eigenvalues but for zeros; infinite where the kernel
    has left the finite numbers.
    """
    x = snapshot.training_set.x
    kernel = tangent_kernel(snapshot.neurons, x, x) / snapshot.training_set.n
    if not snapshot.training_set.loss.is_square:
        bend = snapshot.training_set.loss.curvature(snapshot.outputs, snapshot.training_set.y).clamp(min=0).sqrt()
        kernel = bend[:, None] * kernel * bend
    if not bool(kernel.isfinite().all()):
        return math.inf
    return float(torch.linalg.eigvalsh(kernel)[-1].clamp(min=0))


def least_sharpness(training_set: TrainingSet) -> float:
    """max_k 2 |y_k| ||x_k|| / n: no ReLU network that fits the labels has a smaller sharpness, whatever its width; 0
    for other losses than the square, which are ever flatter as the margins grow.

    The sharpness is at least K_kk / n, and K_kk = sum_j (a_j^2 ||x_k||^2 + z_jk^2) over the neurons active on
    x_k, which is at least 2 ||x_k|| sum_j |a_j| z_jk >= 2 ||x_k|| |h(x_k)|; one balanced
    neuron along a single x_k attains it.
    """
    if not training_set.loss.is_square:
        return 0.0
    return float((2 * training_set.y.abs() * training_set.norms).max()) / training_set.n
