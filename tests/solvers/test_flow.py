"""The flow solver's numbers: against scipy, descent at vanishing step size, theory, and itself by another method."""

import itertools
import time

import numpy as np
import pytest
import torch
from flow_runs import LABELS, METHODS, by_scipy, loss, masses, random_set, started, trained

from gfflow.model.data import TrainingSet, five_points, gaussian_teacher, orthogonal_pair, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import Fused, make_solver
from gfflow.solvers.flow import Flow
from gfflow.theory import predict


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (1, 4, 3), (2, 5, 7), (3, 3, 4), (5, 2, 6), (6, 9, 5)])
def test_agrees_with_scipy_where_no_gate_slides(n, d, m, balanced, method):
    for seed in range(100):  # where a gate slides the flow has no classical solution for scipy to find
        training_set = random_set(n, d, seed)
        start = draw_start(m, d, 0.3, seed, balanced)
        solver = Flow(0.1, rtol=1e-9, method=method)
        (reached,) = trained(solver, training_set, start, [10])
        if solver.summary()["sliding_episodes"] == 0 and bool((start.w @ training_set.x.T > 0).any()):
            break
    else:
        pytest.fail("every start slides")
    truth = by_scipy(training_set, start, 1.0)
    # rtol 1e-9 a step and some tens of steps; weights of order 1
    assert reached.distance(truth) < 3e-7


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", [-0.3, 0.0])
def test_unbalanced_output_weights_may_change_sign(first, method):
    training_set = TrainingSet(torch.tensor([[1.0, 0.2], [0.3, 1.0]]), torch.tensor([1.0, 0.7]))
    start = Neurons(torch.tensor([[0.8, 0.9], [1.0, 0.1]]).double(), torch.tensor([first, 0.2]).double())
    (reached,) = trained(Flow(0.5, 1e-9, method), training_set, start, [10])
    truth = by_scipy(training_set, start, 5.0)
    assert float(truth.a[0]) > 0 >= first
    assert reached.distance(truth) < 3e-7  # as above


def test_the_two_methods_agree_through_sliding():
    training_set = gaussian_teacher(n=12, d=8, teacher_width=3, seed=1)
    start = started(training_set, 15, 1e-6, "width_dim")
    frames, episodes = [], []
    for method in METHODS:
        solver = Flow(1.0, 1e-7, method)
        frames.append(trained(solver, training_set, start, range(20, 201, 20)))
        episodes.append(solver.summary()["sliding_episodes"])
    assert min(episodes) > 0
    for one, other in zip(*frames, strict=True):
        # 1e-7 a step; kinks and the escape from zero amplify it by up to some hundred times
        assert one.distance(other) < 1e-4 * (1 + one.half_norm_squared)


def test_sliding_is_the_limit_of_descent():
    """On Figure 4's data descent's loss tends to the flow's in proportion to the step size, sliding included."""
    training_set = five_points()
    start = started(training_set, 60, 1e-2)
    solver = Flow(1.0, 1e-7)
    (reached,) = trained(solver, training_set, start, [100])
    assert solver.summary()["sliding_episodes"] > 20
    gaps = []
    for lr in (4e-3, 2e-3):
        (descended,) = trained(make_solver("fused", lr), training_set, start, [round(100 / lr)])
        gaps.append(abs(loss(descended, training_set) - loss(reached, training_set)))
    assert gaps[1] < 1e-4
    assert 1.5 < gaps[0] / gaps[1] < 2.5  # first order, with chattering at size lr on top


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("training_set", [orthogonal_pair(), five_points()], ids=["orthogonal", "general"])
def test_balance_is_conserved(training_set, method):
    balanced = started(training_set, 20, 1e-3)
    (reached,) = trained(Flow(1.0, 1e-6, method), training_set, balanced, [30])
    # a_j is written as s_j ||w_j||: one rounding
    assert float((reached.a.abs() / reached.norms - 1).abs().max()) < 1e-15
    assert bool((reached.signs == balanced.signs).all())
    start = started(training_set, 20, 1.0, balanced=False)
    (reached,) = trained(Flow(1.0, 1e-9, method), training_set, start, [30])
    drift = (reached.a**2 - reached.norms**2) - (start.a**2 - start.norms**2)
    # splitting conserves it but for rounding, Runge-Kutta to its tolerance a step, some hundred steps
    assert float(drift.abs().max()) < (1e-11 if method == "splitting" else 1e-6)


