"""Matrix products of networks one by one or many at once, of the same bits either way.

BLAS shares a product out in blocks, so that the rounding of an entry depends on its place, on how many rows there
are, and on where in memory they begin. What is measured of one network must not depend on what is measured beside
it: small products are therefore summed up here term by term, all networks at once, and large ones are BLAS's, network
by network, each from memory of its own. Which way is taken depends on the sizes of one network alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

TERMS = 8  # samples and input coordinates, each, up to which a product is summed up term by term


def product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right for left (..., p, q) and right (q, r) or (..., q, r): shape (..., p, r)."""
    q, r = right.shape[-2:]
    if q <= TERMS and r <= TERMS:
        columns, rows = left.split(1, dim=-1), right.split(1, dim=-2)
        total = columns[0] * rows[0]
        for column, row in zip(columns[1:], rows[1:], strict=True):
            total += column * row
        return total
    return left @ right if left.ndim == 2 else _one_by_one(left, right)


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """weights @ rows for weights (..., m) and rows (..., m, r): shape (..., r)."""
    if rows.shape[-1] <= TERMS:
        return (weights.unsqueeze(-1) * rows).sum(dim=-2)
    return weights @ rows if weights.ndim == 1 else _one_by_one(weights, rows)


def inner(left: Tensor, right: Tensor) -> Tensor:
    """The inner products of the rows of left (..., d) and right (..., d), which may be broadcast: shape (...)."""
    if left.shape[-1] > TERMS:
        return (left * right).sum(dim=-1)
    total = left[..., 0] * right[..., 0]
    for i in range(1, left.shape[-1]):
        total += left[..., i] * right[..., i]
    return total


def _one_by_one(left: Tensor, right: Tensor) -> Tensor:
    shared = right.ndim == 2
    return torch.stack([part.clone() @ (right if shared else right[i].clone()) for i, part in enumerate(left)])
