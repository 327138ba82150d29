"""Other losses than the square, the leaky ReLU and frozen layers: descended as autograd says, refused where a solver
cannot, and not predicted where the theory is of the square loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.experiment import build
from gfflow.model.activations import RELU, Activation, leaky_relu
from gfflow.model.data import TrainingSet, orthogonal_pair
from gfflow.model.losses import EXPONENTIAL, LOGISTIC, SQUARE, Loss
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import SGD, Fused
from gfflow.solvers.captured import descend_step
from gfflow.solvers.fused import Descent, Law, descend
from gfflow.solvers.grouped.descent import Grouped
from gfflow.solvers.options import all_classes
from gfflow.solvers.products import descend_by_products


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
def test_a_solver_of_known_losses_refuses_another(name: str) -> None:
    experiment = build(VALUES, DATA)
    (cls,) = [cls for cls in all_classes() if cls.name == name]
    with pytest.raises(InvalidInput, match=r"with loss=square, logistic or exponential; solver=sgd for loss=logcosh"):
        cls(1e-2).check(experiment.module.network, DATA)


def test_nothing_of_the_square_loss_is_predicted_of_another() -> None:
    prediction, of_square = build(VALUES, DATA).prediction, build(VALUES, orthogonal_pair()).prediction
    assert of_square.source == "closed form" and len(of_square.groups) == 2
    assert prediction.source == "none" and prediction.groups == () and prediction.saddles == ()
    assert prediction.limit is None and prediction.min_half_norm is None
    assert set(prediction.events.values()) == {None}


WRITTEN = {  # the losses as torch itself has them
    "square": lambda h, y: (h - y).square().mean() / 2,
    "logistic": lambda h, y: torch.nn.functional.binary_cross_entropy_with_logits(h, (y + 1) / 2),
    "exponential": lambda h, y: torch.exp(-y * h).mean(),
}


def problem(n: int, d: int, m: int, orthogonal: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * n + d)
    x, w, a, y = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n, d), (m, d), (m,), (n,))
    )
    x = torch.diag(torch.linspace(0.5, 2, d, dtype=torch.float64))[:n] if orthogonal else x
    return x, y.sign(), 0.5 * w, 0.5 * a


def by_autograd(
    x: Tensor, y: Tensor, w: Tensor, a: Tensor, loss: Loss, slope: float, frozen: str | None, lr: float, steps: int
) -> tuple[Tensor, Tensor]:
    w, a = (part.clone().requires_grad_() for part in (w, a))
    for _ in range(steps):
        h = torch.nn.functional.leaky_relu(x @ w.T, slope) @ a
        to_w, to_a = torch.autograd.grad(WRITTEN[loss.name](h, y), (w, a))
        with torch.no_grad():
            w -= lr * to_w * (frozen != "hidden")
            a -= lr * to_a * (frozen != "output")
    return w.detach(), a.detach()


FORMS = {"direct": (7, 4, False), "gram": (3, 9, False), "diagonal": (6, 6, True), "unrolled": (3, 2, False)}


def moved_by(form: str, data: TrainingSet, start: Neurons, lr: float, steps: int) -> tuple[Tensor, Tensor]:
    """The weights after so many steps of that way to do them."""
    law = Law(data.loss.code or 0, start.activation.slope, start.frozen)
    w, a, x, y = (part.clone() for part in (start.w, start.a, data.x, data.y))
    arrays = [part.numpy() for part in (w, a, x, y)]
    if form == "sgd":
        network = TwoLayerReLU(start)
        SGD(lr).advance(network, data, 0, steps)
        return network.hidden.detach(), network.output.detach()
    if form == "captured":
        for _ in range(steps):
            descend_step(w, a, x, y, lr, data.loss, start.activation, start.frozen)
    elif form == "products":
        descend_by_products(*arrays, (x @ x.T).numpy(), lr, steps, law.code)
    elif form == "grouped":
        direct = Descent(arrays[2], arrays[3], lr, "direct", law)
        groups = Grouped(arrays[2], arrays[3], lr, direct, always=True, code=law.code)
        assert groups.by_groups(arrays[0], arrays[1], steps, lambda: False) == steps
    else:
        descend(*arrays, lr, steps, form if law == Law(law.code) else None, law)
    return w, a


@pytest.mark.parametrize("loss", [SQUARE, LOGISTIC, EXPONENTIAL], ids=lambda loss: loss.name)
@pytest.mark.parametrize("frozen", [None, "output", "hidden"])
@pytest.mark.parametrize("activation", [RELU, leaky_relu(0.3)], ids=["relu", "leaky"])
def test_steps_of_every_solver_are_those_of_autograd(loss: Loss, activation: Activation, frozen: str | None) -> None:
    usual = activation is RELU and frozen is None
    forms = ["sgd", "captured", "direct", "gram", "diagonal", *(["products", "grouped"] if usual else [])]
    for form in forms:
        x, y, w, a = problem(*FORMS.get(form, (7, 4, False))[:2], 9, form == "diagonal")
        # groups follow steps that are small beside their neurons; others take one so long that nothing cancels
        lr, steps = (1e-3, 300) if form == "grouped" else (0.5, 1)
        data = TrainingSet(x, y, loss)
        found = moved_by(form, data, Neurons(w, a, activation, frozen), lr, steps)
        wanted = by_autograd(x, y, w, a, loss, activation.slope, frozen, lr, steps)
        for part, true, start in zip(found, wanted, (w, a), strict=True):
            size = (true - start).abs().max().item() or 1.0
            # 1e-12 of the move: sums of ten terms, each rounding to 2e-16; 300 steps add up
            assert ((part - start) - (true - start)).abs().max() < (1e-12 if steps == 1 else 1e-11) * size, form


UNROLLED = [(LOGISTIC, RELU, None), (EXPONENTIAL, leaky_relu(0.3), "output")]


@pytest.mark.parametrize(("loss", "activation", "frozen"), UNROLLED)
def test_whole_runs_of_fused_are_those_of_sgd(loss: Loss, activation: Activation, frozen: str | None) -> None:
    x, y, w, a = problem(3, 2, 17)
    start, data = Neurons(0.1 * w, 0.1 * a, activation, frozen), TrainingSet(x, y, loss)
    ends = []
    for solver in (SGD(1e-2), Fused(1e-2)):
        network = TwoLayerReLU(start)
        solver.check(network, data)
        solver.advance(network, data, 0, 2000)
        ends.append(network.neurons())
    assert ends[1].distance(start) > 0.1
    assert ends[1].distance(ends[0]) < 1e-12 * ends[0].norms.max()  # rounding of 2000 steps
    assert frozen is None or torch.equal(ends[1].a, start.a)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [SQUARE, LOGISTIC, EXPONENTIAL], ids=lambda loss: loss.name)
@pytest.mark.parametrize("frozen", [None, "output", "hidden"])
@pytest.mark.parametrize("activation", [RELU, leaky_relu(0.3)], ids=["relu", "leaky"])
def test_unrolled_steps_are_those_of_autograd(loss: Loss, activation: Activation, frozen: str | None) -> None:
    x, y, w, a = problem(3, 2, 9)
    law = Law(loss.code or 0, activation.slope, frozen)
    moved = w.clone(), a.clone()
    descend(moved[0].numpy(), moved[1].numpy(), x.numpy(), y.numpy(), 0.5, 1, "unrolled", law)
    for part, true in zip(moved, by_autograd(x, y, w, a, loss, activation.slope, frozen, 0.5, 1), strict=True):
        assert (part - true).abs().max() < 1e-12


def test_labels_other_than_one_and_minus_one_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"data labels: received 0.7; allowed: \+1 and -1 with loss=logistic"):
        build({"loss": "logistic", "data": {"name": "five_points"}})
