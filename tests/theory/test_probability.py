"""The probability of Assumption 3 against enumeration, and against random starts."""

from itertools import product

import pytest
import torch

from gfflow.model.data import orthonormal
from gfflow.model.initialization import draw_start
from gfflow.theory.directions import cones
from gfflow.theory.probability import assumption_3_probability


@pytest.mark.parametrize(("n_plus", "n_minus"), [(1, 1), (2, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_against_enumeration_of_all_fates(width: int, n_plus: int, n_minus: int) -> None:
    """Every neuron is in S+, in S- or in neither; the fates of m neurons are 3^m cases, summed one by one."""
    p, q = 2.0**-n_plus / 2, 2.0**-n_minus / 2
    chance = {"+": p, "-": q, "0": 1 - p - q}
    total = 0.0
    for fates in product(chance, repeat=width):
        if "+" in fates and "-" in fates:
            case = 1.0
            for fate in fates:
                case *= chance[fate]
            total += case
    assert assumption_3_probability(width, n_plus, n_minus) == pytest.approx(
        total, abs=1e-15
    )  # 243 terms of rounding


@pytest.mark.parametrize(
    ("width", "labels"), [(6, [1.0, -2.0]), (16, [1.0, 0.5, -1.0]), (30, [1.0, 2.0, -1.0, -3.0])]
)
def test_against_random_starts(width: int, labels: list[float]) -> None:
    """The measured frequency over 600 starts, within 3 of its standard errors; the seeds are fixed."""
    training_set = orthonormal(labels)
    draws = 600
    held = 0
    for seed in range(draws):
        s_plus, s_minus = cones(training_set, draw_start(width, training_set.d, 1.0, seed))
        held += bool(s_plus.any()) and bool(s_minus.any())
    n_plus = int((torch.tensor(labels) > 0).sum())
    exact = assumption_3_probability(width, n_plus, len(labels) - n_plus)
    assert 0.2 < exact < 0.98  # otherwise the comparison would say nothing
    assert abs(held / draws - exact) < 3 * (exact * (1 - exact) / draws) ** 0.5
