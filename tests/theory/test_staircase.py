"""The limit lambda -> 0: against Theorem 1, against flows at scales down to 1e-2000, and against the references'."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reference.sets import plane_set, space_set
from reference.staircase_plane import STAIRCASES

import gfflow
from gfflow.errors import InvalidInput, Unresolved
from gfflow.model.activations import leaky_relu
from gfflow.model.data import TrainingSet, five_points, orthogonal_pair, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.model.losses import Square
from gfflow.model.neurons import Neurons
from gfflow.motion.flow.coordinates import enter, merged
from gfflow.motion.flow.splitting import Splitting
from gfflow.theory import predict
from gfflow.theory.dormant import RETURN, Levels, let_return, pass_time, remember, settle, turning_times
from gfflow.theory.limit_process import solve_limit_process
from gfflow.theory.staircase import staircase

LN10 = math.log(10)
THREE_POINTS = TrainingSet(
    torch.tensor([[-0.75, 1.0], [-0.5, 1.0], [0.125, 1.0]], dtype=torch.float64),
    torch.tensor([1.1, 0.1, 0.8], dtype=torch.float64),
)


def drawn():
    return draw_start(60, 2, 1.0, seed=0, balanced=True)


def given(x, y, w, a):
    arrays = (torch.from_numpy(np.asarray(part, dtype=np.float64)) for part in (x, y, w, a))
    x, y, w, a = arrays
    return TrainingSet(x, y), Neurons(w, a)


def flow_times(data, start, ell, levels, rtol=1e-8):
    """When the loss of the flow from e^-ell times the start falls below each level, and the last residual."""
    problem, state = enter(merged(data), start, np.full(len(start.a), -ell))
    flow, times = Splitting(problem, state, 0.0, rtol), []
    while len(times) < len(levels):
        assert flow.counters["steps"] < 20_000
        flow.step()
        cubic = flow.machine.step.final

        def loss(theta, cubic=cubic):
            return float((((theta ** np.arange(4)) @ cubic) ** 2).mean() / 2)

        while len(times) < len(levels) and loss(1.0) < levels[len(times)]:
            low, high = 0.0, 1.0
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (low, middle) if loss(middle) < levels[len(times)] else (middle, high)
            times.append(flow.began + high * (flow.time - flow.began))
    return np.array(times)


def middles(found):
    return [(a + b) / 2 for a, b in zip(found.losses, found.losses[1:], strict=False)]


def test_five_points():
    found = gfflow.staircase(five_points(), drawn())
    assert list(found.A) == pytest.approx([6.0971076, 6.8997192, 22.67635], abs=1e-5)
    assert found.losses == pytest.approx([0.087, 0.038, 0.0318157895, 0], abs=1e-9)
    assert found.times(1e-60) == pytest.approx([884.12, 944.82, 3248.34], abs=0.5)  # published: other coordinates
    assert found.fits
    assert found.end == "fits the data"
    assert [len(jump.clusters) for jump in found.jumps] == [1, 1, 1]
    assert "far from the limit" in found.far(1e-8)  # the third jump's line passes before the second's
    assert "are resolved" in found.far(1e-60)
    outputs = found.critical_points[-1].neurons.outputs(five_points().x)
    assert float((outputs - five_points().y).abs().max()) < 1e-7


def test_theorem_1_comes_out_of_the_same_code():
    data, start = orthogonal_pair(), drawn()
    found = staircase(data, start, rtol=1e-10)
    prediction = predict(data, start, 1e-3)
    norms = [math.sqrt(5) / 2, math.sqrt(5) / 4]  # ||D+||, ||D-|| of this pair
    assert list(found.A) == pytest.approx([1 / norm for norm in norms], abs=1e-12)
    assert found.losses == pytest.approx([0.5, 0.25, 0], abs=1e-12)
    process = solve_limit_process(data, start)
    for k, (sign, norm, limit) in enumerate(zip((1, -1), norms, (1 / math.sqrt(5), 2 / math.sqrt(5)), strict=True)):
        (cluster,) = found.jumps[k].clusters
        members = np.flatnonzero(process.members(sign, (data.y * sign > 0).numpy()))
        assert cluster.members == tuple(members)
        squares = np.exp(2 * process.log_amplitude[members])
        assert cluster.rate == pytest.approx(norm, rel=1e-14)
        assert cluster.shares == pytest.approx(squares / squares.sum(), rel=1e-8)
        assert cluster.log_amplitude == pytest.approx(math.log(squares.sum()), abs=1e-7)
        # each label is fitted alone, by u' = 2 ||D|| (1 - u/u*) u; half of its loss is left at u = (1 - 2^-1/2) u*
        part = 1 - math.sqrt(0.5)
        time = math.log(part / (1 - part) * limit / squares.sum()) / (2 * norm)
        assert found.B[k] == pytest.approx(time, abs=1e-6)
    saddle, end = found.critical_points[1].neurons, found.critical_points[2].neurons
    assert saddle.distance(prediction.saddles[0].neurons) < 1e-7
    assert end.distance(prediction.limit) < 1e-7


def test_orthogonal_inputs_with_several_samples_of_a_sign():
    """Only the two groups jump, whatever else grows nearly as fast."""
    data = orthonormal((1.5, 0.8, -0.6, 1.2, -0.9, -0.4), d=8)
    start = draw_start(400, 8, 1.0, seed=0)
    found, prediction = staircase(data, start), predict(data, start, 1e-3)
    norms = [float(data.y[data.y * sign > 0].norm()) / 6 for sign in (1, -1)]
    assert list(found.A) == pytest.approx([1 / norm for norm in norms], abs=1e-10)
    assert found.fits
    assert found.critical_points[-1].neurons.distance(prediction.limit) < 1e-6
    assert found.critical_points[1].neurons.distance(prediction.saddles[0].neurons) < 1e-6


def test_three_points_end_at_a_spurious_point():
    found = staircase(THREE_POINTS, drawn())
    assert list(found.A) == pytest.approx([1.3986622], abs=1e-6)
    assert found.losses[-1] == pytest.approx(0.0875214, abs=1e-7)
    assert not found.fits
    assert found.end.startswith("no neuron grows")
    assert found.rates.max() <= 0


@pytest.mark.parametrize(
    "name", [5, 17, 28, *(pytest.param(name, marks=pytest.mark.slow) for name in ("five points", 11, 12))]
)
def test_agrees_with_the_references_in_the_plane(name):
    """Slopes from flows in angle coordinates at 1e-1000 and 1e-2000; n = 3 to 6."""
    if name == "five points":
        data, start = five_points(), drawn()
    else:
        x, y, w, signs = plane_set(name)
        data, start = given(x, y, w, signs * np.hypot(*w.T))
    losses, slopes, constants = STAIRCASES[name]
    found = staircase(data, start, rtol=1e-10)
    assert found.losses == pytest.approx(losses, abs=1e-9)
    assert list(found.A) == pytest.approx(slopes, abs=1e-8)
    assert list(found.B) == pytest.approx(constants, abs=3e-5)  # the tolerance, over the slow rates on the way


SPACE = [(5, 3, True), (4, 5, False), (1, 5, True)]
SLOW = [(7, 3, True), (3, 3, False), (6, 3, True), (3, 5, True)]


@pytest.mark.parametrize(
    ("seed", "d", "balanced"), [*SPACE, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_agrees_with_flows_in_space(seed, d, balanced):
    """n = 2 to 5 in R^3 and R^5, so that neurons have parts outside the span of the inputs; at 1e-290 the flow itself
    is still up to 0.1 from the line (1e-7 at 1e-1000), so both scales are smaller."""
    data, start = given(*space_set(seed, d=d, width=12, balanced=balanced))
    found = staircase(data, start)
    assert found.jumps
    ells = np.array([1000, 2000]) * LN10
    first, second = (flow_times(data, start, ell, middles(found)) for ell in ells)
    slopes = (second - first) / (ells[1] - ells[0])
    assert list(found.A) == pytest.approx(slopes, abs=1e-7)
    assert list(found.B) == pytest.approx(second - slopes * ells[1], abs=1e-3)  # both at the tolerance of 1e-8


@pytest.mark.slow
def test_two_scales_that_float64_weights_can_have():
    """The slopes as one would measure them from two runs, at 1e-200 and 1e-290."""
    x, y, w, signs = plane_set(5)
    data, start = given(x, y, w, signs * np.hypot(*w.T))
    found = staircase(data, start)
    first, second = (flow_times(data, start, digits * LN10, middles(found)) for digits in (200, 290))
    assert (second - first) / (90 * LN10) == pytest.approx(found.A, abs=1e-6)


def test_two_clusters_at_the_same_time_jump_together():
    """Labels +1 and -1 on the axes: both groups have N = 1/2, so that both labels are fitted at 2 ell + O(1)."""
    data = orthonormal((1.0, -1.0))
    start = draw_start(20, 2, 1.0, seed=1)
    found = staircase(data, start, rtol=1e-10)
    assert found.losses == pytest.approx([0.5, 0.0], abs=1e-12)
    assert list(found.A) == pytest.approx([2.0], abs=1e-12)
    (jump,) = found.jumps
    assert sorted(cluster.sign for cluster in jump.clusters) == [-1, 1]

    def loss(t):
        u = [1 / (1 + math.exp(-c.log_amplitude - t)) for c in jump.clusters]
        return sum((1 - v) ** 2 for v in u) / 4

    assert loss(jump.B) == pytest.approx(0.25, abs=1e-6)  # both labels' sharp curves
    assert found.onset() == 0.0 or math.isfinite(found.onset())


def test_symmetries():
    """Neurons in another order, inputs rotated, samples scaled in x and 1/y: the same times."""
    x, y, w, signs = plane_set(5)
    a = signs * np.hypot(*w.T)
    found = staircase(*given(x, y, w, a))
    order = np.random.default_rng(0).permutation(len(a))
    angle = np.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    for other in (given(x, y, w[order], a[order]), given(x @ angle, y, w @ angle, a)):
        assert list(staircase(*other).A) == pytest.approx(found.A, rel=1e-12)
        assert list(staircase(*other).B) == pytest.approx(found.B, abs=1e-4)
    # a start e^c times as large is the same limit with ell less by c
    larger = staircase(*given(x, y, 3 * w, 3 * a))
    assert list(larger.B) == pytest.approx(
        [b - slope * math.log(3) for slope, b in zip(found.A, found.B, strict=True)], abs=1e-4
    )


def test_a_neuron_that_shrinks_to_what_it_has_across_its_line_turns_and_dies():
    """On the sample (1, 0) alone a neuron (p, q), |a|^2 = p^2 + q^2, grows along p while r > 0; then r < 0 takes it
    back, past p = 0, where its gate closes with w = (0, q), of ln||w|| = ln|q| in closed form, at level 1 again."""
    x, y = np.array([[1.0, 0.0], [-0.3, 1.0]]), np.array([1.0, -0.2])
    w = np.array([[1.0, -0.7]])
    data, start = given(x, y, w, [math.hypot(*w[0])])
    problem, state = enter(data, start)
    levels, dormant = Levels.at_start(1), np.array([True])
    settled = settle(problem, state, np.array([1.0, 0.0]), dormant)
    remember(problem, levels, settled.state, levels.norm)
    assert settled.growth[0] == pytest.approx(0.5)
    assert settled.state.rho[0] == pytest.approx(math.log((1 + math.hypot(1, 0.7)) / 2))
    pass_time(levels, settled, 0.6, problem)  # 0.6 ell of growth at the rate 1/2
    assert levels.norm[0] == pytest.approx(0.7)
    settled = settle(problem, settled.state, np.array([-2.0, 0.0]), dormant)
    remember(problem, levels, settled.state, levels.norm)
    assert settled.shrinks[0]
    assert turning_times(levels, settled)[0] == pytest.approx(0.3)  # back at level 1, at the rate -1
    pass_time(levels, settled, 0.3, problem)
    state = settled.at(settled.state.rho[0] - levels.deep[0] - RETURN)
    let_return(levels, state, 0)
    settled = settle(problem, state, np.array([-2.0, 0.0]), dormant)
    assert levels.norm[0] == pytest.approx(1.0)
    assert settled.growth[0] == 0.0
    assert settled.state.rho[0] == pytest.approx(math.log(0.7), abs=1e-12)
    assert np.abs(settled.state.v[0]) == pytest.approx([0.0, 1.0], abs=1e-12)


def test_no_neuron_may_grow_at_all():
    x, y, w = [[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], [[1.0, 0.5], [-1.0, -0.5]]
    found = staircase(*given(x, y, w, [-math.hypot(1, 0.5), math.hypot(1, 0.5)]))
    assert found.jumps == ()
    assert found.losses == [0.5]
    assert found.times(1e-8) == []
    assert found.end.startswith("no neuron grows")


def test_samples_that_are_multiples_of_each_other_leave_their_loss():
    x, y = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], [1.0, 1.0, -0.8]
    found = staircase(*given(x, y, [[1.0, -0.5], [-0.5, 1.0]], [math.hypot(1, 0.5), -math.hypot(1, 0.5)]))
    best = 3 / 5  # of h on (1, 0): the least of (1 - h)^2 + (1 - 2h)^2
    assert found.losses[-1] == pytest.approx(((1 - best) ** 2 + (1 - 2 * best) ** 2) / 6, abs=1e-12)
    assert len(found.jumps) == 2


@pytest.mark.filterwarnings("ignore:data labels")
def test_labels_of_zero_count_once_neurons_have_grown():
    """Gates of samples that pull nowhere at first are passed all the same: the neurons come to the one direction that
    fits the other labels, at A = 1/||D||, and nothing is left."""
    x = [
        [-2.6678, -0.4310, -1.4560],
        [-0.8394, -0.0231, 0.2428],
        [0.1447, -0.6781, 0.1949],
        [0.5989, -0.6312, -1.3025],
    ]
    data = TrainingSet(torch.tensor(x, dtype=torch.float64), torch.tensor([0.0, 0.0, -0.8407, -0.4089]))
    found = staircase(data, draw_start(40, 3, 1.0, seed=0))
    assert found.losses == pytest.approx([float(data.y.square().mean()) / 2, 0.0], rel=1e-12)
    (jump,) = found.A
    assert jump == pytest.approx(1 / float((data.y @ data.x / 4).norm()), rel=1e-9)


@pytest.mark.filterwarnings("ignore:data labels")
def test_what_a_neuron_has_across_its_line_is_kept_before_anything_pulls_along_it():
    """A neuron on one sample of label 0 alone has no force, but a line along which it will move: the flow ended there
    with a state that had lost its digits."""
    g = torch.Generator().manual_seed(5)
    x, y = torch.randn(4, 3, generator=g, dtype=torch.float64), torch.randn(4, generator=g, dtype=torch.float64)
    y[0] = 0.0
    data = TrainingSet(x, y)
    assert staircase(data, draw_start(40, 3, 1.0, seed=0)).losses[-1] == 0.0
    flow = Splitting(*enter(data, draw_start(40, 3, 1e-8, seed=0)), 0.0, 1e-6)
    flow.advance(np.inf, 60)
    assert flow.corrections.max() < 1e-12


def test_no_loss_is_below_zero():
    """What samples that are multiples of each other leave of the loss is a difference, which rounds."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, 3, generator=g, dtype=torch.float64), torch.randn(6, generator=g, dtype=torch.float64)
    data = TrainingSet(torch.cat([x[:4], x[:2]]), torch.cat([y[:4], y[:2]]))
    assert staircase(data, draw_start(60, 3, 1.0, seed=0)).losses[-1] == 0.0


def test_what_it_is_not_for():
    data, start = orthogonal_pair(), drawn()

    class Another(Square):
        name, is_square = "another", False

    with pytest.raises(InvalidInput, match="loss"):
        staircase(TrainingSet(data.x, data.y, Another()), start)
    with pytest.raises(InvalidInput, match="activation"):
        staircase(data, replace(start, activation=leaky_relu(0.1)))
    against = given([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], [[1.0, 1.0]], [-math.sqrt(2)])
    with pytest.raises(Unresolved, match="neuron 0 stands exactly against its field"):
        staircase(*against)
    with pytest.raises(InvalidInput, match="scale"):
        staircase(data, start).times(2.0)
