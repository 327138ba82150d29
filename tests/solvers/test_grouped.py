"""Grouped descent against autograd and against the direct form, neuron by neuron."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from gfflow.errors import Interrupted
from gfflow.model.data import TrainingSet, five_points, three_points
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import SGD, Fused
from gfflow.solvers.base import Abandoned
from gfflow.solvers.fused import Descent, descend
from gfflow.solvers.grouped import descent as grouped_descent
from gfflow.solvers.grouped import loop, state
from gfflow.solvers.grouped.descent import Grouped, direct_cost, may_pay, most_patterns
from gfflow.solvers.grouped.patterns import chain_of_patterns, classify
from gfflow.solvers.grouped.state import BAND_COUNT
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import Schedule


def grouped(w, a, x, y, lr: float, steps: int, least: int | None = None) -> None:
    """`steps` steps by groups, in place; fails where groups were given up before `least` steps (default: all)."""
    groups = Grouped(x, y, lr, Descent(x, y, lr, "direct"), always=True)
    done = 0
    while done < steps:
        count = groups.by_groups(w, a, steps - done, lambda: False)
        done += count
        if count == 0:
            break
    assert done >= (steps if least is None else least)
    descend(w, a, x, y, lr, steps - done, "direct")


def problem(n: int, d: int, m: int, scale: float = 0.5, seed: int = 0):
    rng = np.random.default_rng([n, d, m, seed])
    x, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    return x, y, scale * rng.standard_normal((m, d)), scale * rng.standard_normal(m)


def difference(w, a, wanted_w, wanted_a) -> float:
    theta, wanted = np.column_stack([w, a]), np.column_stack([wanted_w, wanted_a])
    return float(np.abs(theta - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n", range(1, 10))
def test_equals_the_direct_form_for_every_shape(n, d):
    # rounding alone: 400 steps that each round to 2e-16 of the largest weight; a gate that rounding decides moves a
    # neuron by one step's length and is driven back
    for m in (1, 2, 3, 17, 150):
        x, y, w, a = problem(n, d, m, 0.5 if m < 100 else 0.1)
        moved, outputs = w.copy(), a.copy()
        grouped(moved, outputs, x, y, 2e-3, 400)
        start = w.copy()
        descend(w, a, x, y, 2e-3, 400, "direct")
        assert difference(moved, outputs, w, a) < 1e-11
        assert np.abs(w - start).max() > 1e-4 or not (start @ x.T > 0).any()


@pytest.mark.parametrize(("d", "m"), [(1, 40), (2, 300), (3, 200)])
def test_equals_autograd(d, m):
    x, y, w, a = problem(7, d, m, 0.1)
    network = TwoLayerReLU(Neurons(torch.from_numpy(w), torch.from_numpy(a)))
    SGD(5e-3).advance(network, TrainingSet(torch.from_numpy(x), torch.from_numpy(y)), 0, 3000)
    grouped(w, a, x, y, 5e-3, 3000)
    assert difference(w, a, network.hidden.detach().numpy(), network.output.detach().numpy()) < 1e-11


def decided_by_rounding(w, a, x, y, lr: float, steps: int) -> bool:
    """Whether weights that are changed in the last digit after one step are others at the end: a neuron that stays on
    a gate because its force along the sample is exactly zero leaves it where that force is 1e-17 instead."""
    ends = []
    for size in (0.0, 1e-15):
        moved, outputs = w.copy(), a.copy()
        descend(moved, outputs, x, y, lr, 1, "direct")
        moved += size * np.random.default_rng(0).standard_normal(moved.shape)
        descend(moved, outputs, x, y, lr, steps - 1, "direct")
        ends.append((moved, outputs))
    return difference(*ends[0], *ends[1]) > 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.sampled_from([1, 2, 2, 3]), st.integers(1, 60), st.integers(0, 10**6), st.booleans())
@example(8, 2, 13, 10250, False)
@example(4, 3, 24, 272, True)
def test_equals_the_direct_form_on_awkward_data(n, d, m, seed, balanced):
    """Inputs that repeat, that are opposite, that share gates; neurons on gates, dead ones, ones with a_j = 0. Where
    rounding decides whether a neuron leaves a gate, no two forms need agree: there it is only run."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(n, d)).astype(float)
    x[(x == 0).all(axis=1)] = 1.0
    y, w = rng.standard_normal(n), rng.integers(-3, 4, size=(m, d)) / 8
    a = np.linalg.norm(w, axis=1) * rng.choice([-1, 1], m) if balanced else rng.integers(-2, 3, m) / 8
    moved, outputs = w.copy(), a.copy()
    grouped(moved, outputs, x, y, 2.0**-9, 300)
    event("decided by rounding" if (undecided := decided_by_rounding(w, a, x, y, 2.0**-9, 300)) else "compared")
    descend(w, a, x, y, 2.0**-9, 300, "direct")
    assert np.isfinite(moved).all()
    assert undecided or difference(moved, outputs, w, np.where(a == 0, 0.0, a)) < 1e-11 or not (w.any() or a.any())


