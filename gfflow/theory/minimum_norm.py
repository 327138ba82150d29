"""The least 1/2 ||theta||^2 of any network that fits the labels, on any data: a convex program (extra `convex`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.errors import InvalidInput
from gfflow.model.activations import RELU, leaky_relu
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.motion.field import escape
from gfflow.motion.patterns import listed_patterns, sampled_patterns

Array = NDArray[np.float64]
TOLERANCE = 1e-12  # of Clarabel, relative and absolute
POLISHING = 6  # rounds: each squares the error, or a gate is crossed and they end
NEGLIGIBLE = 1e-7  # share of the norm below which the program's neurons are its rounding


@dataclass(frozen=True, eq=False)
class MinimumNorm:
    """The minimum lies between `lower` and `upper`, up to the residual; `exact` if all patterns were listed.

    Where they were not, `upper` is the value over sampled patterns alone, and there is no lower bound (None).
    """

    upper: float  # 1/2 ||theta||^2 of `neurons`
    lower: float | None  # of the dual, scaled until it is feasible
    exact: bool
    neurons: Neurons  # a network that has the upper bound
    residual: float  # max_k |y_k - h(x_k)| of it; of margins what the least of them lacks to 1


def minimum_norm(training_set: TrainingSet, negative_slope: float = 0.0) -> MinimumNorm:
    """Solves min sum ||v_i|| + ||u_i|| over patterns i subject to sum A_i X (v_i - u_i) = y, each v_i and u_i in the
    cone of its pattern (Pilanci and Ergen 2020), with Clarabel.

    Of a classification loss it is the max-margin problem instead, y_k h(x_k) >= 1 for all k: the largest normalized
    margin is 1 over twice the minimum. A leaky ReLU of slope `negative_slope` has A_i + slope (1 - A_i) for A_i; no
    lower bound is then computed.

    Its dual is max <c, y> subject to |sum_k c_k relu(<w, x_k>)| <= 1 for every unit w: the multipliers divided by the
    exact maximum of the left side bound the minimum from below. Raises InvalidInput where the extra `convex` is not
    installed, and where no network (of the sampled patterns, if they are not all
    listed) fits the labels.
    """
    cp = _cvxpy()
    x, y = training_set.x.numpy(), training_set.y.numpy()
    patterns = listed_patterns(x)
    exact = patterns is not None
    patterns = sampled_patterns(x) if patterns is None else patterns
    gates = patterns[patterns.any(axis=1) | (negative_slope > 0)].astype(np.float64)
    weights = gates + negative_slope * (1 - gates)
    margins = training_set.loss.is_classification
    v, u = cp.Variable((len(gates), x.shape[1])), cp.Variable((len(gates), x.shape[1]))
    z = [cp.multiply(2 * gates - 1, part @ x.T) for part in (v, u)]  # where z >= 0, A_i X v_i is gates * z
    h = cp.sum(cp.multiply(weights, (v - u) @ x.T), axis=0)
    fits = cp.multiply(y, h) >= 1 if margins else h == y
    norm = cp.sum(cp.norm(v, axis=1)) + cp.sum(cp.norm(u, axis=1))
    problem = cp.Problem(cp.Minimize(norm), [fits, z[0] >= 0, z[1] >= 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 'may be inaccurate': the residual and the bounds say how much
        problem.solve(solver=cp.CLARABEL, tol_gap_abs=TOLERANCE, tol_gap_rel=TOLERANCE, tol_feas=TOLERANCE)
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise InvalidInput("data", f"labels that no network fits ({problem.status})", "inputs that allow every label")
    rows, signs = _heavy(np.concatenate([v.value, u.value]), np.repeat([1, -1], len(gates)))
    if not margins and negative_slope == 0:
        rows, signs = _polished(x, y, rows, signs)
    neurons = replace(_network(rows, signs), activation=leaky_relu(negative_slope) if negative_slope else RELU)
    outputs = neurons.outputs(training_set.x)
    if margins:  # divided by the least margin, so that it has no error
        root = float((training_set.y * outputs).min().clamp(min=1e-300)) ** 0.5
        neurons = replace(neurons, w=neurons.w / root, a=neurons.a / root)
        outputs = outputs / root**2
    short = 1 - training_set.y * outputs if margins else (training_set.y - outputs).abs()
    multipliers = y * np.abs(fits.dual_value) if margins else fits.dual_value
    return MinimumNorm(
        upper=neurons.half_norm_squared,
        lower=_dual_bound(x, y, multipliers) if exact and negative_slope == 0 else None,
        exact=exact,
        neurons=neurons,
        residual=float(short.max()),
    )


def installed() -> bool:
    """Whether the extra `convex` is there."""
    return find_spec("cvxpy") is not None and find_spec("clarabel") is not None


def _cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError:
        raise InvalidInput("minimum norm", "no cvxpy", "pip install -e '.[convex]'") from None
    return cvxpy


def _heavy(v: Array, signs: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """The rows of v, with their signs, that are not the program's rounding."""
    lengths = np.linalg.norm(v, axis=1)
    kept = lengths > NEGLIGIBLE * lengths.sum()
    return v[kept], signs[kept]


def _polished(x: Array, y: Array, v: Array, signs: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """v moved as little as possible to where the network fits the labels to rounding: what the program misses them by
    would make its norm too small for an upper bound. As given where moving does not help."""
    best, missed = v, np.inf
    for _ in range(POLISHING):
        gates = v @ x.T > 0
        rest = y - (gates * (v @ x.T)).T @ signs
        if np.abs(rest).max() >= missed:
            break
        best, missed = v, float(np.abs(rest).max())
        columns = ((signs[:, None] * gates).T[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        v = v + np.linalg.lstsq(columns, rest, rcond=1e-12)[0].reshape(v.shape)
    return best, signs


def _network(v: Array, signs: NDArray[np.int64]) -> Neurons:
    """Balanced neurons w = v/sqrt(||v||), a = +-sqrt(||v||) for each row of v."""
    roots = np.sqrt(np.linalg.norm(v, axis=1))
    return Neurons(torch.from_numpy(v / roots[:, None]), torch.from_numpy(signs * roots))


def _dual_bound(x: Array, y: Array, multipliers: Array) -> float:
    """|<c, y>| over the maximum of |sum_k c_k relu(<w, x_k>)|: a lower bound whatever the multipliers c are."""
    return abs(float(multipliers @ y)) / (len(y) * escape(x, multipliers).rate)
