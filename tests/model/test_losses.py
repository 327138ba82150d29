"""Losses against autograd."""

import pytest
import torch

from gfflow.model.losses import EXPONENTIAL, LOGISTIC, SQUARE, Loss, OfFunction, OfOutput

SOFTPLUS = OfFunction(lambda h, y: torch.nn.functional.softplus(-y * h))


@pytest.mark.parametrize(
    "loss",
    [SQUARE, LOGISTIC, EXPONENTIAL, SOFTPLUS, OfOutput(LOGISTIC, 0.3), OfOutput(LOGISTIC, 0.3, 0.2)],
    ids=lambda loss: loss.name,
)
def test_residual_and_curvature_are_the_derivatives_of_the_value(loss: Loss) -> None:
    h = torch.linspace(-3, 3, 13, dtype=torch.float64).requires_grad_()  # rounding of a few operations: 4e-15
    y = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(7)[:13]
    (slope,) = torch.autograd.grad(loss.value(h, y).sum(), h, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), h)
    assert torch.allclose(loss.residual(h, y), -slope, rtol=4e-15, atol=0)
    assert torch.allclose(loss.curvature(h, y), curvature, rtol=4e-15, atol=0)


def test_classification_losses_neither_overflow_nor_lose_digits_at_any_margin() -> None:
    """Against the limits: l = -yh, r = y where the margin is very negative; l = |r| = e^{-yh} where it is large."""
    y = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    margin = torch.tensor([-800.0, -800.0, 40.0, 300.0], dtype=torch.float64)
    assert torch.equal(LOGISTIC.value(margin * y, y)[:2], -margin[:2])
    assert torch.equal(LOGISTIC.residual(margin * y, y)[:2], y[:2])
    for found in (
        LOGISTIC.value(margin * y, y),
        LOGISTIC.residual(margin * y, y) * y,
        EXPONENTIAL.value(margin * y, y),
    ):
        assert torch.allclose(found[2:], (-margin[2:]).exp(), rtol=1e-13, atol=0)