@pytest.mark.parametrize("scale", [1e-6, 1e-60, 1e-160, 1e-300])
def test_tiny_weights(scale):
    """Squares of such weights underflow; the directions to which they turn do not."""
    data = five_points()
    start = draw_start(200, 2, scale, seed=3)
    w, a = start.w.numpy().copy(), start.a.numpy().copy()
    moved, outputs = w.copy(), a.copy()
    x, y = data.x.numpy(), data.y.numpy()
    grouped(moved, outputs, x, y, 0.02, 3000)
    descend(w, a, x, y, 0.02, 3000, "direct")
    sizes = np.abs(w).max(axis=1)
    assert (np.abs(moved - w).max(axis=1) <= 1e-8 * sizes).all()  # neuron by neuron
    assert sizes.max() / start.w.abs().max() > 1e3


def test_neurons_of_very_different_sizes():
    x, y, w, a = problem(6, 2, 120)
    sizes = np.repeat([1.0, 1e-30, 1e-120, 1e-250], 30)
    w, a = w * sizes[:, None], a * sizes
    moved, outputs = w.copy(), a.copy()
    grouped(moved, outputs, x, y, 1e-3, 2000)
    descend(w, a, x, y, 1e-3, 2000, "direct")
    assert (np.abs(moved - w).max(axis=1) <= 1e-9 * np.abs(w).max(axis=1)).all()


def chattering_pairs(w, a, x, y, lr: float) -> int:
    """How many gates open or close more than once within 40 steps."""
    w, a = w.copy(), a.copy()
    flips, gates = 0, w @ x.T > 0
    for _ in range(40):
        descend(w, a, x, y, lr, 1, "direct")
        flips, gates = flips + ((w @ x.T > 0) != gates), w @ x.T > 0
    return int((np.asarray(flips) > 1).sum())


