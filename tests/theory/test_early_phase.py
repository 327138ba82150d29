"""Which neuron goes to which extremal direction, against descent, the orthogonal theory and the definition."""

import numpy as np
import pytest
import torch
from reference.plane import Plane
from reference.sets import plane_set
from scipy.optimize import lsq_linear

from gfflow.model.data import TrainingSet, five_points, gaussian_teacher, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.model.neurons import Neurons
from gfflow.theory import extremal_directions, solve_early_phase, solve_limit_process


def gaussian(n, d, seed=0):
    generator = torch.Generator().manual_seed(1000 * n + 10 * d + seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return TrainingSet(x, torch.randn(n, generator=generator, dtype=torch.float64))


def descended(data, start, lr, steps):
    """The whole network's gradient descent on L, written out: (w, a)."""
    x, y, w, a = (v.numpy().copy() for v in (data.x, data.y, start.w, start.a))
    for _ in range(steps):
        z = w @ x.T
        d = ((z > 0) * (y - a @ np.maximum(z, 0))) @ x / len(y)
        w, a = w + lr * a[:, None] * d, a + lr * (d * w).sum(axis=1)
    return w, a


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize(("data", "time"), [(five_points(), 70), (gaussian(6, 3), 22), (gaussian(6, 3, 7), 24)])
def test_neurons_of_a_network_trained_from_scale_1e_8_are_where_they_were_to_go(data, time, balanced):
    """Plain descent of the whole network, stopped while its outputs are below 1e-4 of the labels.

    A neuron that has grown by a factor F of ten or more is within 3/F + 1e-2 of its direction: the part across it no
    longer changes and is about what the neuron was at the start, and where it slides descent chatters by the step.
    Its size agrees to 3%: descent is late by rate^2 lr t / 2. Neurons without a direction have not grown.
    """
    start = draw_start(100, data.d, 1e-8, 0, balanced)
    phase = solve_early_phase(data, start)
    w, a = descended(data, start, 5e-3, time * 200)
    assert np.abs(a @ np.maximum(w @ data.x.numpy().T, 0)).max() < 1e-4 * float(data.y.abs().max())
    end, there = Neurons(torch.from_numpy(w), torch.from_numpy(a)), phase.index >= 0
    first = torch.maximum(start.norms, start.a.abs())
    factor = end.norms / first
    grown = there & (factor > 10)
    assert grown.sum() > 40
    chosen = phase.index[grown]
    assert len(chosen.unique()) > 1
    distance = (end.directions[grown] - phase.directions[chosen]).norm(dim=1)
    assert bool((distance < 3 / factor[grown] + 1e-2).all())
    assert bool((end.signs[grown] == phase.signs[chosen]).all())
    amplitude = end.norms[grown].log() - phase.rates[chosen] * time
    assert float((amplitude - phase.log_amplitudes[grown]).abs().max()) < 0.03
    assert bool((factor[~there] < 1.01).all())


@pytest.mark.parametrize("data", [five_points(), gaussian(6, 3), gaussian(6, 3, 7)])
def test_neurons_of_each_direction_trained_alone_all_arrive(data):
    """The slow ones too, which in the whole network come too late: a network of theirs alone stays small for longer.
    Until the last has grown by e^6; 1e-2 is the chattering where they slide, and what e^-6 leaves of the turn."""
    start = draw_start(60, data.d, 1e-8, 0, True)
    phase = solve_early_phase(data, start)
    for i, rate in enumerate(phase.rates):
        mine = phase.index == i
        part = Neurons(start.w[mine], start.a[mine])
        last = float((6 - (phase.log_amplitudes[mine] - start.log_norms[mine]).min()) / rate)
        w, a = descended(data, part, 1e-2, round(last * 100))
        assert np.abs(a @ np.maximum(w @ data.x.numpy().T, 0)).max() < 1e-2 * float(data.y.abs().max())
        end = Neurons(torch.from_numpy(w), torch.from_numpy(a))
        assert float((end.directions - phase.directions[i]).norm(dim=1).max()) < 1e-2
        assert bool((end.signs == phase.signs[i]).all())


@pytest.mark.parametrize("balanced", [True, False])
def test_orthogonal_inputs_give_the_limit_process(balanced):
    """To 1e-12: both solve it exactly, by different formulas."""
    data = orthonormal([1.5, 0.8, -0.6, 1.2, -0.9, -0.4], norms=[1.0, 2.0, 1.0, 0.5, 1.0, 3.0], d=8)
    start = draw_start(300, 8, 1e-30, 2, balanced)
    phase, process = solve_early_phase(data, start), solve_limit_process(data, start)
    there = (phase.index >= 0).numpy()
    assert there.sum() > 200
    last = process.pieces[-1]
    np.testing.assert_array_equal(there, np.isfinite(process.log_amplitude) & (process.rate > 0))
    chosen = phase.index[there]
    np.testing.assert_allclose(phase.log_amplitudes[there], process.log_amplitude[there], rtol=1e-12)
    np.testing.assert_allclose(phase.rates[chosen], process.rate[there], rtol=1e-12)
    np.testing.assert_allclose(phase.directions[chosen], (phase.signs[chosen, None] * last.u[there]), atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 3), (3, 2), (8, 2), (6, 3), (9, 3), (12, 4), (6, 6)])
