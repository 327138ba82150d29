"""Snapshots against autograd through the network."""

import pytest
import torch

from gfflow.measures import Snapshot
from gfflow.model.data import TrainingSet, five_points
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons


def random_set(n: int, d: int) -> TrainingSet:
    generator = torch.Generator().manual_seed(10 * n + d)
    x, y = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((n, d), (n,)))
    return TrainingSet(x, y)


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_loss_gradient_and_fields_are_those_of_autograd(n: int, d: int, size: float) -> None:
    data, start = random_set(n, d), draw_start(11, d, size, seed=n)
    network = TwoLayerReLU(start)
    outputs = network(data.x)
    loss = (outputs - data.y).square().sum() / (2 * n)
    torch.autograd.backward(loss)
    snapshot = Snapshot(start, data)
    flat = torch.cat([network.hidden.grad.flatten(), network.output.grad])
    # sums of some tens of terms, in another order
    assert snapshot.loss == pytest.approx(float(loss.detach()), rel=1e-13, abs=0)
    assert snapshot.gradient_norm == pytest.approx(float(flat.norm()), rel=1e-13, abs=0)
    assert torch.allclose(snapshot.residuals, data.y - outputs.detach(), rtol=0, atol=1e-13)
    assert torch.allclose(-start.a[:, None] * snapshot.fields, network.hidden.grad, rtol=1e-12, atol=1e-14 * size)
    assert torch.allclose(snapshot.field_norms, snapshot.fields.norm(dim=1), rtol=1e-14, atol=0)
    assert torch.equal(snapshot.gates, torch.tensor((start.w @ data.x.T > 0).tolist()))


def test_gate_at_exactly_zero_is_off() -> None:
    start = Neurons(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double(), torch.ones(2).double())
    data = TrainingSet(torch.tensor([[0.0, 2.0]]), torch.tensor([1.0]))
    snapshot = Snapshot(start, data)
    assert snapshot.gates.tolist() == [[False], [True]]
    assert snapshot.fields[0].tolist() == [0.0, 0.0]


def test_gradient_of_a_network_of_size_1e_300_does_not_vanish() -> None:
    """At h = 0 the gradient is linear in the weights, so it scales with them exactly."""
    unit, tiny = (draw_start(20, 2, s, seed=0) for s in (2.0**-100, 2.0**-990))
    large, small = (Snapshot(start, five_points()).gradient_norm for start in (unit, tiny))
    assert small * 2.0**890 == pytest.approx(large, rel=1e-13, abs=0)