def test_distance_to_descent_is_of_first_order():
    training_set = orthogonal_pair()
    start = started(training_set, 60, 1e-6)
    times = np.arange(1, 41)
    flow = trained(Flow(1.0, 1e-8), training_set, start, times)
    rates = (8e-3, 4e-3, 2e-3)
    gaps = []
    for lr in rates:
        descent = trained(make_solver("fused", lr), training_set, start, [round(t / lr) for t in times])
        gaps.append(max(one.distance(other) for one, other in zip(flow, descent, strict=True)))
    order = np.polyfit(np.log(rates), np.log(gaps), 1)[0]
    assert abs(order - 1) < 0.1


@pytest.mark.parametrize(("rtol", "bound", "budget"), [(1e-3, 1e-3, 800), (1e-5, 1e-5, 3000), (1e-7, 1e-7, 8000)])
@pytest.mark.parametrize("method", ["auto", "runge_kutta"])
def test_accuracy_for_its_cost_on_figure_2(rtol, bound, budget, method, figure_2_masses):
    times, truth = figure_2_masses
    solver = Flow(0.5, rtol, method)
    training_set = orthogonal_pair()
    frames = trained(solver, training_set, started(training_set, 60, 1e-6), times)
    assert np.abs(np.array([masses(frame) for frame in frames]) - truth).max() < bound
    assert solver.summary()["evaluations"] <= budget


@pytest.fixture(scope="module")
def figure_2_masses():
    """u+ and u- at times 0.5, 1, ..., 40 by Runge-Kutta at rtol 1e-12, checked once against scipy."""
    times, training_set = range(1, 81), orthogonal_pair()
    start = started(training_set, 60, 1e-6)
    frames = trained(Flow(0.5, 1e-12, "runge_kutta"), training_set, start, times)
    at_14 = masses(by_scipy(training_set, start, 14.0))
    assert np.abs(masses(frames[27]) - at_14).max() < 1e-8  # in the middle of the rise of u+; scipy's own error
    return times, np.array([masses(frame) for frame in frames])


def test_limit_distance_is_proportional_to_lambda():
    """Theorem 1 on Figure 2's data, and the saddle's distance: with r = 2 it falls as lambda^(2/5), where the mass of
    S-, lambda e^{||D-|| t}, meets the fit's relaxation, e^{-2 ||D+|| (t - t_2)}."""
    training_set = orthogonal_pair()
    scales = [1e-2, 1e-4, 1e-6, 1e-8]
    limits, saddles = [], []
    for scale in scales:
        start = started(training_set, 60, scale)
        prediction = predict(training_set, start, scale / 60**0.5)
        stops = range(1, 301)
        frames = trained(Flow(0.3, 1e-6), training_set, start, stops)
        limits.append(frames[-1].distance(prediction.limit))
        saddles.append(min(frame.distance(prediction.saddles[0].neurons) for frame in frames))
    ratios = np.array(limits) / np.array(scales)
    assert np.abs(ratios / ratios[0] - 1).max() < 0.01
    assert abs(frames[-1].half_norm_squared / prediction.min_half_norm - 1) < 1e-9
    slope = np.polyfit(np.log(scales), np.log(saddles), 1)[0]
    assert abs(slope - 0.4) < 0.02  # lambda is not yet 0, and the closest moment is sampled


