"""Losses against autograd."""

import pytest
import torch

from gfflow.model.losses import SQUARE, Loss


@pytest.mark.parametrize("loss", [SQUARE], ids=lambda loss: loss.name)
def test_residual_and_curvature_are_the_derivatives_of_the_value(loss: Loss) -> None:
    h = torch.linspace(-3, 3, 13, dtype=torch.float64).requires_grad_()
    y = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(7)[:13]
    (slope,) = torch.autograd.grad(loss.value(h, y).sum(), h, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), h)
    assert torch.allclose(loss.residual(h, y), -slope, rtol=1e-15, atol=0)
    assert torch.allclose(loss.curvature(h, y), curvature, rtol=1e-15, atol=0)