@pytest.mark.parametrize("balanced", [True, False])
def test_only_listed_directions_are_reached_and_all_stable_ones_are(n, d, balanced):
    data = gaussian(n, d)
    phase = solve_early_phase(data, draw_start(2000, d, 1e-3, 0, balanced))
    listed = extremal_directions(data.x.numpy(), data.y.numpy())
    reached = set()
    for v, sign, rate in zip(phase.directions.numpy(), phase.signs, phase.rates, strict=True):
        (i,) = [i for i, e in enumerate(listed) if e.sign == sign and np.allclose(e.direction, v, atol=1e-9)]
        assert listed[i].rate == pytest.approx(float(rate), rel=1e-9)
        reached.add(i)
    assert {i for i, e in enumerate(listed) if e.stable} <= reached
    counts = torch.bincount(phase.index[phase.index >= 0])
    assert len(counts) == len(phase.rates)
    assert bool((counts.diff() <= 0).all())


@pytest.mark.parametrize(
    "data", [gaussian_teacher(), gaussian(60, 20), gaussian(300, 100)], ids=["fig6", "20", "100"]
)
def test_directions_of_large_data_are_extremal_by_the_definition(data):
    """w = sign D / ||D|| for shares in [0, 1] of the samples on whose gates it lies, by bounded least squares."""
    phase = solve_early_phase(data, draw_start(100, data.d, 1e-20, 0, True))
    assert bool((phase.index >= 0).all())
    x, c = data.x.numpy(), data.y.numpy() / data.n
    slid = 0
    for i in range(0, len(phase.rates), 5):
        w, sign, rate = phase.directions[i].numpy(), float(phase.signs[i]), float(phase.rates[i])
        z = x @ w
        held = np.abs(z) < 1e-9
        slid += held.sum()
        rest = sign * rate * w - (c * (z > 0) * ~held) @ x
        shares = lsq_linear((x[held] * c[held, None]).T, rest, (0, 1), tol=1e-12)
        assert np.sqrt(2 * shares.cost) < 1e-6 * rate  # that solver's accuracy
    assert slid > 0


def test_neurons_that_only_shrink_go_nowhere():
    """Three inputs all around with negative labels: for a > 0 every direction shrinks, for a < 0 all but few grow."""
    angles = torch.tensor([0.1, 2.2, 4.3], dtype=torch.float64)
    data = TrainingSet(torch.stack([angles.cos(), angles.sin()], dim=1), -torch.ones(3, dtype=torch.float64))
    start = draw_start(200, 2, 1e-3, 0, True)
    phase = solve_early_phase(data, start)
    assert bool((phase.index[start.signs > 0] == -1).all())
    assert bool((phase.index[start.signs < 0] >= 0).all())
    assert bool(phase.log_amplitudes[start.signs > 0].isneginf().all())
    assert bool(phase.cosines(start)[start.signs > 0].isnan().all())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 7))])
