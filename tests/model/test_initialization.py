"""Starts against exact arithmetic and against the distribution of Eq. 4."""

import math
from fractions import Fraction

import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet, orthogonal_pair
from gfflow.model.initialization import check_alive, draw_start, initialization_scale
from gfflow.model.neurons import Neurons

EPS = 2.0**-52


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e-300])
@pytest.mark.parametrize("d", [1, 2, 3, 9, 150])
def test_balanced_start_is_balanced_to_one_rounding(scale: float, d: int) -> None:
    start = draw_start(50, d, scale, seed=3)
    for a, row in zip(start.a.tolist(), start.w.tolist(), strict=True):
        exact = sum(Fraction(v) ** 2 for v in row)
        # |a| within one unit in the last place of ||w||: the square's error is twice the relative one, at most 2 eps
        assert abs(Fraction(a) ** 2 / exact - 1) <= 2 * EPS


@pytest.mark.parametrize("balanced", [True, False])
def test_same_seed_gives_the_same_draw_at_every_scale(balanced: bool) -> None:
    reference = draw_start(60, 3, 1.0, seed=5, balanced=balanced)
    for power in (-20, -500, -990):  # powers of two scale without rounding, so equality is exact
        scaled = draw_start(60, 3, 2.0**power, seed=5, balanced=balanced)
        assert torch.equal(scaled.w * 2.0**-power, reference.w)
        assert torch.equal(scaled.a * 2.0**-power, reference.a)


def test_draw_depends_on_its_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = draw_start(10, 3, 1.0, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw_start(10, 3, 1.0, seed=0).w, one.w)
    assert not torch.equal(draw_start(10, 3, 1.0, seed=1).w, one.w)


def test_draw_has_the_moments_of_equation_4() -> None:
    m, scale = 20_000, 1e-3
    start = draw_start(m, 4, scale, seed=0)
    g = start.w / scale
    # five standard errors: 1/sqrt(4 m) for the mean, sqrt(2/(4 m)) for the variance, 1/sqrt(m) for the signs
    assert abs(float(g.mean())) < 5 / math.sqrt(4 * m)
    assert abs(float(g.square().mean()) - 1) < 5 * math.sqrt(2 / (4 * m))
    assert set(start.signs.tolist()) == {-1.0, 1.0}
    assert abs(float(start.signs.mean())) < 5 / math.sqrt(m)
    assert abs(float((start.signs * g[:, 0]).mean())) < 5 / math.sqrt(m)  # signs are independent of directions


def test_unbalanced_output_weights_are_normal_of_the_same_scale() -> None:
    m, scale = 20_000, 1e-3
    start = draw_start(m, 2, scale, seed=0, balanced=False)
    b = start.a / scale
    assert abs(float(b.mean())) < 5 / math.sqrt(m)
    assert abs(float(b.square().mean()) - 1) < 5 * math.sqrt(2 / m)
    assert not torch.allclose(start.a.abs(), start.norms, rtol=0.1)


@pytest.mark.parametrize(
    ("normalization", "expected"), [("width", 0.3 / 2), ("width_dim", 0.3 / 6), ("none", 0.3)]
)  # m = 4, d = 9
def test_normalizations(normalization: str, expected: float) -> None:
    assert initialization_scale(0.3, normalization, 4, 9) == pytest.approx(expected, rel=2 * EPS)


@pytest.mark.parametrize(
    ("scale", "normalization", "width", "key"),
    [
        (0.0, "width", 4, "init.scale"),
        (-1.0, "width", 4, "init.scale"),
        (math.nan, "width", 4, "init.scale"),
        (math.inf, "width", 4, "init.scale"),
        (1.0, "depth", 4, "init.normalization"),
        (1.0, "width", 0, "network.width"),
    ],
)
def test_bad_scales_are_refused_by_name(scale: float, normalization: str, width: int, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        initialization_scale(scale, normalization, width, 2)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("balanced", [True, False])
def test_scale_at_which_weights_vanish_is_refused(balanced: bool) -> None:
    with pytest.raises(InvalidInput, match=r"init\.scale"):
        draw_start(200, 1, 5e-324, seed=0, balanced=balanced)


def test_zero_neuron_is_refused() -> None:
    w = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double()
    for start in (Neurons(w, torch.ones(2).double()), Neurons(w + 1, torch.tensor([0.0, 1.0]).double())):
        with pytest.raises(InvalidInput, match="equal to zero"):
            check_alive(start, orthogonal_pair())


def test_start_that_is_off_on_every_sample_is_refused() -> None:
    data = TrainingSet(torch.eye(2), torch.ones(2))
    dead = Neurons(-torch.eye(2).double(), torch.ones(2).double())
    with pytest.raises(InvalidInput, match="active"):
        check_alive(dead, data)
    half_alive = Neurons(torch.tensor([[-1.0, 1e-300]], dtype=torch.float64), torch.ones(1).double())
    check_alive(half_alive, data)
