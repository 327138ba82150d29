"""Another loss than the square: descended where the solver can, refused where it cannot, and not predicted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.experiment import build
from gfflow.model.data import orthogonal_pair
from gfflow.model.losses import Loss
from gfflow.solvers.options import all_classes


class LogCosh(Loss):
    """log cosh(h - y)."""

    name = "logcosh"

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.log(torch.cosh(h - y))

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y - h)

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return 1 - torch.tanh(h - y).square()


DATA = replace(orthogonal_pair(), loss=LogCosh())
VALUES = {"init": {"scale": 0.1}, "solver": {"lr": 1e-2, "iterations": 50}}


def test_the_solver_chosen_of_itself_descends_the_loss_that_is_given() -> None:
    experiment = build(VALUES, DATA)
    w, a = (part.clone().requires_grad_() for part in (experiment.start.w, experiment.start.a))
    for _ in range(50):
        loss = DATA.loss.value(torch.relu(DATA.x @ w.T) @ a, DATA.y).mean()
        steps = torch.autograd.grad(loss, (w, a))
        with torch.no_grad():
            w -= 1e-2 * steps[0]
            a -= 1e-2 * steps[1]
    experiment.module.solver.advance(experiment.module.network, DATA, 0, 50)
    moved = experiment.module.network.neurons()
    assert (moved.w - experiment.start.w).abs().max() > 1e-4
    torch.testing.assert_close(moved.w, w.detach(), rtol=1e-12, atol=1e-14)  # rounding of 50 steps
    torch.testing.assert_close(moved.a, a.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [cls.name for cls in all_classes() if not cls.any_loss])
def test_a_solver_of_the_square_loss_refuses_another(name: str) -> None:
    experiment = build(VALUES, DATA)
    (cls,) = [cls for cls in all_classes() if cls.name == name]
    with pytest.raises(InvalidInput, match=r"with loss=square; solver=sgd for loss=logcosh"):
        cls(1e-2).check(experiment.module.network, DATA)


def test_nothing_of_the_square_loss_is_predicted_of_another() -> None:
    prediction, of_square = build(VALUES, DATA).prediction, build(VALUES, orthogonal_pair()).prediction
    assert of_square.source == "closed form" and len(of_square.groups) == 2
    assert prediction.source == "none" and prediction.groups == () and prediction.saddles == ()
    assert prediction.limit is None and prediction.min_half_norm is None
    assert set(prediction.events.values()) == {None}
