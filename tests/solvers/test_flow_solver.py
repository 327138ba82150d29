"""The flow as a solver: leaps, resuming, weights changed by others, what it refuses."""

import io
from dataclasses import replace
from time import process_time

import numpy as np
import pytest
import torch
from flow_runs import METHODS, by_scipy, loss, random_set, started, trained

from gfflow.errors import InvalidInput, Stalled
from gfflow.model.activations import Activation
from gfflow.model.data import five_points, orthogonal_pair
from gfflow.model.network import TwoLayerReLU
from gfflow.motion.flow import integrator
from gfflow.motion.flow.splitting import Splitting
from gfflow.records.run import Run
from gfflow.run import train
from gfflow.solvers import make_solver
from gfflow.solvers.flow import Flow


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_goes_on_bit_exactly(method):
    training_set = five_points()
    start = started(training_set, 12, 1e-3)
    whole = trained(Flow(0.7, 1e-5, method), training_set, start, [3, 40, 41, 90, 160])
    solver, network = Flow(0.7, 1e-5, method), TwoLayerReLU(start)
    for first, last in ((0, 3), (3, 40), (40, 41)):
        solver.advance(network, training_set, first, last)
    file = io.BytesIO()
    torch.save({"network": network.state_dict(), "solver": solver.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)  # as Lightning loads checkpoints
    solver, network = Flow(0.7, 1e-5, method), TwoLayerReLU(start)
    network.load_state_dict(saved["network"])
    solver.load_state_dict(saved["solver"])
    for (first, last), truth in zip(((41, 90), (90, 160)), whole[3:], strict=True):
        solver.advance(network, training_set, first, last)
        assert torch.equal(network.hidden, truth.w)
        assert torch.equal(network.output, truth.a)


@pytest.mark.parametrize("method", METHODS)
def test_measuring_often_costs_no_evaluations(method):
    training_set = orthogonal_pair()
    start = started(training_set, 30, 1e-6)
    often, once = Flow(2e-3, 1e-6, method), Flow(2e-3, 1e-6, method)
    frames = trained(often, training_set, start, range(25, 15001, 25))
    (last,) = trained(once, training_set, start, [15000])
    assert torch.equal(frames[-1].w, last.w)
    assert often.summary() == once.summary()


@pytest.mark.parametrize("method", METHODS)
def test_changed_weights_are_taken_up(method):
    training_set = orthogonal_pair()
    network, solver = TwoLayerReLU(started(training_set, 10, 1e-2)), Flow(0.1, 1e-8, method)
    solver.advance(network, training_set, 0, 5)
    with torch.no_grad():
        network.output.mul_(0.5)
    changed = network.neurons()
    solver.advance(network, training_set, 5, 15)
    assert network.neurons().distance(by_scipy(training_set, changed, 1.0)) < 1e-7  # tens of steps at 1e-8


@pytest.mark.parametrize("method", METHODS)
def test_never_spins(method, monkeypatch):
    monkeypatch.setattr(integrator, "MOST_STEPS", 20)
    training_set = five_points()
    with pytest.raises(Stalled, match=r"stalled at time .* after 20 steps"):
        trained(Flow(1.0, 1e-10, method), training_set, started(training_set, 10, 1e-2), [1000])


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"batch_size": 2}, "solver.batch_size"),
        ({"cuda": True}, "solver.name"),
        ({"rtol": 0.5}, "solver.rtol"),
        ({"method": "euler"}, "solver.method"),
    ],
)
def test_what_it_cannot_do_is_refused(options, key):
    with pytest.raises(InvalidInput, match=key):
        make_solver("flow", 1e-3, **options)


def test_a_method_that_cannot_do_a_problem_says_so_at_once():
    """Runge-Kutta would stop at each of tens of thousands of gate changes; it printed nothing for minutes."""
    training_set = random_set(300, 50, 0)
    network = TwoLayerReLU(started(training_set, 200, 1e-6, "width_dim"))
    began = process_time()
    with pytest.raises(InvalidInput, match=r"solver.method.*auto or splitting for 200 neurons and 300 samples"):
        Flow(1e-3, 1e-3, "runge_kutta").check(network, training_set)
    assert process_time() - began < 10  # loading compiled code included


def test_a_state_that_has_lost_its_digits_ends_the_run_with_one_line(monkeypatch, tmp_path):
    """The directions are rounded to half precision after each step; what that does is measured, not assumed."""
    advance = Splitting.advance

    def coarse(integrator, until, most=1):
        advance(integrator, until, 1)
        integrator.state.v[:] = integrator.state.v.astype(np.float16)

    values = {
        "data": {"name": "five_points"},
        "init": {"scale": 1e-4},
        "solver": {"name": "flow", "iterations": 100_000},
        "forecast": False,
        "figures": False,
        "verbose": False,
    }
    monkeypatch.setattr(Splitting, "advance", coarse)
    with pytest.raises(Stalled, match=r"lost its digits at time .*lengths, gates, balance\) is off by") as told:
        train(values, tmp_path)
    assert "\n" not in str(told.value)
    assert Run.read(tmp_path).summary is None


def test_what_the_flow_conserves_is_told_in_the_summary():
    """Neurons that shrink by a hundred e-folds, slide and grow again: what is put right is rounding, and no output
    weight changes its sign."""
    data = five_points()
    start, solver = started(data, 60, 1e-60, "none"), Flow(1.0)
    (frame,) = trained(solver, data, start, [3300])
    assert loss(frame, data) < 0.01
    assert torch.equal(frame.a.sign(), start.a.sign())
    corrections = solver.summary()["corrections"]
    assert set(corrections) == {"length", "gates", "balance"}
    assert max(corrections.values()) < 1e-12


def test_another_derivative_at_zero_is_refused():
    training_set = orthogonal_pair()
    network = TwoLayerReLU(replace(started(training_set, 3, 1e-2), activation=Activation(at_zero=0.5)))
    with pytest.raises(InvalidInput, match="solver=sgd"):
        make_solver("flow", 1e-3).check(network, training_set)


def test_a_neuron_below_the_smallest_float_does_not_end_the_run():
    """From 1e-250 the neurons that shrink while the first labels are fitted leave the float64 numbers."""
    data = five_points()
    start = started(data, 60, 1e-250, "none")
    frames = trained(Flow(1.0), data, start, [3000, 3200, 3400, 13_300])
    assert all(bool(torch.isfinite(frame.w).all()) for frame in frames)
    assert loss(frames[-1], data) < 0.01  # the third jump, by neurons that had shrunk, is at 13 169


def test_a_neuron_below_the_smallest_float_leaves_a_later_saddle(tmp_path):
    """From 1e-300 the neurons that make the third jump have weights of zero at the second saddle, where the run must
    not end as stationary. A_3 ln(1/lambda) + B_3 is from integrations in logarithm and angle (tests/reference)."""
    values = {
        "data": {"name": "five_points"},
        "init": {"scale": 1e-300, "normalization": "none"},
        "solver": {"name": "flow", "lr": 1.0, "iterations": 17_000},
        "schedule": {"ratio": None, "linear": 1700},
        "callbacks": {"structure": False, "histograms": False, "trajectory": False},
    }
    summary = train({**values, "forecast": False, "figures": False, "verbose": False}, tmp_path)
    assert summary["stop_reason"] == "iterations"
    metrics = Run.read(tmp_path).metrics
    fallen = metrics["time"][int(np.argmax(metrics["loss"] < 0.0159))]
    assert fallen == pytest.approx(22.6763559946 * 300 * np.log(10) + 115.45319, abs=10)  # between two measurements
