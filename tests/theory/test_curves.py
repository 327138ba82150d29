"""Mass curves against numerical integration of the gradient flow of one balanced neuron."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from gfflow.theory.curves import Logistic, MassCurve, SingleNeuron

Array = NDArray[np.float64]


def neuron_flow(x: Array, y: Array, n: int, log_amplitude: float, times: Array) -> Array:
    """||w||^2 along the flow of L in (w, a) itself, all gates open, from a = ||w||, w along D, at the first time."""
    field = y @ x / n
    rate = float(np.linalg.norm(field))
    size = math.exp(log_amplitude / 2 + rate * times[0])

    def slope(_: float, state: Array) -> Array:
        w, a = state[:-1], state[-1]
        d = (y - a * (x @ w)) @ x / n
        return np.concatenate([a * d, [d @ w]])

    start = np.concatenate([size * field / rate, [size]])
    solution = solve_ivp(slope, (times[0], times[-1]), start, "DOP853", t_eval=times, rtol=1e-12, atol=1e-20)
    return (solution.y[:-1] ** 2).sum(axis=0)


def samples(norms: list[float], labels: list[float]) -> tuple[Array, Array]:
    return np.diag(norms), np.array(labels)


def constants(x: Array, y: Array, n: int) -> tuple[float, float]:
    """(||D||, ||beta||)."""
    return float(np.linalg.norm(y @ x / n)), float(np.linalg.norm(np.linalg.pinv(x) @ y))


EQUAL = [([1.0], [0.7]), ([2.0], [1.5]), ([1.0, 1.0], [0.5, 2.0]), ([0.7] * 4, [1.0, 0.2, 3.0, 1.0])]
UNEQUAL = [([1.0, 0.7], [1.0, 1.0]), ([2.0, 0.5, 1.0], [0.3, 2.0, 1.0]), ([1.0, 1.3, 1.2], [1.5, 0.8, 1.2])]


@pytest.mark.parametrize(("norms", "labels"), EQUAL)
@pytest.mark.parametrize("others", [0, 3])
def test_logistic_is_the_flow_for_equal_norms(norms: list[float], labels: list[float], others: int) -> None:
    x, y = samples(norms, labels)
    n = len(y) + others
    rate, limit = constants(x, y, n)
    times = np.linspace(0, 15 / rate, 40)
    curve = Logistic(math.log(1e-9), rate, limit)
    # u(0) differs from its amplitude by the square of it; the integration carries 1e-12 a step
    assert curve.mass(times) == pytest.approx(neuron_flow(x, y, n, math.log(1e-9), times), rel=1e-8, abs=0)


@pytest.mark.parametrize(("norms", "labels"), UNEQUAL)
@pytest.mark.parametrize("others", [0, 3])
def test_single_neuron_is_the_flow_for_unequal_norms(norms: list[float], labels: list[float], others: int) -> None:
    x, y = samples(norms, labels)
    n = len(y) + others
    rate, limit = constants(x, y, n)
    times = np.linspace(0, 16 / rate, 40)
    curve = SingleNeuron(math.log(1e-10), rate, limit, x, y, n)
    expected = neuron_flow(x, y, n, math.log(1e-10), times)
    # the flow starts along D at u = 1e-10 and not earlier, so it differs by about 1e-10 of its size
    assert curve.mass(times) == pytest.approx(expected, rel=1e-8, abs=0)
    logistic = Logistic(math.log(1e-10), rate, limit).mass(times)
    assert np.abs(logistic / expected - 1).max() > 0.01  # and the logistic is not it


def test_single_neuron_takes_labels_of_either_sign() -> None:
    x, y = samples([1.0, 0.7], [1.0, 0.4])
    rate, limit = constants(x, y, 2)
    times = np.linspace(0, 30, 20)
    plus, minus = (SingleNeuron(-50.0, rate, limit, x, sign * y, 2).mass(times) for sign in (1, -1))
    assert (plus == minus).all()


def test_single_neuron_of_equal_norms_is_logistic() -> None:
    x, y = samples([1.0, 1.0], [1.0, 0.4])
    rate, limit = constants(x, y, 2)
    times = np.linspace(0, 100, 200)
    one, other = (c.mass(times) for c in (SingleNeuron(-50.0, rate, limit, x, y, 2), Logistic(-50.0, rate, limit)))
    assert one == pytest.approx(other, rel=1e-9, abs=0)  # rtol 1e-11 of the integration, over a few hundred steps


def both_curves(log_amplitude: float) -> list[MassCurve]:
    x, y = samples([1.0, 0.7, 1.4], [1.0, 0.4, 0.9])
    rate, limit = constants(x, y, 5)
    return [Logistic(log_amplitude, rate, limit), SingleNeuron(log_amplitude, rate, limit, x, y, 5)]


@pytest.mark.parametrize("log_amplitude", [math.log(1e-4), 2 * math.log(1e-20), 2 * math.log(1e-300)])
@pytest.mark.parametrize("fraction", [1e-20, 1e-14, 2e-14, 1e-6, 0.01, 0.5, 0.99, 1 - 1e-9])
def test_time_of_fraction_inverts_the_mass(log_amplitude: float, fraction: float) -> None:
    for curve in both_curves(log_amplitude):
        time = curve.time_of_fraction(fraction)
        reached = float(curve.mass(time)) / curve.limit
        # a time of 1e4 is exact to 1e-12, and so then is the exponent
        assert reached == pytest.approx(fraction, rel=1e-10, abs=0)
        assert 1 - reached == pytest.approx(1 - fraction, rel=1e-3)  # both integrated and rounded to 1e-12


@pytest.mark.parametrize("log_amplitude", [math.log(1e-4), 2 * math.log(1e-300)])
@pytest.mark.filterwarnings("error")
def test_mass_rises_from_its_amplitude_to_its_limit_at_any_time(log_amplitude: float) -> None:
    for curve in both_curves(log_amplitude):
        slow = np.linspace(0, 3 * curve.time_of_fraction(0.5), 500)
        mass = curve.mass(slow)
        assert (np.diff(mass) >= -1e-11 * curve.limit).all()  # the integration's tolerance
        assert curve.mass(np.array([1e5, 1e10, 1e300])) == pytest.approx([curve.limit] * 3, rel=1e-12)
        assert curve.mass(0.0) == pytest.approx(math.exp(log_amplitude), rel=1e-3)
        assert curve.mass(0.0).shape == ()
        assert curve.mass(slow.reshape(50, 10)).shape == (50, 10)


@pytest.mark.filterwarnings("error")
def test_lambda_shifts_the_curve_in_time() -> None:
    for early, late in zip(both_curves(-200.0), both_curves(-1400.0), strict=True):
        delay = 1200 / (2 * early.rate)
        times = early.time_of_fraction(0.5) + np.linspace(-20, 20, 30)
        assert late.mass(times + delay) == pytest.approx(early.mass(times), rel=1e-11)


@pytest.mark.parametrize("norms", [[1.0, 0.7, 1.4], [0.1, 3.0, 1.0], [1.0, 0.01, 1.0], [100.0, 1.0, 0.1]])
@pytest.mark.parametrize("label", [1.0, 0.01])
def test_single_neuron_settles_on_data_of_any_norms(norms: list[float], label: float) -> None:
    """The integration ends when the labels are fitted, also where one of them is fitted 10^6 times slower."""
    x, y = samples(norms, [1.0, label, 0.5])
    rate, limit = constants(x, y, 9)
    curve = SingleNeuron(-100.0, rate, limit, x, y, 9)
    times = [curve.time_of_fraction(fraction) for fraction in (0.01, 0.5, 0.99, 1 - 1e-6, 1 - 1e-8)]
    assert times == sorted(set(times))
    assert math.isfinite(curve.time_of_fraction(1 - 1e-15))
    assert float(curve.mass(1e12 / rate)) == pytest.approx(limit, rel=1e-12)
    assert len(curve._solution.t) < 5000  # an explicit method takes 10^5 and never ends on some of these


def neuron_loss(x: Array, y: Array, n: int, log_amplitude: float, time: float) -> float:
    """The loss of the samples at the time over that at zero, along the flow of one neuron itself."""
    rate = float(np.linalg.norm(y @ x / n))
    size = math.exp(log_amplitude / 2)

    def slope(_: float, state: Array) -> Array:
        d = (y - state[-1] * (x @ state[:-1])) @ x / n
        return np.concatenate([state[-1] * d, [d @ state[:-1]]])

    start = np.concatenate([size * (y @ x / n) / rate, [size]])
    end = solve_ivp(slope, (0, time), start, "DOP853", rtol=1e-12, atol=1e-20).y[:, -1]
    residual = y - end[-1] * (x @ end[:-1])
    return float(residual @ residual / (y @ y))


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize(("norms", "labels"), EQUAL[:2] + EQUAL[2:3] + UNEQUAL)
def test_the_loss_is_that_of_the_flow(norms: list[float], labels: list[float], fraction: float) -> None:
    x, y = samples(norms, labels)
    rate, limit = constants(x, y, len(y))
    kind = Logistic if (norms, labels) in EQUAL else SingleNeuron
    curve = kind(math.log(1e-9), rate, limit, *(() if kind is Logistic else (x, y, len(y))))
    time = curve.time_of_fraction(fraction)
    # the start is of size 1e-9, and the integration's own error is 1e-12 a step
    assert float(curve.loss_share(time)) == pytest.approx(neuron_loss(x, y, len(y), math.log(1e-9), time), abs=1e-7)
