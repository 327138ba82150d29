"""The limit process against numerical integration of its equations, gate by gate."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference.plane import Plane
from scipy.integrate import solve_ivp

from gfflow.model.data import TrainingSet, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.model.neurons import Neurons
from gfflow.theory import LimitProcess, solve_limit_process

Array = NDArray[np.float64]


def integrate(x: Array, y: Array, w: Array, a: float, times: Array) -> tuple[Array, Array, Array]:
    """One neuron of dw/dt = a D, da/dt = <D, w> at the given times: log-norms, directions, and the rate ||D|| left.

    Integrated in (ln||w||, w/||w||, a/||w||), restarted at every closing gate, which then stays closed on orthogonal
    inputs (Lemma 6). Gates that are zero at the start are closed: relu'(0) = 0.
    """
    n = len(y)
    norm = np.linalg.norm(w)
    state = np.concatenate([[np.log(norm)], w / norm, [a / norm]])
    open_gates = [k for k in range(n) if x[k] @ w > 0]
    logs, directions = np.empty(len(times)), np.empty((len(times), len(w)))
    now = 0.0
    while True:
        field = sum((y[k] * x[k] / n for k in open_gates), np.zeros(len(w)))

        def slope(_: float, s: Array, field: Array = field) -> Array:
            v, b = s[1:-1], s[-1]
            along = field @ v
            return np.concatenate([[b * along], b * (field - along * v), [along * (1 - b * b)]])

        events = [lambda _, s, k=k: x[k] @ s[1:-1] for k in open_gates]
        for event in events:
            event.terminal, event.direction = True, -1
        end = times[-1]
        solution = solve_ivp(
            slope, (now, end), state, "DOP853", dense_output=True, events=events or None, rtol=1e-13, atol=1e-14
        )
        inside = (times >= now) & (times <= solution.t[-1])
        if inside.any():
            states = solution.sol(times[inside])
            logs[inside], directions[inside] = states[0], states[1:-1].T
        if solution.status != 1:
            return logs, directions, np.linalg.norm(field)
        closed = next(k for k, found in zip(open_gates, solution.t_events, strict=True) if len(found))
        open_gates.remove(closed)
        state, now = solution.y[:, -1].copy(), solution.t[-1]
        v = state[1:-1]
        v -= (v @ x[closed]) / (x[closed] @ x[closed]) * x[closed]


def random_data(n: int, seed: int, majority: float) -> TrainingSet:
    """n orthogonal samples of unequal norms in R^{n+1}, labels of both signs where n > 1."""
    random = np.random.default_rng(seed)
    labels = random.uniform(0.5, 2, n) * np.where(random.random(n) < 0.5, 1, -1)
    labels[0] = majority * abs(labels[0]) * 2  # which sign is fitted first is up to the majority
    labels[1:2] = -majority * abs(labels[1:2])
    return orthonormal(labels.tolist(), n + 1, random.uniform(0.5, 1.5, n).tolist(), rotation=seed)


def compare(data: TrainingSet, start: Neurons, process: LimitProcess) -> None:
    x, y = data.x.numpy(), data.y.numpy()
    slowest = np.min(np.abs(y) * np.linalg.norm(x, axis=1)) / data.n
    horizon = 40 / slowest  # all gates have closed and e^{-2 N t} is below 1e-30 for every subset of the samples
    times = np.concatenate([np.linspace(0, 5 / slowest, 60), [horizon]])
    at_times = [process.at(time) for time in times]
    for j in range(len(start.a)):
        logs, directions, rate = integrate(x, y, start.w[j].numpy(), float(start.a[j]), times)
        measured_logs = np.array([log_norms[j] for log_norms, _ in at_times])
        measured_directions = np.array([vectors[j] for _, vectors in at_times])
        # the integration's own error: 1e-13 a step, some hundreds of steps, and events found in an interpolant
        assert measured_logs == pytest.approx(logs, abs=1e-8, rel=0)
        assert measured_directions == pytest.approx(directions, abs=1e-8, rel=0)
        assert process.rate[j] == pytest.approx(rate, rel=1e-14)
        if rate > 0:
            assert process.log_amplitude[j] == pytest.approx(logs[-1] - rate * horizon, abs=1e-8, rel=0)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("majority", [1.0, -1.0])
@pytest.mark.parametrize("n", range(1, 9))
def test_every_neuron_against_integration(n: int, majority: float, balanced: bool) -> None:
    data = random_data(n, seed=n, majority=majority)
    start = draw_start(3, data.d, 0.1, seed=100 + n, balanced=balanced)
    compare(data, start, solve_limit_process(data, start))


@pytest.mark.parametrize("scale", [1e-100, 1e-300])
def test_lambda_only_shifts_the_log_norms(scale: float) -> None:
    data = random_data(5, seed=1, majority=1.0)
    unit, tiny = (draw_start(50, data.d, s, seed=3) for s in (1.0, scale))
    one, other = solve_limit_process(data, unit), solve_limit_process(data, tiny)
    shift = other.log_amplitude - one.log_amplitude
    # the rounding of logarithms of size 700, and of the start's own entries once scaled
    assert shift == pytest.approx(np.full(50, np.log(scale)), abs=1e-11)
    assert other.at(3.0)[1] == pytest.approx(one.at(3.0)[1], abs=1e-13)


@pytest.mark.parametrize("label", [1.0, -1.0])
def test_neuron_on_a_gate_stays_there(label: float) -> None:
    """relu'(0) = 0: a gate that is exactly zero at the start is closed for ever, also where the rounding of the
    neuron's direction lies on its open side, as for (-3, 4) / 5."""
    x = torch.tensor([[4.0, 3.0], [-1.5, 2.0]], dtype=torch.float64)
    data = TrainingSet(x, torch.tensor([label, 1.0]))
    w = torch.tensor([[-3.0, 4.0], [3.0, -4.0], [-6.0, 8.0]], dtype=torch.float64)
    assert (w @ x[0] == 0).all()
    start = Neurons(w, w.norm(dim=1))
    process = solve_limit_process(data, start)
    assert process.rate == pytest.approx([2.5 / 2, 0, 2.5 / 2])  # D = x_1 / 2 or nothing
    compare(data, start, process)


