"""Directions, cones, assumptions and epsilon against sums and searches written out."""

import math

import numpy as np
import pytest
import torch

from gfflow.model.data import TrainingSet, five_points, orthogonal_pair, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.model.neurons import Neurons
from gfflow.theory.directions import attractors, check_assumptions, cones, largest_epsilon, timeline

SIX = [1.5, 0.8, -0.6, 1.2, -0.9, -0.4]


def neurons(w: list[list[float]], a: list[float]) -> Neurons:
    return Neurons(torch.tensor(w, dtype=torch.float64), torch.tensor(a, dtype=torch.float64))


def test_attractors_are_the_sums_over_each_sign() -> None:
    data = five_points()
    for sign, attractor in zip((1, -1), attractors(data), strict=True):
        mine = [(x, y) for x, y in zip(data.x.tolist(), data.y.tolist(), strict=True) if sign * y > 0]
        expected = [sum(y * x[i] for x, y in mine) / 5 for i in range(2)]
        assert attractor.tolist() == pytest.approx(expected, abs=1e-16)


def test_cones_neuron_by_neuron_with_gates_at_zero_inside() -> None:
    data = orthogonal_pair()  # x1 = (-0.5, 1) negative, x2 = (2, 1) positive
    start = neurons([[1, 0], [1, -2], [1, -2.1], [-1, 0], [2, 1], [2, 0.9]], [1, 1, 1, -1, -1, -1])
    plus, minus = cones(data, start)
    assert plus.tolist() == [True, True, False, False, False, False]  # <(1, -2), x2> = 0
    assert minus.tolist() == [False, False, False, True, True, False]  # <(2, 1), x1> = 0


@pytest.mark.parametrize("scale", [1.0, 1e-300])
def test_cones_against_a_loop(scale: float) -> None:
    data, start = five_points(), draw_start(200, 2, scale, seed=0)
    plus, minus = cones(data, start)
    for j, (w, a) in enumerate(zip(start.w.tolist(), start.a.tolist(), strict=True)):
        for sign, members in ((1, plus), (-1, minus)):
            own = [x for x, y in zip(data.x.tolist(), data.y.tolist(), strict=True) if sign * y > 0]
            inside = sign * a > 0 and all(w[0] * x[0] + w[1] * x[1] >= 0 for x in own)
            assert bool(members[j]) == inside


@pytest.mark.filterwarnings("ignore:data labels")
def test_assumptions_that_fail_are_named() -> None:
    start = draw_start(40, 2, 1e-6, seed=0)

    def notes(data: TrainingSet, scale: float = 1e-6) -> str:
        return "\n".join(check_assumptions(data, start, scale, *cones(data, start)).notes)

    assert notes(orthogonal_pair()) == ""
    assert "Assumption 1 fails" in notes(five_points())
    assert "Assumption 2 fails: 1 label" in notes(TrainingSet(torch.eye(2), torch.tensor([1.0, 0.0])))
    assert "||D+|| = ||D-||" in notes(orthonormal([1.0, -1.0]))
    assert "S- is empty" in "\n".join(
        check_assumptions(orthogonal_pair(), start, 1e-6, torch.tensor([True]), torch.tensor([False])).notes
    )
    rotated = orthonormal([1.0, -0.5], rotation=1)
    assert rotated.orthogonality_defect > 0, "choose another rotation: this one is exact"
    assert "gates can open again" in notes(rotated, 1e-100)
    assert notes(rotated, 1e-6) == ""


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        orthogonal_pair(),
        orthonormal(SIX),
        orthonormal(SIX, norms=[1.0, 0.7, 1.3, 1.2, 0.9, 1.1]),
        orthonormal([-v for v in SIX]),
        orthonormal([1.0, -0.9]),
    ],
)
def test_epsilon_max_is_the_end_of_what_b2_admits(data: TrainingSet, sharp: bool) -> None:
    x, y, n = data.x.numpy(), data.y.numpy(), data.n
    norms = {s: np.linalg.norm(sum(y[k] * x[k] / n for k in range(n) if s * y[k] > 0)) for s in (1, -1)}
    fast = max(norms, key=lambda s: norms[s])
    r = norms[fast] / norms[-fast]

    def smallest(s: int) -> float:
        factor = [np.linalg.norm(x[k]) / n if sharp else 1.0 for k in range(n)]
        return min((y[k] * factor[k]) ** 2 for k in range(n) if s * y[k] > 0) / (2 * norms[s] ** 2)

    alpha, beta = smallest(fast), smallest(-fast)

    def admitted(e: float) -> bool:
        first = (1 + 3 * e) * max(1 - alpha, 1 / r) <= 1 - e
        return first and (1 + 3 * r * e) * (1 - beta) <= 1 - e

    epsilon = largest_epsilon(data, sharp)
    assert epsilon is not None
    grid = np.geomspace(1e-6, 1, 2001)
    assert [admitted(e) for e in grid] == [e <= epsilon for e in grid]  # no point of the grid is the end itself
    assert admitted(epsilon * (1 - 1e-9))
    assert not admitted(epsilon * (1 + 1e-9))  # one of the inequalities is an equality


@pytest.mark.filterwarnings("ignore:data labels")
@pytest.mark.parametrize("labels", [[1.0, 2.0], [-1.0, -2.0], [1.0, -1.0]])
def test_no_epsilon_without_two_signs_of_unequal_weight(labels: list[float]) -> None:
    assert largest_epsilon(orthonormal(labels)) is None


def test_timeline_is_figure_1() -> None:
    scale, e, fast, slow = 1e-6, 0.1, 2.0, 0.5
    log = -math.log(scale)
    for pair in ((fast, slow), (slow, fast)):
        t = timeline(*pair, scale, e)
        assert t.aligned == pytest.approx(e * log / slow, rel=1e-15)
        assert t.first_fitted == pytest.approx((1 + 3 * e) * log / fast, rel=1e-15)
        assert t.saddle_left == pytest.approx((1 - e) * log / slow, rel=1e-15)
        assert t.second_fitted == pytest.approx((1 + 3 * (fast / slow) * e) * log / slow, rel=1e-15)


def test_times_are_in_order_at_the_largest_epsilon() -> None:
    for data in (orthogonal_pair(), orthonormal(SIX), orthonormal([-v for v in SIX])):
        epsilon = largest_epsilon(data)
        assert epsilon is not None
        norms = [float(v.norm()) for v in attractors(data)]
        t = timeline(norms[0], norms[1], 1e-6, epsilon)
        # B.2 makes the stay near the saddle end after it begins (to rounding)
        assert t.aligned < t.first_fitted <= t.saddle_left * (1 + 1e-12)
        assert t.saddle_left < t.second_fitted