@pytest.mark.parametrize("scale", [1e-200, 1e-300])
def test_tiny_scales(scale):
    training_set = orthogonal_pair()
    start = started(training_set, 60, scale)
    prediction = predict(training_set, start, scale / 60**0.5)
    solver = Flow(1.0, 1e-6)
    stops = [1, 500, *(round(prediction.group("plus").time_of_fraction(q)) for q in (0.1, 0.9)), 3000]
    frames = trained(solver, training_set, start, sorted(stops))
    assert all(bool(torch.isfinite(frame.log_norms).all()) for frame in frames)
    for stop, frame in zip(sorted(stops), frames, strict=True):
        mass = float(frame.w[prediction.group("plus").members].square().sum())
        # rtol accumulated over the whole rise, 1400 e-foldings
        assert mass == pytest.approx(float(prediction.group("plus").mass(stop)), rel=1e-3)
    # the residual is held to rtol of itself down to 1e-9 of the labels only
    assert frames[-1].distance(prediction.limit) < 1e-9
    gates = [frame.w @ training_set.x.T > 0 for frame in frames]
    assert not any(bool((later & ~earlier).any()) for earlier, later in itertools.pairwise(gates))
    assert solver.summary()["evaluations"] < 5000


def test_six_samples_need_a_tiny_scale():
    training_set = orthonormal(LABELS, d=8)
    start = started(training_set, 400, 1e-100)
    prediction = predict(training_set, start, 1e-100 / 20)
    (reached,) = trained(Flow(1.0, 1e-5), training_set, start, [6500])
    assert reached.distance(prediction.limit) < 2e-6


def test_closed_gates_stay_closed_on_rotated_axes():
    training_set = orthonormal(LABELS, d=7, rotation=3)
    start = started(training_set, 50, 1e-30)
    frames = trained(Flow(1.0, 1e-5), training_set, start, range(100, 2001, 100))
    gates = [frame.w @ training_set.x.T > 0 for frame in frames]
    assert not any(bool((later & ~earlier).any()) for earlier, later in itertools.pairwise(gates))


@pytest.mark.parametrize("scale", [1e-2, 1e-4, 1e-6, 1e-8])
def test_figure_4_converges(scale):
    training_set = five_points()
    solver = Flow(1.0, 1e-4)
    (reached,) = trained(solver, training_set, started(training_set, 60, scale), [1400])
    assert loss(reached, training_set) < 1e-12
    assert abs(reached.half_norm_squared - 8.65) < 0.01
    assert solver.summary()["sliding_episodes"] > 0


def test_dense_output_of_stiff_steps():
    """A large start relaxes at rates of some hundreds; once it is fitted, steps are far longer than that."""
    training_set = five_points()
    solver = Flow(1.0, 1e-6)
    frames = trained(solver, training_set, started(training_set, 60, 10.0), [12, 20, 77, 300, 555])
    assert all(loss(frame, training_set) < 1e-18 for frame in frames[1:])  # tolerance and rounding of sums near 200
    assert solver.summary()["evaluations"] < 10_000


@pytest.mark.slow
def test_figure_6_against_descent_extrapolated():
    training_set = gaussian_teacher()
    start = started(training_set, 200, 1e-20, "width_dim")
    times = (150, 160, 200, 300, 400)
    losses, seconds = {}, {}
    for name, lr, options in (("fused", 2e-3, {}), ("fused", 1e-3, {}), ("flow", 2e-3, {"rtol": 1e-3})):
        solver = make_solver(name, lr, **options)
        trained(solver, training_set, start, [1])  # compiled before the clock runs
        solver = make_solver(name, lr, **options)
        began = time.process_time()
        frames = trained(solver, training_set, start, [round(t / lr) for t in times])
        seconds[name, lr] = time.process_time() - began
        losses[name, lr] = np.array([loss(frame, training_set) for frame in frames])
    limit = 2 * losses["fused", 1e-3] - losses["fused", 2e-3]
    relative = np.abs(losses["flow", 2e-3] / limit - 1)
    assert (relative < [1e-3, 1e-3, 1e-3, 1e-2, 1e-2]).all()
    assert seconds["flow", 2e-3] < seconds["fused", 2e-3] / 10


