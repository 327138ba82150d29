"""The network against its formula, neuron by neuron."""

from dataclasses import replace

import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.activations import Activation
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("d", [1, 2, 5])
def test_forward_is_the_sum_over_neurons(n: int, d: int) -> None:
    start = draw_start(7, d, 1.0, seed=n)
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
    expected = [
        sum(a * max(0.0, sum(wi * xi for wi, xi in zip(w, xk, strict=True))) for w, a in zip(*weights, strict=True))
        for weights in [(start.w.tolist(), start.a.tolist())]
        for xk in x.tolist()
    ]
    network = TwoLayerReLU(start)
    # sums of 7 d products of size about 1, in another order
    assert torch.allclose(network(x), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-13)


def test_gradient_is_minus_the_paper_s_velocity() -> None:
    """Eq. 3: dw_j/dt = a_j D_j and da_j/dt = <D_j, w_j>, with D_j written out sample by sample."""
    start = draw_start(6, 3, 1.0, seed=0)
    x, y = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x, y = x[:, :3], y[0]
    network = TwoLayerReLU(start)
    residuals = y - network(x).detach()
    torch.autograd.backward((network(x) - y).square().sum() / (2 * 4))
    for j in range(6):
        field = sum((residuals[k] * x[k] / 4 for k in range(4) if start.w[j] @ x[k] > 0), torch.zeros(3))
        assert torch.allclose(-network.hidden.grad[j], start.a[j] * field, rtol=0, atol=1e-14)
        assert torch.allclose(-network.output.grad[j], field.double() @ start.w[j], rtol=0, atol=1e-14)


def test_neuron_on_a_gate_gets_no_gradient_unless_asked_for() -> None:
    start = Neurons(torch.tensor([[0.0, 1.0]]).double(), torch.ones(1).double())
    x = torch.tensor([[1.0, 0.0]]).double()
    for c in (0.0, 0.5):
        network = TwoLayerReLU(replace(start, activation=Activation(at_zero=c)))
        torch.autograd.backward(network(x).sum())
        assert network.hidden.grad.tolist() == [[c, 0.0]]


def test_weights_are_copies_in_the_dtype_asked_for() -> None:
    start = draw_start(5, 2, 1e-3, seed=0)
    network = TwoLayerReLU(start, dtype=torch.float32)
    assert network.hidden.dtype == network.output.dtype == torch.float32
    before = start.w.clone()
    network64 = TwoLayerReLU(start)
    with torch.no_grad():
        network64.hidden.add_(1)
    assert torch.equal(start.w, before)
    assert torch.equal(network64.neurons().w, before + 1)


def test_snapshot_stays_while_the_network_moves() -> None:
    network = TwoLayerReLU(draw_start(5, 2, 1.0, seed=0))
    before = network.neurons()
    w = before.w.clone()
    with torch.no_grad():
        network.hidden.mul_(3)
    assert torch.equal(before.w, w)


@pytest.mark.parametrize("c", [-0.1, 1.5, float("nan")])
def test_derivative_at_zero_outside_the_subdifferential_is_refused(c: float) -> None:
    with pytest.raises(InvalidInput, match="relu_derivative_at_zero"):
        Activation(at_zero=c)
