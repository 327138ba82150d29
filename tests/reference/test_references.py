"""The references against each other, against published numbers, and against themselves at another accuracy."""

import itertools

import numpy as np
import pytest
import torch
from flow_runs import by_scipy
from reference.agf import alternating_gradient_flows
from reference.high_precision import HighPrecision
from reference.plane import HELD, Plane
from reference.sets import plane_set, space_set, split
from reference.staircase_plane import LN10, STAIRCASES, slopes

from gfflow.model.data import TrainingSet, five_points, orthogonal_pair
from gfflow.model.initialization import draw_start
from gfflow.model.neurons import Neurons

LEVELS = [0.0625, 0.0349, 0.0159]  # of the five points' loss, between its critical points


def drawn(training_set):
    unit = draw_start(60, 2, 1.0, 0, True)
    return training_set.x.numpy(), training_set.y.numpy(), unit.w.numpy(), unit.a.sign().numpy()


def times(problem, decades, levels, end, **options):
    curve = Plane(*problem, -decades * LN10).run(end, **options)
    return np.array([curve.time_below(level) for level in levels], dtype=float)


@pytest.mark.parametrize(
    ("decades", "published"),
    [(8, [130.29, 178.18, 521.79]), (20, [311.99, 354.41, 1157.99]), (60, [884.12, 944.82, 3248.34])],
)
def test_five_points(decades, published):
    """Published: another integration in the same coordinates, constant steps of 0.02 to 0.05."""
    problem = drawn(five_points())
    found = times(problem, decades, LEVELS, 3500)
    assert np.abs(found - published).max() < 0.03  # that integration's step
    assert np.abs(found - times(problem, decades, LEVELS, 3500, tolerance=1e-9)).max() < 1e-5


def test_constant_steps_converge_with_order_four():
    """Through gate changes and slides, to which steps are cut."""
    ends = []
    for options in ({"tolerance": 1e-13}, {"step": 0.2}, {"step": 0.1}):
        plane = Plane(*plane_set(6), -6 * LN10)
        plane.run(120, **options)
        ends.append(np.concatenate([plane.rho, plane.phi]))
    coarse, fine = (np.abs(end - ends[0]).max() for end in ends[1:])
    assert fine < 1e-8
    assert 10 < coarse / fine < 25  # 16, and what the cuts do to single steps


DECIMALS = [(seed, decades) for seed in (0, 1, 5, 6, 10, 11, 15, 16, 20) for decades in (6, 25)]
QUICK = [(6, 6), (16, 25)]


@pytest.mark.parametrize(
    ("seed", "decades"),
    [pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow) for case in DECIMALS],
)
def test_angles_agree_with_decimals(seed, decades):
    x, y, w, signs = plane_set(seed, width=5)
    curve = Plane(x, y, w, signs, -decades * LN10).run(30 * decades * LN10 + 200)
    plateaus = curve.plateaus()
    levels = [(high + low) / 2 for high, low in itertools.pairwise(plateaus)]
    found = [curve.time_below(level) for level in levels]
    exact = HighPrecision(x, y, w, signs, decades, balanced=True).run(max(found) + 1, levels)
    assert found and np.abs(np.subtract(found, exact)).max() < 1e-5  # 1e-10 a step in the plane


def test_decimals_converge():
    """Their own error: other digits, another order, another tolerance; a set with many slides."""
    x, y, w, a = space_set(3)
    runs = []
    for options in ({"order": 20, "tolerance": 1e-12}, {}):
        run = HighPrecision(x, y, w, a, 25, True, **options)
        runs.append(run.run(200, [0.34, 0.034, 0.024]))
    assert run.events > 20
    assert np.abs(np.subtract(*runs)).max() < 1e-9


@pytest.mark.parametrize("seed", [1, 4, 5, 9])
def test_decimals_agree_with_scipy_on_unbalanced_starts(seed):
    """Up to the first slide, which scipy does not know."""
    x, y, w, a = space_set(seed, balanced=False)
    run = HighPrecision(x, y, w, a, 1)
    end = 0
    while not any("slides" in gates for gates in run.gates) and end < 10:
        end += 1
        before = [[float(v) for v in row] for row in run.w], [float(v) for v in run.a]
        run.run(end)
    assert end > 5 and run.events > 0
    start = Neurons(torch.from_numpy(w / 10), torch.from_numpy(a / 10))
    truth = by_scipy(TrainingSet(torch.from_numpy(x), torch.from_numpy(y)), start, end - 1)
    assert np.abs(truth.w.numpy() - before[0]).max() < 1e-8  # scipy's kinks at rtol 1e-11
    assert np.abs(truth.a.numpy() - before[1]).max() < 1e-8
    drift = (np.square(before[0]).sum(1) - np.square(before[1])) - (np.square(w).sum(1) - np.square(a)) / 100
    assert np.abs(drift).max() < 1e-14  # conserved; floats' rounding alone


