"""The CUDA solver: its step on any machine, its graph where there is a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.activations import Activation
from gfflow.model.data import TrainingSet, five_points, gaussian_teacher, orthogonal_pair
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import SGD, Captured, make_solver
from gfflow.solvers.captured import BLOCK, descend_step

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DATA = {"pair": orthogonal_pair(), "five": five_points(), "teacher": gaussian_teacher(12, 20)}


def relative_distance(one: TwoLayerReLU, other: TwoLayerReLU) -> float:
    return one.neurons().distance(other.neurons()) / (2 * other.neurons().half_norm_squared) ** 0.5


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("m", [1, 2, 17])
def test_step_equals_sgd(name, m):
    data = DATA[name]
    start = draw_start(m, data.d, 0.3, seed=m)
    written, wanted = TwoLayerReLU(start), TwoLayerReLU(start)
    for _ in range(300):
        descend_step(written.hidden.detach(), written.output.detach(), data.x, data.y, 5e-3)
    SGD(5e-3).advance(wanted, data, 0, 300)
    assert relative_distance(written, wanted) < 1e-12  # 300 steps, each rounding to a few 2e-16


def test_step_leaves_a_neuron_on_its_gate():
    w = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=torch.float64)
    a = torch.ones(2, dtype=torch.float64)
    x, y = torch.tensor([[2.0, -1.0]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    descend_step(w, a, x, y, 0.125)
    assert w[0].tolist() == [1.0, 2.0]
    assert a[0] == 1.0
    assert w[1].tolist() != [3.0, 1.0]


def test_step_lets_nan_through():
    w, a = draw_start(3, 2, 0.3, seed=0).w.abs(), torch.ones(3, dtype=torch.float64)
    w[1, 0] = torch.nan
    data = five_points()
    for _ in range(2):
        descend_step(w, a, data.x, data.y, 0.1)
    assert w.isnan().all()
    assert a.isnan().all()


def test_on_a_cpu_names_who_can():
    with pytest.raises(InvalidInput, match="fused"):
        make_solver("captured", 1e-3)
    with pytest.raises(InvalidInput, match="solver=fused"):
        Captured(1e-3).advance(TwoLayerReLU(draw_start(3, 2, 0.1, seed=0)), orthogonal_pair(), 0, 1)


def test_step_takes_another_derivative_at_zero():
    """Neurons put exactly on gates, against autograd."""
    on_gates = Neurons(torch.tensor([[1.0, 2.0], [2.0, 4.0]]).double(), torch.tensor([1.0, -0.5]).double())
    start = replace(on_gates, activation=Activation(at_zero=0.5))
    data = TrainingSet(torch.tensor([[2.0, -1.0]]).double(), torch.ones(1).double())
    written, wanted = TwoLayerReLU(start), TwoLayerReLU(start)
    law = data.loss, start.activation
    descend_step(written.hidden.detach(), written.output.detach(), data.x, data.y, 0.125, *law)
    SGD(0.125).advance(wanted, data, 0, 1)
    assert relative_distance(written, wanted) < 1e-15 < written.neurons().distance(start)


def test_is_the_default_on_cuda():
    assert isinstance(make_solver("auto", 1e-3, cuda=True), Captured)
    assert isinstance(make_solver("auto", 1e-3, cuda=True, batch_size=1), SGD)


@needs_cuda
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("steps", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 7])
def test_graph_equals_sgd(name, steps):
    data = DATA[name]
    start = draw_start(17, data.d, 0.3, seed=1)
    captured, wanted = TwoLayerReLU(start).cuda(), TwoLayerReLU(start)
    Captured(5e-3).advance(captured, data, 0, steps)
    SGD(5e-3).advance(wanted, data, 0, steps)
    assert relative_distance(captured, wanted) < 1e-12


@needs_cuda
def test_graph_follows_the_network_and_the_data():
    """Weights changed in place are the ones that move on; another network or training set is recorded anew."""
    solver = Captured(5e-3)
    for data in (five_points(), TrainingSet(five_points().x, -five_points().y)):
        start = draw_start(9, 2, 0.3, seed=1)
        captured, wanted = TwoLayerReLU(start).cuda(), TwoLayerReLU(start)
        for begin, end in [(0, 150), (150, 151), (151, 400)]:
            solver.advance(captured, data, begin, end)
        SGD(5e-3).advance(wanted, data, 0, 400)
        assert relative_distance(captured, wanted) < 1e-12
        with torch.no_grad():
            captured.hidden.copy_(start.w)
            captured.output.copy_(start.a)
        solver.advance(captured, data, 0, 400)
        assert relative_distance(captured, wanted) < 1e-12
