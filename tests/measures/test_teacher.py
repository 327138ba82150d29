"""Distance and angle to a teacher, and the rank of W, on networks whose answers are known by hand."""

import math

import pytest
import torch

from gfflow.measures.rank import nuclear_norms, stable_ranks
from gfflow.measures.teacher import teacher_angle, teacher_distance
from gfflow.model.neurons import Neurons


def neurons(*rows: tuple[float, float, float]) -> Neurons:
    """From (w_1, w_2, a) of each neuron."""
    table = torch.tensor(rows, dtype=torch.float64)
    return Neurons(table[:, :2].contiguous(), table[:, 2].contiguous())


TEACHER = neurons((1.0, 0.0, 2.0), (0.0, 1.0, -1.0))


def test_a_teacher_in_pieces_is_the_teacher() -> None:
    pieces = neurons((0.5, 0.0, 1.0), (3.0, 0.0, 0.5), (0.0, 2.0, -0.5))  # 0.5 + 1.5 = 2 along the first
    assert teacher_distance(pieces, TEACHER) == pytest.approx(0, abs=1e-15)
    assert teacher_angle(pieces, TEACHER) == 0


def test_distance_of_zero_and_of_half_the_teacher() -> None:
    assert teacher_distance(neurons((1.0, 0.0, 0.0)), TEACHER) == pytest.approx(1, rel=1e-15)
    assert teacher_distance(neurons((1.0, 0.0, 2.0)), TEACHER) == pytest.approx(1 / math.sqrt(5), rel=1e-14)


@pytest.mark.parametrize("angle", [1e-9, 0.3, 3.0])
def test_angles_small_and_large(angle: float) -> None:
    one = neurons((1.0, 0.0, 1.0))
    turned = neurons((math.cos(angle), math.sin(angle), -7.0))
    assert teacher_angle(turned, one) == pytest.approx(angle, rel=1e-6)


def test_angles_count_by_the_neurons_size() -> None:
    one = neurons((1.0, 0.0, 1.0))
    both = neurons((0.0, 3.0, 1.0), (1.0, 0.0, 1.0))
    assert teacher_angle(both, one) == pytest.approx(0.75 * math.pi / 2, rel=1e-14)


def test_rank_of_known_matrices_at_any_size() -> None:
    w = torch.diag(torch.tensor([3.0, 4.0], dtype=torch.float64))
    for scale in (1.0, 1e-200):
        case = Neurons(scale * w, torch.ones(2, dtype=torch.float64))
        assert case.singular_values.tolist() == pytest.approx([4 * scale, 3 * scale], rel=1e-14)
        assert float(nuclear_norms(case)) == pytest.approx(7 * scale, rel=1e-14)
        assert float(stable_ranks(case)) == pytest.approx(25 / 16, rel=1e-14)
    parallel = neurons((1.0, 2.0, 1.0), (-2.0, -4.0, 1.0), (0.5, 1.0, 0.0))
    assert float(stable_ranks(parallel)) == pytest.approx(1, rel=1e-14)
    assert float(stable_ranks(neurons((0.0, 0.0, 1.0)))) == 0 == float(nuclear_norms(neurons((0.0, 0.0, 1.0))))
