"""Sharpness: how curved the loss is, and so how large a step descent can take."""

from __future__ import annotations

import torch

from gfflow.measures.kernel import tangent_kernel
from gfflow.measures.snapshot import Snapshot


def sharpness(snapshot: Snapshot) -> float:
    """The largest eigenvalue of (1/n) sum_k grad h(x_k) grad h(x_k)^T, which is the Hessian of L where the labels are
    fitted and close to it nearby: descent with a step above 2/sharpness cannot settle there.

    Computed from the tangent kernel (n, n), which has the same eigenvalues but for zeros.
    """
    x = snapshot.training_set.x
    kernel = tangent_kernel(snapshot.neurons, x, x) / snapshot.training_set.n
    return float(torch.linalg.eigvalsh(kernel)[-1].clamp(min=0))
