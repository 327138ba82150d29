"""Activations against their definition, at the points where libraries disagree."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gfflow.errors import InvalidInput
from gfflow.model.activations import RELU, Activation, leaky_relu

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
DTYPES = [torch.float64, torch.float32]


def relu(z: torch.Tensor, at_zero: float = 0.0) -> torch.Tensor:
    return Activation(at_zero=at_zero)(z)


def special_points(dtype: torch.dtype, device: str) -> torch.Tensor:
    """Negative, zero and positive numbers down to the smallest subnormals, and infinities."""
    tiny = torch.finfo(dtype).tiny
    subnormal = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps  # the smallest positive number
    values = [-math.inf, -1.5, -tiny, -subnormal, -0.0, 0.0, subnormal, tiny, 1.5, math.inf]
    return torch.tensor(values, dtype=dtype, device=device)


def derivative(z: torch.Tensor, *options: float) -> torch.Tensor:
    z = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(relu(z, *options).sum(), z)
    return gradient


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_value_is_the_larger_of_zero_and_z(dtype: torch.dtype, device: str) -> None:
    z = special_points(dtype, device)
    expected = torch.tensor([max(0.0, v) for v in z.tolist()], dtype=dtype, device=device)
    assert torch.equal(relu(z), expected)
    assert relu(z).dtype == dtype
    assert relu(z).device == z.device


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_derivative_is_one_exactly_where_z_is_positive(dtype: torch.dtype, device: str) -> None:
    z = special_points(dtype, device)
    expected = torch.tensor([float(v > 0) for v in z.tolist()], dtype=dtype, device=device)
    assert torch.equal(derivative(z), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", [0.25, 0.5, 1.0])
def test_another_derivative_at_zero_holds_at_both_zeros_and_nowhere_else(
    c: float, dtype: torch.dtype, device: str
) -> None:
    z = special_points(dtype, device)
    expected = torch.tensor([c if v == 0 else float(v > 0) for v in z.tolist()], dtype=dtype, device=device)
    assert torch.equal(derivative(z, c), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_nan_passes_through_value_and_derivative(device: str) -> None:
    z = torch.tensor([math.nan, 1.0], device=device)
    assert relu(z).isnan().tolist() == [True, False]
    assert derivative(z).isnan().tolist() == [True, False]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("c", [0.0, 0.5])
def test_second_derivative_is_zero_everywhere(c: float, device: str) -> None:
    z = special_points(torch.float64, device).requires_grad_()
    (first,) = torch.autograd.grad(relu(z, c).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    assert torch.equal(second, torch.zeros_like(z))


def test_gradcheck_away_from_zero() -> None:
    z = torch.linspace(-2, 2, 10, dtype=torch.float64).requires_grad_()  # nearest to 0: +-0.22, above the step
    assert gradcheck(relu, z)
    assert gradgradcheck(lambda v: relu(v) * v, z)


@pytest.mark.parametrize("c", [0.0, 0.5])
def test_functional_transforms_agree_with_plain_autograd(c: float) -> None:
    z = special_points(torch.float64, "cpu")
    expected = derivative(z, c)
    each = torch.func.vmap(torch.func.grad(lambda v: relu(v, c)))(z)
    jacobian = torch.func.jacrev(lambda v: relu(v, c))(z)
    batched = torch.func.vmap(lambda rows: relu(rows, c))(z.expand(3, -1))
    assert torch.equal(each, expected)
    assert torch.equal(jacobian, torch.diag(expected))
    assert torch.equal(batched, relu(z).expand(3, -1))


def test_second_derivative_under_functional_transforms() -> None:
    z = special_points(torch.float64, "cpu")
    second = torch.func.vmap(torch.func.grad(torch.func.grad(relu)))(z)
    assert torch.equal(second, torch.zeros_like(z))


@pytest.mark.parametrize("slope", [0.1, 1.5, -0.3])
def test_leaky_relu_is_that_of_torch(slope: float) -> None:
    z = special_points(torch.float64, "cpu").requires_grad_()
    theirs = torch.nn.functional.leaky_relu(z, slope)
    (wanted,) = torch.autograd.grad(theirs.sum(), z)
    if not 0 <= slope <= 1:
        with pytest.raises(InvalidInput, match="between 0 and 1"):
            leaky_relu(slope)
        return
    ours = leaky_relu(slope)(z)
    (gradient,) = torch.autograd.grad(ours.sum(), z)
    assert torch.equal(ours, theirs)
    assert torch.equal(gradient, wanted)


@pytest.mark.parametrize("activation", [RELU, Activation(at_zero=0.5), leaky_relu(0.2), Activation(0.2, 0.0)])
def test_value_and_derivative_without_autograd_are_those_with_it(activation: Activation) -> None:
    z = special_points(torch.float64, "cpu").requires_grad_()
    value = activation(z)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert torch.equal(activation.value(z.detach()), value.detach())
    assert torch.equal(activation.derivative(z.detach()), gradient)
    assert activation.is_relu is (activation == RELU)