def test_neuron_a_rounding_away_from_a_gate_that_pushes_it_off_does_not_come_back() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    w = torch.tensor([[1e-17, 1.0], [5e-324, 1.0]], dtype=torch.float64)
    a = torch.ones(2, dtype=torch.float64)
    closes, opens = (solve_limit_process(TrainingSet(x, torch.tensor([s, 1.0])), Neurons(w, a)) for s in (-1.0, 1.0))
    assert closes.rate == pytest.approx([1 / 2, 1 / 2])
    assert opens.rate == pytest.approx([np.sqrt(2) / 2, np.sqrt(2) / 2])


def test_two_gates_that_close_at_the_same_instant_both_close() -> None:
    data = orthonormal([1.0, -0.5, -0.5], norms=[1.0, 1.3, 1.3], rotation=None)
    for tilt in (1.0, 1 / 3, 0.7):
        w = torch.tensor([[0.2, tilt, tilt]], dtype=torch.float64)
        process = solve_limit_process(data, Neurons(w, w.norm(dim=1)))
        assert process.rate[0] == pytest.approx(1 / 3)  # only the positive sample is left
        _, directions = process.at(100.0)
        assert directions[0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-14)


def test_neuron_with_no_sample_left_stands_still() -> None:
    data = orthonormal([-1.0, -2.0], d=3)
    w = torch.tensor([[0.5, 0.3, -0.4], [-1.0, -1.0, 1.0]], dtype=torch.float64)
    start = Neurons(w, w.norm(dim=1))
    process = solve_limit_process(data, start)
    assert process.rate.tolist() == [0.0, 0.0]
    log_norms, directions = process.at(1e6)
    assert directions == pytest.approx(np.array([[0.0, 0.0, -1.0], w[1].numpy() / np.sqrt(3)]), abs=1e-15)
    assert log_norms == pytest.approx(np.log([0.4, np.sqrt(3)]), abs=1e-14)
    compare(data, start, process)