@pytest.mark.parametrize("seed", [2, 6])
def test_multiples_of_a_sample_are_one_sample(seed):
    x, y, w, signs = plane_set(seed)
    curve = Plane(x, y, w, signs, -6 * LN10).run(500)
    levels = curve.losses[0] * np.array([0.9, 0.7, 0.5])
    x_split, y_split, constant = split(x, y)
    parted = Plane(x_split, y_split, w, signs, -6 * LN10).run(500)
    assert parted.losses[0] == pytest.approx(curve.losses[0] + constant, rel=1e-13)
    for level in levels:
        assert parted.time_below(level + constant) == pytest.approx(curve.time_below(level), abs=1e-5)


def test_orthogonal_data_hold_their_gates():
    problem = drawn(orthogonal_pair())
    plane = Plane(*problem, -30 * LN10)
    curve = plane.run(1000)
    assert (plane.kind == HELD).sum() > 10
    assert curve.losses[-1] < 1e-12
    beta = [1 / np.sqrt(5), 2 / np.sqrt(5)]  # the norms that the two groups' masses tend to on this pair
    mass = np.exp(2 * plane.rho)
    assert mass[plane.sign > 0].sum() == pytest.approx(beta[0], rel=1e-6)
    assert mass[plane.sign < 0].sum() == pytest.approx(beta[1], rel=1e-6)


THREE_POINTS = TrainingSet(
    torch.tensor([[-0.75, 1.0], [-0.5, 1.0], [0.125, 1.0]], dtype=torch.float64),
    torch.tensor([1.1, 0.1, 0.8], dtype=torch.float64),
)


@pytest.mark.parametrize(
    "name", [5, *(pytest.param(name, marks=pytest.mark.slow) for name in STAIRCASES if name != 5)]
)
def test_slopes_of_the_staircase(name):
    sets = {"five points": five_points(), "pair": orthogonal_pair(), "three points": THREE_POINTS}
    problem = drawn(sets[name]) if name in sets else plane_set(name)
    levels, a, b = STAIRCASES[name]
    for decades, error in (((200, 290), 1e-5), ((1000, 2000), 1e-5)):
        measured = slopes(*problem, decades=decades)
        assert np.abs(np.subtract(measured[0], levels)).max() < 1e-9
        assert np.abs(measured[1] - a).max() < 1e-8
        assert np.abs(measured[2] - b).max() < error


@pytest.mark.slow
def test_alternating_gradient_flows_on_the_five_points():
    """Prints the jump times of both variants beside the flow's. Their step makes pinned neurons chatter: the third
    slope is 22.686 at a step of 0.02, 22.700 at 0.05, and tends to the staircase's 22.676."""
    x, y, w, signs = problem = drawn(five_points())
    a = signs * np.hypot(*w.T)
    found = {}
    for variant, name in ((True, "balanced, whole clusters"), (False, "own rule")):
        for decades in (4, 8, 40):
            jumps, losses = alternating_gradient_flows(x, y, w, a, -decades * LN10, variant, variant, end=2200.0)
            flow = times(problem, decades, LEVELS, 2500)
            found[variant, decades] = np.array(jumps), flow
            errors = [f"{100 * (t / f - 1):+.0f}%" for t, f in zip(jumps, flow, strict=False)]
            print(f"{name:25s} 1e-{decades}: {np.round(jumps, 2)} flow {np.round(flow, 2)} {' '.join(errors)}")
            assert np.abs(np.subtract(losses[:3], [0.087, 0.038, 0.0318157895])).max() < 1e-6
    rise = (found[True, 40][0] - found[True, 8][0]) / (32 * LN10)
    assert np.abs(rise - [6.0971, 6.8997, 22.687]).max() < 2e-3
    for decades in (8, 40):  # its own rule lets one neuron jump: the third jump never comes
        assert len(found[False, decades][0]) == 2
