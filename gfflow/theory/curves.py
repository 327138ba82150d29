"""The mass of a group over time, known before training.

The members of a group, once aligned, follow one and the same linear flow, so their ratios persist and the group
moves as a single balanced neuron of mass u = ||w||^2 that starts along D+ (or -D-) on the curve
u = lambda^2 K e^{2 ||D|| t}.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class MassCurve(ABC):
    """u(t) of a group that starts as exp(log_amplitude + 2 rate t) and tends to `limit`."""

    def __init__(self, log_amplitude: float, rate: float, limit: float) -> None:
        self.log_amplitude, self.rate, self.limit = log_amplitude, rate, limit

    @abstractmethod
    def mass(self, time: ArrayLike) -> Array:
        """u at the given flow times, same shape."""

    @abstractmethod
    def time_of_fraction(self, fraction: float) -> float:
        """The flow time at which u reaches the fraction (between 0 and 1) of its limit."""

    @abstractmethod
    def loss_share(self, time: ArrayLike) -> Array:
        """The loss of the group's samples over what it is at h = 0, at the given flow times, same shape."""


class Logistic(MassCurve):
    """u = u* / (1 + u*/(lambda^2 K) e^{-2 ||D|| t}): exact for a single sample, and for inputs of equal norms."""

    def mass(self, time: ArrayLike) -> Array:
        logit = self.log_amplitude - math.log(self.limit) + 2 * self.rate * np.asarray(time, dtype=np.float64)
        # exp of minus the absolute value never overflows; both branches are the same function
        decay = np.exp(-np.abs(logit))
        return self.limit * np.where(logit > 0, 1.0, decay) / (1 + decay)

    def time_of_fraction(self, fraction: float) -> float:
        logit = math.log(fraction) - math.log1p(-fraction)
        return (logit + math.log(self.limit) - self.log_amplitude) / (2 * self.rate)

    def loss_share(self, time: ArrayLike) -> Array:
        logit = self.log_amplitude - math.log(self.limit) + 2 * self.rate * np.asarray(time, dtype=np.float64)
        decay = np.exp(-np.abs(logit))
        left = np.where(logit > 0, decay, 1.0) / (1 + decay)  # every residual is 1 - u/u* of its label
        return np.asarray(left**2)


class SingleNeuron(MassCurve):
    """Inputs of unequal norms: the direction turns from D to the fit while u grows, so the single neuron is
    integrated, in (ln u, direction), from where u is EARLY of its limit until all residuals are FITTED of the
    largest label; before that growth is exponential, and after it u is at its limit.
    """

    EARLY = 1e-14
    FITTED = 1e-11  # ten times the integration's tolerance, whose errors the residuals would never leave

    def __init__(self, log_amplitude: float, rate: float, limit: float, x: Array, y: Array, n: int) -> None:
        """x (k, d) and |y| (k,) are the samples of the group's sign; n counts all samples."""
        super().__init__(log_amplitude, rate, limit)
        self._x, self._y, self._n = x, np.abs(y), n
        self._begin = (math.log(self.EARLY * limit) - log_amplitude) / (2 * rate)

    @cached_property
    def _solution(self) -> Any:
        from scipy.integrate import solve_ivp

        def slope(_: float, state: Array) -> Array:
            v = state[1:]
            field = (self._y - math.exp(state[0]) * (self._x @ v)) @ self._x / self._n
            growth = float(field @ v)
            return np.concatenate([[2 * growth], field - growth * v])

        def fitted(_: float, state: Array) -> float:
            residual = self._y - math.exp(state[0]) * (self._x @ state[1:])
            return float(np.abs(residual).max() / self._y.max()) - self.FITTED

        fitted.terminal = True  # type: ignore[attr-defined]
        field = self._y @ self._x
        start = np.concatenate([[math.log(self.EARLY * self.limit)], field / np.linalg.norm(field)])
        # LSODA, since unequal norms make the end stiff: a sample is fitted at a rate in proportion to ||x_k||^2
        span = (0, 1e12 / self.rate)
        return solve_ivp(slope, span, start, "LSODA", dense_output=True, events=fitted, rtol=1e-12, atol=1e-14)

    def mass(self, time: ArrayLike) -> Array:
        time = np.asarray(time, dtype=np.float64)
        elapsed = time - self._begin
        end = self._solution.t[-1]
        early = np.exp(np.minimum(self.log_amplitude + 2 * self.rate * time, math.log(self.limit)))
        later = np.exp(self._solution.sol(np.clip(elapsed, 0, end).ravel())[0]).reshape(time.shape)
        return np.where(elapsed < 0, early, np.where(elapsed > end, self.limit, later))

    def time_of_fraction(self, fraction: float) -> float:
        from scipy.optimize import brentq

        goal = math.log(fraction * self.limit)
        if fraction <= self.EARLY:
            return (goal - self.log_amplitude) / (2 * self.rate)
        goal = min(goal, self._solution.y[0, -1])
        after = int(np.argmax(self._solution.y[0] >= goal))
        bracket = self._solution.t[max(after - 1, 0)], self._solution.t[after]
        return self._begin + brentq(lambda t: self._solution.sol(t)[0] - goal, *bracket, xtol=1e-12)

    def loss_share(self, time: ArrayLike) -> Array:
        elapsed = np.asarray(time, dtype=np.float64) - self._begin
        state = self._solution.sol(np.clip(elapsed, 0, self._solution.t[-1]).ravel())
        residual = self._y[:, None] - np.exp(state[0]) * (self._x @ state[1:])
        share = (residual**2).sum(axis=0) / (self._y @ self._y)
        return np.asarray(np.where(elapsed < 0, 1.0, share.reshape(elapsed.shape)))