@pytest.mark.filterwarnings("error")
def test_neuron_that_shrinks_for_ever_gives_no_nan() -> None:
    """w along -D with a = ||w||: norm e^{-Nt}, direction unchanged."""
    data = orthonormal([-2.0])
    process = solve_limit_process(data, Neurons(torch.ones(1, 1).double(), torch.ones(1).double()))
    assert process.log_amplitude.tolist() == [-np.inf]
    for time in (0.0, 1.0, 20.0, 60.0):
        log_norms, directions = process.at(time)
        assert log_norms == pytest.approx([-2.0 * time], rel=1e-14)
        assert directions.tolist() == [[1.0]]
    log_norms, directions = process.at(1e5)
    assert not np.isnan(log_norms).any()
    assert not np.isnan(directions).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("a", [-1.0, -1.5])  # balanced on one axis: shrinks for ever; |a| larger: reaches zero
def test_neuron_that_falls_straight_to_zero_gives_no_nan(a: float) -> None:
    """As many samples as dimensions: behind all other gates w lies along the last sample."""
    data = orthonormal([0.3, 1.0])
    start = draw_start(200, 2, 1.0, seed=0)
    process = solve_limit_process(data, Neurons(start.w, a * start.norms))
    assert not np.isnan(process.log_amplitude).any()
    log_norms, directions = process.at(200.0)
    assert (log_norms < np.log(10)).all()  # a_j < 0 and positive labels: nothing grows
    assert np.isfinite(directions).all()
    dead = (start.w <= 0).all(dim=1).numpy()
    assert log_norms[dead] == pytest.approx(start.log_norms.numpy()[dead], abs=1e-14)
    assert process.log_amplitude[dead] == pytest.approx(start.log_norms.numpy()[dead], abs=1e-14)


@pytest.mark.filterwarnings("error")
def test_huge_times_overflow_nowhere() -> None:
    data = random_data(4, seed=2, majority=1.0)
    start = draw_start(50, data.d, 1e-300, seed=0)
    process = solve_limit_process(data, start)
    log_norms, directions = process.at(1e8)
    alive = process.rate > 0
    assert log_norms[alive] == pytest.approx(process.rate[alive] * 1e8 + process.log_amplitude[alive], rel=1e-14)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(50), abs=1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_every_log_norm_is_that_of_the_flow_from_1e_minus_100(seed: int) -> None:
    """The whole network's flow in logarithm and angle, while it is small; neurons shrink on the way, and turn."""
    rng = np.random.default_rng(seed)
    lengths, labels = rng.uniform(0.5, 2, 2), rng.choice([-1, 1], 2) * rng.uniform(0.5, 2, 2)
    x = np.diag(lengths)  # a rotation of it would be orthogonal to 1e-17, which turns neurons after 38 e-folds
    w, signs = rng.standard_normal((40, 2)), rng.choice([-1.0, 1.0], 40)
    flow, scale = Plane(x, labels, w, signs, -100 * np.log(10)), 1e-100
    flow.run(40.0)
    start = Neurons(torch.from_numpy(w * scale), torch.from_numpy(signs * np.hypot(*w.T) * scale))
    data = TrainingSet(torch.from_numpy(x), torch.from_numpy(labels))
    log_norms, directions = solve_limit_process(data, start).at(40.0)
    there = log_norms > -np.inf  # others have vanished
    assert there.sum() > 20
    assert np.abs(log_norms - flow.rho)[there].max() < 1e-6  # the reference, at 1e-10 a step
    assert np.abs(directions - np.stack([np.cos(flow.phi), np.sin(flow.phi)], axis=1))[there].max() < 1e-6
