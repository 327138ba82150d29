"""What no solver may depend on: the order of neurons and samples, a rotation of the inputs, the units."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import make_solver

SOLVERS = ("fused", "sgd", "mini-batch", "flow")
SHAPES = [(1, 1), (2, 2), (5, 2), (9, 5), (4, 12)]  # few, since each small one compiles a kernel of its own
sizes = st.builds(
    lambda shape, *others: (*shape, *others),
    st.sampled_from(SHAPES),
    st.integers(1, 12),
    st.integers(0, 2**20),
    st.sampled_from([0, 0, 1, -1]),
)


def problem(n: int, d: int, m: int, seed: int, sign: int) -> tuple[TrainingSet, Neurons]:
    """Gaussian samples, some of them twice, and a start of moderate size: n, d, m from 1; labels of the sign alone
    unless it is 0."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    x[n // 2 :] = x[: n - n // 2].clone()
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    w = torch.randn(m, d, generator=generator, dtype=torch.float64) / 3
    a = torch.randn(m, generator=generator, dtype=torch.float64) / 3
    return TrainingSet(x, sign * y.abs() if sign else y), Neurons(w, a)


def trained(solver: str, data: TrainingSet, start: Neurons, lr: float = 0.01, steps: int = 60) -> Neurons:
    network = TwoLayerReLU(start)
    options = {"batch_size": (data.n + 1) // 2} if solver == "mini-batch" else {}
    make_solver("sgd" if options else solver, lr, **options).advance(network, data, 0, steps)
    return network.neurons()


def close(solver: str, one: Neurons, other: Neurons) -> bool:
    """Equal but for the rounding of 60 steps of sums in another order: 1e-11 of weights of size 1, unless a gate is
    met to within rounding, which Gaussian starts do not. The flow's steps are as long as its tolerance of 1e-6 lets
    them, and rounding may decide of a step."""
    atol = 1e-5 if solver == "flow" else 1e-11
    return torch.allclose(one.w, other.w, atol=atol, rtol=0) and torch.allclose(one.a, other.a, atol=atol, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=15, deadline=None)
@given(sizes)
@example((5, 2, 11, 0, 0))  # a neuron of it slides into w = 0
def test_order_of_neurons_and_samples_does_not_matter(solver, size):
    n, _, m, seed, _ = size
    data, start = problem(*size)
    generator = torch.Generator().manual_seed(seed + 1)
    neurons, samples = torch.randperm(m, generator=generator), torch.randperm(n, generator=generator)
    if solver == "mini-batch":  # which draws samples by their place
        samples = torch.arange(n)
    end = trained(solver, data, start)
    mixed = trained(
        solver, TrainingSet(data.x[samples], data.y[samples]), Neurons(start.w[neurons], start.a[neurons])
    )
    assert close(solver, mixed, Neurons(end.w[neurons], end.a[neurons]))


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=15, deadline=None)
@given(sizes)
def test_a_rotation_of_the_inputs_rotates_the_weights(solver, size):
    _, d, _, seed, _ = size
    data, start = problem(*size)
    generator = torch.Generator().manual_seed(seed + 2)
    q, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
    end = trained(solver, data, start)
    turned = trained(solver, TrainingSet(data.x @ q, data.y), Neurons(start.w @ q, start.a))
    assert close(solver, turned, Neurons(end.w @ q, end.a))


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=15, deadline=None)
@given(sizes, st.integers(-3, 3), st.integers(-3, 3))
def test_units_change_the_clock_alone(solver, size, log_c, log_s):
    """Inputs times c, weights times s, labels times c s^2: the same run at the step lr / (c s)^2; powers of two, so
    bit for bit (but for the flow, which takes logarithms)."""
    c, s = 2.0**log_c, 2.0**log_s
    data, start = problem(*size)
    end = trained(solver, data, start)
    scaled = TrainingSet(c * data.x, c * s**2 * data.y)
    other = trained(solver, scaled, Neurons(s * start.w, s * start.a), lr=0.01 / (c * s) ** 2)
    if solver == "flow":
        assert close(solver, Neurons(other.w / s, other.a / s), end)
    else:
        assert torch.equal(other.w, s * end.w) and torch.equal(other.a, s * end.a)


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=10, deadline=None)
@given(sizes)
def test_negated_labels_negate_the_output(solver, size):
    data, start = problem(*size)
    end = trained(solver, data, start)
    mirrored = trained(solver, TrainingSet(data.x, -data.y), Neurons(start.w, -start.a))
    assert close(solver, mirrored, Neurons(end.w, -end.a))


@pytest.mark.parametrize("solver", ["fused", "sgd", "flow"])
@settings(max_examples=10, deadline=None)
@given(sizes)
def test_samples_given_twice_count_as_once(solver, size):
    """L is a mean: every sample twice is the same L."""
    data, start = problem(*size)
    twice = TrainingSet(torch.cat([data.x, data.x]), torch.cat([data.y, data.y]))
    assert close(solver, trained(solver, twice, start), trained(solver, data, start))
