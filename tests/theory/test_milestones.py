"""The theory's times and the iterations that stand for them."""

import math

import pytest

from gfflow.model.data import five_points, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.theory import Milestone, Prediction, admitted_epsilons, milestone_iterations, milestones, predict

LABELS = [1.5, 0.8, -0.6, 1.2, -0.9, -0.4]


def prediction(labels: list[float] = LABELS, scale: float = 1e-100) -> Prediction:
    data = orthonormal(labels)
    return predict(data, draw_start(400, data.d, scale, seed=0), scale)


@pytest.mark.parametrize(("time", "rate", "lr"), [(30.0, 0.5, 2e-3), (5.0, 3.0, 0.05), (800.0, 0.2, 1e-2)])
def test_iteration_is_where_descent_has_grown_as_much_as_the_flow(time: float, rate: float, lr: float) -> None:
    """Steps of descent on dw/dt = rate w, counted one by one until e^(rate time) is passed."""
    size, steps = 1.0, 0
    while size < math.exp(rate * time):
        size += lr * rate * size
        steps += 1
    assert abs(Milestone(time, rate).iteration(lr) - steps) <= 1  # rounding to whole steps
    assert Milestone(time, rate).iteration(lr, descent=False) == round(time / lr)


@pytest.mark.parametrize("labels", [LABELS, [-y for y in LABELS]])
def test_times_are_those_of_figure_1_with_the_faster_sign_first(labels: list[float]) -> None:
    """||D|| by hand: the root of the sum of squares of a sign's labels over n = 6."""
    fast, slow = math.sqrt(1.5**2 + 0.8**2 + 1.2**2) / 6, math.sqrt(0.6**2 + 0.9**2 + 0.4**2) / 6
    e, log = 0.01, 100 * math.log(10)
    times = {name: milestone.time for name, milestone in milestones(prediction(labels), e).items()}
    assert times["t+1"] == pytest.approx(e * log / fast)
    assert times["t1"] == pytest.approx(e * log / slow)
    assert times["t2 at most"] == pytest.approx((1 + 3 * e) * log / fast)
    assert times["saddle left"] == pytest.approx((1 - e) * log / slow)
    assert times["t3 at most"] == pytest.approx((1 + 3 * e * fast / slow) * log / slow)


def test_predicted_ends_of_phases_are_where_the_masses_reach_the_thresholds() -> None:
    found, e = prediction(), 0.01
    times = milestones(found, e)
    assert found.group("plus") is not None and found.group("minus") is not None
    for name, group, divisor in (("t2", found.group("plus"), 5), ("t3", found.group("minus"), 29)):
        gap = group.mass_limit - float(group.mass(times[name].time))
        assert gap == pytest.approx(1e-100 ** (e / divisor), rel=1e-9)  # 1 - fraction loses three digits


def test_thresholds_that_are_not_positive_give_no_time() -> None:
    assert not {"t2", "t3"} & set(milestones(prediction([0.5, -0.25], scale=0.5), 0.01))


def test_nothing_where_the_theory_does_not_apply() -> None:
    data = five_points()
    general = predict(data, draw_start(60, data.d, 1e-3, seed=0), 1e-3)
    assert milestones(general, 0.1) == {} and milestone_iterations(general, 1e-3) == set()
    assert admitted_epsilons(general) == {}
    assert milestones(prediction(scale=1.0), 0.01) == {}