def test_permuting_neurons_and_rotating_inputs_changes_nothing():
    training_set = random_set(5, 4, seed=2)
    start = started(training_set, 9, 1e-3)
    (reached,) = trained(Flow(1.0, 1e-7), training_set, start, [20])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    (permuted,) = trained(Flow(1.0, 1e-7), training_set, Neurons(start.w[order], start.a[order]), [20])
    assert permuted.distance(Neurons(reached.w[order], reached.a[order])) < 1e-8  # sums in another order
    q, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    (rotated,) = trained(
        Flow(1.0, 1e-7), TrainingSet(training_set.x @ q, training_set.y), Neurons(start.w @ q, start.a), [20]
    )
    assert rotated.distance(Neurons(reached.w @ q, reached.a)) < 1e-8


@pytest.mark.parametrize("method", ["splitting", "runge_kutta"])
@pytest.mark.parametrize(
    ("factor", "d", "seed"), [(1.5, 2, 7), (1.5, 2, 38), (-0.7, 3, 5), (-0.7, 2, 10), (-0.7, 1, 15), (-0.7, 1, 51)]
)
def test_samples_that_are_multiples_of_each_other_share_their_gates(factor, d, seed, method):
    """Twice the same input, or its negative, under other labels; against descent extrapolated in its step."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, d, generator=generator, dtype=torch.float64)
    x[2:] = factor * x[:2]
    y = 2 * torch.randn(4, generator=generator, dtype=torch.float64)
    w = torch.randn(6, d, generator=generator, dtype=torch.float64) / 3
    data, start = TrainingSet(x, y), Neurons(w, torch.randn(6, generator=generator, dtype=torch.float64) / 3)

    def end(name, lr, **options):
        network = TwoLayerReLU(start)
        make_solver(name, lr, **options).advance(network, data, 0, round(3 / lr))
        return network.neurons()

    coarse, fine = end("fused", 2e-4), end("fused", 1e-4)
    limit = Neurons(2 * fine.w - coarse.w, 2 * fine.a - coarse.a)
    # what extrapolation leaves: a gate met within a step costs up to a step
    assert end("flow", 1e-2, method=method).distance(limit) < max(1e-4, 3 * coarse.distance(fine))


def test_a_neuron_passes_through_zero_as_descent_extrapolated():
    """Five points in the plane, two of them given twice: neuron 5 slides into w = 0, is pinned there for a while and
    leaves on the other side, whatever the order of neurons and samples."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    x[2:] = x[:3].clone()
    y = torch.randn(5, generator=generator, dtype=torch.float64)
    w = torch.randn(11, 2, generator=generator, dtype=torch.float64) / 3
    a = torch.randn(11, generator=generator, dtype=torch.float64) / 3
    data, start = TrainingSet(x, y), Neurons(w, a)
    coarse, fine = (trained(Fused(step), data, start, [round(0.6 / step)])[0] for step in (1e-5, 5e-6))
    wanted = 2 * fine.w - coarse.w, 2 * fine.a - coarse.a
    assert 1e-3 < float(wanted[0][5].norm()) < 1e-2 < float(start.w[5].norm())
    neurons, samples = torch.randperm(11, generator=generator), torch.randperm(5, generator=generator)
    orders = [(torch.arange(11), torch.arange(5)), (torch.arange(11).flip(0), torch.arange(5).flip(0))]
    for method, atol in (("splitting", 4e-6), ("runge_kutta", 2e-5)):  # descent's: 2e-6, of chatter near 0
        for j, k in [*orders, (neurons, samples)]:
            (end,) = trained(Flow(0.01, 1e-8, method), TrainingSet(x[k], y[k]), Neurons(w[j], a[j]), [60])
            torch.testing.assert_close(end.w, wanted[0][j], rtol=0, atol=atol)
            torch.testing.assert_close(end.a, wanted[1][j], rtol=0, atol=atol)


def test_neurons_that_rest_at_zero_do_not_end_the_run():
    """Unbalanced neurons on five points: those that have fallen to w = 0 are there exactly."""
    start = started(five_points(), 60, 1e-4, balanced=False)
    (end,) = trained(Flow(2e-3), five_points(), start, [300_000])
    assert int((end.norms == 0).sum()) > 0
    assert loss(end, five_points()) < 1e-3 * loss(start, five_points())
