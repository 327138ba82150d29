"""Snapshots of neurons against exact rational arithmetic."""

import math
import subprocess
import sys
from fractions import Fraction

import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.neurons import Neurons, row_norms

EPS = 2.0**-52


def relative_error_of_norm(norm: float, row: list[float]) -> float:
    """|norm / ||row|| - 1| with the sum of squares exact: half of the squared ratio's error, to first order."""
    exact = sum(Fraction(v) ** 2 for v in row)
    return abs(float(Fraction(norm) ** 2 / exact - 1)) / 2


def random_neurons(m: int = 40, d: int = 7, size: float = 1.0, seed: int = 0) -> Neurons:
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(m, d, generator=generator, dtype=torch.float64)
    a = torch.randn(m, generator=generator, dtype=torch.float64)
    return Neurons(size * w, size * a)


@pytest.mark.parametrize("size", [1.0, 1e-150, 1e-300, 1e300])
@pytest.mark.parametrize("d", range(1, 10))
def test_norms_have_full_relative_accuracy_at_every_size(size: float, d: int) -> None:
    neurons = random_neurons(20, d, size)
    for norm, row in zip(neurons.norms.tolist(), neurons.w.tolist(), strict=True):
        # d divisions, squares and sums (halved by the root), a root and a product, each of eps/2
        assert relative_error_of_norm(norm, row) <= (d + 4) * EPS / 2


def test_norms_of_rows_of_very_unequal_entries() -> None:
    w = torch.tensor([[1e-300, 1e-310, 0.0], [1.0, 1e-300, 1e-200], [0.0, 0.0, -5e-324]], dtype=torch.float64)
    assert row_norms(w).tolist() == [1e-300, 1.0, 5e-324]  # the smaller entries do not show in the last place


def test_norms_of_a_batch_keep_its_shape() -> None:
    w = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    torch.testing.assert_close(row_norms(w), torch.linalg.vector_norm(w, dim=-1), rtol=4 * EPS, atol=0)


@pytest.mark.parametrize("size", [1.0, 1e-300])
def test_directions_are_unit_and_log_norms_their_logarithms(size: float) -> None:
    neurons = random_neurons(size=size)
    assert torch.allclose(neurons.directions.norm(dim=1), torch.ones(40, dtype=torch.float64), atol=8 * EPS, rtol=0)
    unscaled = random_neurons()
    # dividing by the norm forgets the size, up to the rounding of the scaled entries
    assert torch.allclose(neurons.directions, unscaled.directions, atol=8 * EPS, rtol=0)
    shift = neurons.log_norms - unscaled.log_norms
    assert torch.allclose(shift, torch.full_like(shift, math.log(size)), rtol=4 * EPS, atol=4 * EPS)


def test_zero_neuron_has_zero_norm_direction_and_sign() -> None:
    neurons = Neurons(torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    assert neurons.norms.item() == 0
    assert neurons.log_norms.item() == -math.inf
    assert neurons.directions.tolist() == [[0.0, 0.0, 0.0]]
    assert neurons.signs.item() == 0


def test_half_norm_squared_and_distance_against_the_flat_vector() -> None:
    one, other = random_neurons(seed=1), random_neurons(seed=2)
    flat, flat_other = (torch.cat([t.w.flatten(), t.a]) for t in (one, other))
    assert one.half_norm_squared == pytest.approx(float(flat @ flat) / 2, rel=1e-14)  # sums of 320 squares
    assert one.distance(other) == pytest.approx(float((flat - flat_other).norm()), rel=1e-14)
    assert one.distance(one) == 0


@pytest.mark.parametrize("size", [1e-200, 1e-300, 1e200])
def test_distance_squares_no_tiny_or_huge_number(size: float) -> None:
    expected = size * random_neurons(seed=1).distance(random_neurons(seed=2))
    measured = random_neurons(seed=1, size=size).distance(random_neurons(seed=2, size=size))
    assert measured == pytest.approx(expected, rel=1e-14, abs=0)  # sums of 320 squares


def test_copy_follows_neither_the_weights_nor_their_graph() -> None:
    w = torch.ones(2, 3, dtype=torch.float32, requires_grad=True)
    a = torch.ones(2, dtype=torch.float32, requires_grad=True)
    copy = Neurons.copy_of(w, a)
    with torch.no_grad():
        w.mul_(2)
        a.mul_(2)
    assert copy.w.dtype == copy.a.dtype == torch.float64
    assert not copy.w.requires_grad
    assert copy.w.eq(1).all()
    assert copy.a.eq(1).all()


@pytest.mark.parametrize(("w", "a"), [((3, 2), (2,)), ((3,), (3,)), ((3, 2), (3, 1)), ((3, 2, 1), (3,))])
def test_shapes_that_do_not_fit_are_refused(w: tuple[int, ...], a: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="neurons"):
        Neurons(torch.zeros(w), torch.zeros(a))


WIDE = """
import resource, sys
import torch
from gfflow.model.initialization import draw_start

start = draw_start(100_000, 2, 1e-3, seed=0)
x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
start.outputs(x[:10])
kept, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(4):
    kept += [start.outputs(x), torch.randn(5000)]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
for row in (0, 199, 399):
    h = float((start.a * (start.w @ x[row]).clamp(min=0)).sum())
    assert abs(h - float(kept[0][row])) < 1e-15 * float(start.half_norm_squared), row
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there ru_maxrss is in kB")
def test_many_inputs_of_a_wide_network_take_little_memory() -> None:
    """All pre-activations at once would be 320 MB."""
    found = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 100
