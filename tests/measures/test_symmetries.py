"""What no measure may depend on: the order of neurons and samples, a rotation of the inputs; how each scales."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gfflow.measures import (
    Snapshot,
    balance_drift,
    clusters,
    largest_norm,
    least_sharpness,
    mass,
    own_cosines,
    principal_components,
    sharpness,
)
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons

ROUNDING = 1e-9  # of sums over up to 12 neurons and 9 samples, and of eigenvalues, relative to the largest

cases = st.tuples(
    st.integers(1, 9), st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**20), st.sampled_from([0, 1, -1])
)


def drawn(n: int, d: int, m: int, seed: int, sign: int) -> tuple[TrainingSet, Neurons]:
    """Gaussian samples, the last as the first, and neurons; labels of one sign alone unless it is 0."""
    generator = torch.Generator().manual_seed(seed)

    def gaussian(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, y = gaussian(n, d), gaussian(n)
    x[-1] = x[0]
    return TrainingSet(x, sign * y.abs() if sign else y), Neurons(gaussian(m, d), gaussian(m))


def measured(data: TrainingSet, neurons: Neurons) -> dict[str, tuple[float, int, int]]:
    """Each measure with the powers of c and s in which it grows when inputs are multiplied by c, weights by s and
    labels by c s^2."""
    snapshot = Snapshot(neurons, data)
    moved = Neurons(neurons.w * 1.5, neurons.a * 0.5)
    cosines = own_cosines(snapshot)
    found = {
        "loss": (snapshot.loss, 2, 4),
        "gradient": (snapshot.gradient_norm, 2, 3),
        "half norm": (neurons.half_norm_squared, 0, 2),
        "mass": (mass(neurons, neurons.a > 0), 0, 2),
        "largest norm": (largest_norm(neurons, torch.ones_like(neurons.a, dtype=torch.bool)), 0, 1),
        "drift": (balance_drift(moved, neurons), 0, 2),
        "distance": (moved.distance(neurons), 0, 1),
        "sharpness": (sharpness(snapshot), 2, 2),
        "least sharpness": (least_sharpness(data), 2, 2),
        "clusters": (float(len(clusters(neurons))), 0, 0),
        "largest share": (float(clusters(neurons).shares[0]), 0, 0),
        "defect": (data.orthogonality_defect, 0, 0),
        "component": (float(principal_components(neurons)[1][0]), 0, 0),
    }
    if len(cosines):
        found |= {"own_min": (float(cosines.min()), 0, 0), "own_mean": (float(cosines.mean()), 0, 0)}
    return found


def assert_same(one: dict[str, tuple[float, int, int]], other: dict[str, tuple[float, int, int]]) -> None:
    assert one.keys() == other.keys()
    for name, (value, _, _) in one.items():
        assert math.isfinite(value)
        assert other[name][0] == pytest.approx(value, rel=ROUNDING, abs=1e-12), name


@settings(max_examples=25, deadline=None)
@given(cases)
def test_order_and_rotation_do_not_matter(case: tuple[int, int, int, int, int]) -> None:
    n, d, m, seed, _ = case
    data, neurons = drawn(*case)
    generator = torch.Generator().manual_seed(seed + 1)
    j, k = torch.randperm(m, generator=generator), torch.randperm(n, generator=generator)
    q, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
    one = measured(data, neurons)
    assert_same(one, measured(TrainingSet(data.x[k], data.y[k]), Neurons(neurons.w[j], neurons.a[j])))
    assert_same(one, measured(TrainingSet(data.x @ q, data.y), Neurons(neurons.w @ q, neurons.a)))


@settings(max_examples=25, deadline=None)
@given(cases, st.floats(-2, 2), st.floats(-2, 2))
def test_units_scale_each_measure_by_its_powers(
    case: tuple[int, int, int, int, int], log_c: float, log_s: float
) -> None:
    data, neurons = drawn(*case)
    c, s = 10**log_c, 10**log_s
    scaled = measured(TrainingSet(c * data.x, c * s**2 * data.y), Neurons(s * neurons.w, s * neurons.a))
    assert_same(
        measured(data, neurons),
        {name: (value / c**by_c / s**by_s, by_c, by_s) for name, (value, by_c, by_s) in scaled.items()},
    )


@settings(max_examples=25, deadline=None)
@given(cases)
def test_every_fit_is_at_least_as_sharp_as_its_labels_make_it(case: tuple[int, int, int, int, int]) -> None:
    """For labels that are the network's own outputs the network is a fit."""
    data, neurons = drawn(*case)
    outputs = (data.x @ neurons.w.T).clamp(min=0) @ neurons.a
    data = TrainingSet(data.x, torch.where(outputs.abs() > 1e-9, outputs, 1.0))
    fitted = Snapshot(neurons, data).residuals.abs() < 1e-12
    if bool(fitted.all()):
        assert sharpness(Snapshot(neurons, data)) >= least_sharpness(data) * (1 - ROUNDING)


def test_one_balanced_neuron_on_one_sample_attains_the_bound() -> None:
    data = TrainingSet(torch.tensor([[3.0, 4.0]]), torch.tensor([10.0]))
    w = torch.tensor([[3.0, 4.0]], dtype=torch.float64) / 5 * 2**0.5
    one = Snapshot(Neurons(w, torch.tensor([2**0.5], dtype=torch.float64)), data)
    assert one.loss == pytest.approx(0, abs=1e-28)
    assert sharpness(one) == pytest.approx(least_sharpness(data), rel=1e-14)