def test_log_norms_and_directions_are_those_of_the_flow_from_e_to_the_minus_10000(seed):
    """The whole network's flow in logarithm and angle, at a scale from which time 1000 is still the early phase.
    Neurons that turn, slide, and shrink by up to 390 e-folds, pinned to a gate."""
    x, y, w, signs = plane_set(seed)
    data = TrainingSet(torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y))
    phase = solve_early_phase(data, Neurons(torch.from_numpy(w), torch.from_numpy(signs * np.hypot(*w.T))))
    flow, time, scale = Plane(x, y, w, signs, -1e4), 1000.0, -1e4
    flow.run(time)
    index = phase.index.numpy()
    there = index >= 0
    grown = phase.log_amplitudes.numpy()[there] + phase.rates.numpy()[index[there]] * time + scale
    assert np.abs(grown - flow.rho[there]).max() < 1e-5  # the reference, at 1e-10 a step through some thousand steps
    directions = np.stack([np.cos(flow.phi), np.sin(flow.phi)], axis=1)
    far = np.linalg.norm(directions[there] - phase.directions.numpy()[index[there]], axis=1)
    assert far.max() < 1e-7
    assert (flow.rho[~there] < scale + np.log(np.hypot(*w[~there].T)) + 1e-9).all()  # those without one do not grow


def test_order_and_size_of_the_neurons_and_rotations_play_no_part():
    data, start = gaussian(9, 3), draw_start(50, 3, 1e-200, 0, True)
    phase = solve_early_phase(data, start)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    larger = Neurons(1e190 * start.w[order] @ q, 1e190 * start.a[order])
    other = solve_early_phase(TrainingSet(data.x @ q, data.y), larger)
    there = phase.index[order] >= 0
    assert torch.equal(there, other.index >= 0)
    before, after = phase.directions[phase.index[order][there]] @ q, other.directions[other.index[there]]
    torch.testing.assert_close(before, after, atol=1e-9, rtol=0)
    grown = other.log_amplitudes[there] - phase.log_amplitudes[order][there]
    torch.testing.assert_close(grown, torch.full_like(grown, np.log(1e190)), atol=1e-9, rtol=0)


def test_samples_of_one_input_act_as_their_sum():
    """Two labels at each input are one of their mean; of opposite signs they would slide on a gate each."""
    data, start = gaussian(9, 3), draw_start(100, 3, 1e-3, 0, True)
    other = gaussian(9, 3, 1).y
    twice = TrainingSet(torch.cat([data.x, 2 * data.x]), torch.cat([2 * data.y - other, other / 2]))
    once, more = solve_early_phase(data, start), solve_early_phase(twice, start)
    assert torch.equal(once.index, more.index)
    torch.testing.assert_close(once.directions, more.directions, atol=1e-9, rtol=0)
    torch.testing.assert_close(once.log_amplitudes, more.log_amplitudes, atol=1e-9, rtol=0)


def test_nothing_pulls_without_labels():
    data = five_points()
    with pytest.warns(UserWarning, match="label"):
        silent = TrainingSet(data.x, torch.zeros(5, dtype=torch.float64))
    assert bool((solve_early_phase(silent, draw_start(10, 2, 1e-3, 0, True)).index == -1).all())


@pytest.mark.parametrize("balanced", [True, False])
def test_labels_of_zero_matter_to_nobody(balanced):
    """Nine points in R^3, two of them with a label of 0: the directions are those of the other seven alone, and those
    that labels of +-1e-9 give to within as much."""
    data, start = gaussian(9, 3), draw_start(34, 3, 1e-3, 0, balanced)
    x, y = data.x, data.y.clone()
    y[[2, 6]] = 0
    with pytest.warns(UserWarning, match="label"):
        phase = solve_early_phase(TrainingSet(x, y), start)
    others = [k for k in range(9) if k not in (2, 6)]
    seven = solve_early_phase(TrainingSet(x[others], y[others] * 7 / 9), start)
    assert torch.equal(phase.index >= 0, seven.index >= 0)
    assert int((phase.index >= 0).sum()) >= 30
    for small in (1e-9, -1e-9):
        nearly = y.clone()
        nearly[[2, 6]] = small
        near = solve_early_phase(TrainingSet(x, nearly), start)
        assert torch.equal(phase.index >= 0, near.index >= 0)
        for other, tolerance in ((seven, 1e-12), (near, 1e-7)):
            there = phase.index >= 0
            ours, theirs = phase.directions[phase.index[there]], other.directions[other.index[there]]
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)
            torch.testing.assert_close(
                phase.log_amplitudes[there], other.log_amplitudes[there], atol=100 * tolerance, rtol=0
            )