@pytest.mark.parametrize(("make", "m", "scale", "lr", "steps"), [(five_points, 400, 1e-2, 0.02, 12000)])
def test_a_whole_run_with_chattering(make, m, scale, lr, steps):
    """Loss at every look and the final weights, to 1e-9; neurons chatter on gates all along."""
    data = make()
    x, y = data.x.numpy(), data.y.numpy()
    start = draw_start(m, 2, scale / m**0.5, seed=0)
    w, a = start.w.numpy().copy(), start.a.numpy().copy()
    moved, outputs = w.copy(), a.copy()
    chattered = 0
    for _ in range(20):
        grouped(moved, outputs, x, y, lr, steps // 20)
        descend(w, a, x, y, lr, steps // 20, "direct")
        losses = [np.mean((y - np.maximum(x @ v.T, 0) @ b) ** 2) for v, b in ((moved, outputs), (w, a))]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        chattered = max(chattered, chattering_pairs(w, a, x, y, lr))
    assert chattered > 10
    assert difference(moved, outputs, w, a) < 1e-9
    assert losses[1] < 0.2 * np.mean(y**2)


def in_bands(monkeypatch, run) -> int:
    """How many neurons are stepped in bands at most, while `run` does its steps by groups."""
    most, descend_grouped = [0], loop.descend_grouped

    def watched(state, *arguments):
        done = descend_grouped(state, *arguments)
        used = state.bands[: state.counts[BAND_COUNT]]
        most.append(int(used["neurons"][used["size"] > 0].sum()))
        return done

    monkeypatch.setattr(loop, "descend_grouped", watched)
    run()
    return max(most)


@pytest.mark.parametrize("balanced", [True, False])
def test_bands_equal_the_direct_form(balanced, monkeypatch):
    """Most of the neurons that chatter are stepped in strands; of each, weights to 1e-9 of its own."""
    data, m = five_points(), 600
    x, y, start = data.x.numpy(), data.y.numpy(), draw_start(600, 2, 1e-2 / 600**0.5, seed=0)
    w, a = start.w.numpy().copy(), start.a.numpy().copy()
    a *= 1 if balanced else np.random.default_rng(0).uniform(0.2, 0.9, m)
    moved, outputs = w.copy(), a.copy()
    assert in_bands(monkeypatch, lambda: grouped(moved, outputs, x, y, 0.02, 6000)) > 60
    descend(w, a, x, y, 0.02, 6000, "direct")
    assert (np.abs(moved - w).max(axis=1) <= 1e-9 * np.abs(w).max(axis=1)).all()
    np.testing.assert_allclose(outputs, a, rtol=1e-9)
    assert chattering_pairs(w, a, x, y, 0.02) > 30


def test_a_band_without_room_for_a_strand_is_formed_anew(monkeypatch):
    data = five_points()
    x, y, start = data.x.numpy(), data.y.numpy(), draw_start(400, 2, 5e-4, seed=0)
    w, a = start.w.numpy().copy(), start.a.numpy().copy()
    moved, outputs, whys = w.copy(), a.copy(), []
    monkeypatch.setattr(state, "room_of_band", lambda neurons: 128)
    descend_grouped = loop.descend_grouped
    monkeypatch.setattr(loop, "descend_grouped", lambda *given: whys.append(descend_grouped(*given)) or whys[-1])
    grouped(moved, outputs, x, y, 0.02, 6000)
    descend(w, a, x, y, 0.02, 6000, "direct")
    assert difference(moved, outputs, w, a) < 1e-9
    assert any(why == loop.REBUILD for _, why in whys)


def test_neurons_on_a_gate_stay_closed():
    x, y = np.array([[2.0, -1.0], [1.0, 1.0]]), np.array([1.0, -1.0])
    w = np.array([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 0.0]] * 20)
    a = np.full(80, 0.01)
    moved, outputs = w.copy(), a.copy()
    grouped(moved, outputs, x, y, 1e-3, 200)
    descend(w, a, x, y, 1e-3, 200, "direct")
    assert difference(moved, outputs, w, a) < 1e-13
    np.testing.assert_array_equal(moved[1::4], w[1::4])
    np.testing.assert_array_equal(moved[2::4], 0.0)


def wide(m: int = 4000):
    """A start and data on which `fused` chooses groups."""
    data = five_points()
    assert may_pay(data.n, data.d, m)
    return data, draw_start(m, 2, 1e-2 / m**0.5, seed=1)


def test_fused_chooses_groups_and_equals_sgd():
    data, start = wide()
    fused, sgd = TwoLayerReLU(start), TwoLayerReLU(start)
    solver = Fused(0.01)
    solver.advance(fused, data, 0, 600)
    SGD(0.01).advance(sgd, data, 0, 600)
    assert fused.neurons().distance(sgd.neurons()) < 1e-11 * (2 * sgd.neurons().half_norm_squared) ** 0.5


def test_an_advance_is_a_function_of_the_weights_alone():
    data, start = wide()
    networks = [TwoLayerReLU(start) for _ in range(2)]
    one = Fused(0.01)
    for begin in (0, 500, 700):
        one.advance(networks[0], data, begin, begin + 200)
        Fused(0.01).advance(networks[1], data, begin, begin + 200)  # one that has just been resumed
    assert torch.equal(networks[0].hidden, networks[1].hidden)
    assert torch.equal(networks[0].output, networks[1].output)


def test_asked_to_stop_it_has_not_moved():
    data, start = wide()
    network = TwoLayerReLU(start)
    solver = Fused(0.01)
    asked = iter([False, False, True])
    solver.stop_asked = lambda: next(asked)
    with pytest.raises(Abandoned):
        solver.advance(network, data, 0, 10_000)
    np.testing.assert_array_equal(network.hidden.detach().numpy(), start.w.numpy())


@pytest.mark.parametrize("patience", [1.0, 2e6])
def test_how_often_it_looks_whether_to_stop_changes_no_bit(patience, monkeypatch):
    data, start = wide()
    weights, looks = [], []
    for each in (1e8, patience):
        monkeypatch.setattr(grouped_descent, "PATIENCE", each)
        w, a, numbers = start.w.numpy().copy(), start.a.numpy().copy(), count()
        Descent(data.x.numpy(), data.y.numpy(), 0.01)(w, a, 3000, lambda numbers=numbers: next(numbers) < 0)
        weights.append((w, a))
        looks.append(next(numbers))
    np.testing.assert_array_equal(weights[0][0], weights[1][0])
    np.testing.assert_array_equal(weights[0][1], weights[1][1])
    assert looks[1] > looks[0]


def test_a_wide_network_looks_whether_to_stop_as_often_as_a_step_costs(monkeypatch):
    """A million neurons on forty points: a step takes a good hundredth of a second."""
    until = []

    def few_steps(state, lr, code, begun, steps, *_):
        until.append(steps - max(begun, 0))
        return steps, loop.DONE

    monkeypatch.setattr(loop, "descend_grouped", few_steps)
    monkeypatch.setattr(grouped_descent, "direct_cost", lambda n, d, m: 4e7)
    data, start = wide()
    w, a = start.w.numpy().copy(), start.a.numpy().copy()
    Descent(data.x.numpy(), data.y.numpy(), 0.01)(w, a, 100)
    assert sum(until) == 100 and max(until) * 4e7 <= 1e8


def module_of(iterations: int, stride: int = 300) -> GradientFlowModule:
    data, start = wide()

    class Strided(Fused):
        def stride(self, network, training_set):
            return stride

    module = GradientFlowModule(TwoLayerReLU(start), data, Strided(0.01), Schedule((0, iterations)))
    module.trainer = SimpleNamespace(should_stop=False, callbacks=[])
    return module


def test_a_signal_within_a_stride_loses_that_stride_alone_and_going_on_changes_nothing():
    whole, cut = module_of(1000), module_of(1000)
    whole.on_train_start()
    whole.training_step((1000,), 0)
    looks = 0

    def asked() -> bool:
        nonlocal looks
        looks += 1
        if looks == 4:  # somewhere in the second stride
            cut.signal = 2
        return cut.signal is not None

    cut._signalled = asked
    cut.on_train_start()
    with pytest.raises(Interrupted):
        cut.training_step((1000,), 0)
    assert cut.iteration in (300, 600, 900)
    resumed = module_of(1000)
    resumed.on_train_start()
    resumed.load_state_dict(cut.state_dict())
    resumed.iteration = cut.iteration
    resumed.training_step((1000,), 0)
    assert torch.equal(resumed.network.hidden, whole.network.hidden)
    assert torch.equal(resumed.network.output, whole.network.output)


def test_float32_networks():
    data, start = wide()
    single, double = TwoLayerReLU(start, torch.float32), TwoLayerReLU(start)
    Fused(0.01).advance(single, data, 0, 500)
    Fused(0.01).advance(double, data, 0, 500)
    assert single.hidden.dtype == torch.float32
    # it starts from weights rounded to 6e-8 and computes in float64
    assert torch.allclose(
        single.hidden.double(), double.hidden, rtol=0, atol=2e-6 * float(double.hidden.detach().abs().max())
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_what_is_not_finite_is_handed_over(bad):
    data, start = wide()
    w, a = start.w.numpy().copy(), start.a.numpy().copy()
    w[3] = bad
    a[3] = bad
    moved, outputs = w.copy(), a.copy()
    x, y = data.x.numpy(), data.y.numpy()
    Descent(x, y, 0.01)(moved, outputs, 3)
    descend(w, a, x, y, 0.01, 3, "unrolled")
    np.testing.assert_array_equal(np.isfinite(moved), np.isfinite(w))


def test_patterns_are_the_gates():
    x, _, w, _ = problem(9, 3, 500)
    keys = np.random.default_rng(0).integers(1, 2**63, 9).astype(np.uint64)
    number, first = classify(w, x, keys, 500)
    gates = w @ x.T > 0
    for j in range(500):
        assert (gates[j] == (gates[first[number[j] - 1]] if number[j] else False)).all()
    assert len(first) == len({row.tobytes() for row in gates if row.any()})
    assert len(first) <= most_patterns(9, 3)
    assert len(classify(w, x, keys, 5)[1]) == 0


@pytest.mark.parametrize("d", [2, 3])
def test_the_chain_has_each_pattern_once_after_its_parent(d):
    x, _, w, _ = problem(9, d, 400)
    gates, first = np.unique(w @ x.T > 0, axis=0, return_index=True)
    order, parents = chain_of_patterns(gates, w[first])
    assert sorted(order) == list(range(len(gates)))
    assert all(parent <= rank for rank, parent in enumerate(parents))
    rows = np.vstack([np.zeros(9, bool), gates[order]])
    changes = sum((rows[rank + 1] != rows[parent]).sum() for rank, parent in enumerate(parents))
    assert changes <= gates.sum()


def test_costs_decide_by_shape():
    assert may_pay(40, 2, 20_000)
    assert may_pay(3, 2, 20_000)
    assert not may_pay(5, 2, 60)
    assert not may_pay(2, 2, 60)
    assert not may_pay(75, 150, 200)
    assert direct_cost(40, 2, 1000) > direct_cost(3, 2, 1000)
    assert three_points().n == 3


@pytest.mark.parametrize(("n", "d", "m"), [(30, 4, 352), (38, 3, 273)])
def test_no_neuron_is_lost_where_room_runs_out(n, d, m):
    """Nearly every neuron has a pattern of its own: tables overflow, and all is built anew, or given up."""
    x, y, w, a = problem(n, d, m, 0.02)
    moved, outputs = w.copy(), a.copy()
    grouped(moved, outputs, x, y, 5e-3, 1500, least=0)
    descend(w, a, x, y, 5e-3, 1500, "direct")
    assert difference(moved, outputs, w, a) < 1e-11


@pytest.mark.slow
def test_a_run_of_two_thousand_neurons_equals_autograd():
    """Forty points on a line of pieces, scale 1e-3, to the first plateau, where a third of the neurons chatter."""
    x = np.sort(np.random.default_rng(0).uniform(-1, 1, 40))
    corners = (-1, -0.7, -0.55, -0.4, 0, 0.5, 0.6, 0.7, 1), (0, 0.7, 0.5, 1, 0, 1, 0.6, 0.7, 0)
    data = TrainingSet(np.stack([x, np.ones(40)], axis=1), np.interp(x, *corners))
    start = draw_start(2000, 2, 1e-3 / 2000**0.5, seed=0)
    fused, sgd = TwoLayerReLU(start), TwoLayerReLU(start)
    ours, reference = Fused(1e-3), SGD(1e-3)
    for begin in range(0, 20_000, 1000):
        ours.advance(fused, data, begin, begin + 1000)
        reference.advance(sgd, data, begin, begin + 1000)
        losses = [float((data.y - network(data.x).detach()).square().mean()) for network in (fused, sgd)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert fused.neurons().distance(sgd.neurons()) < 1e-9 * (2 * sgd.neurons().half_norm_squared) ** 0.5
