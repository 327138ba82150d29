"""The flow's coordinates of a network, and the way in and out.

A neuron is e^{rho} (v, a) of order one, v in an orthonormal basis of the span of the inputs: the flow is linear and
homogeneous in a neuron, so lambda enters through rho alone. The part of w outside the span never moves; its length is
one more coordinate of v, its direction is kept beside. A balanced neuron has |a| = ||w|| by construction, and a
neuron on gates lies in their orthogonal complement: no step has to conserve what the coordinates cannot break.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.compiled import compiled
from gfflow.errors import InvalidInput, Stalled
from gfflow.model.activations import RELU, leaky_relu
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons, row_norms
from gfflow.motion.gates import HELD, OFF, ON, Gates, arrangement, keys_of
from gfflow.motion.state import Start, State
from gfflow.motion.target import Target

Array = NDArray[np.float64]
ORTHOGONAL = 1e-14  # cosines below this are rounding, and are taken to be 0: a closed gate then stays closed
BALANCED = 1e-12  # relative difference of |a_j| and ||w_j|| that is rounding
ON_GATE = 1e-14  # cosine of w and x_k below which a neuron is on the gate
SUBNORMAL = 1e-305  # a size below which float64 weights lose digits
EPS = float(np.finfo(np.float64).eps)
LOST = 1e-6  # by which a closed gate may read open: more is no rounding


@dataclass(frozen=True, eq=False)
class Problem:
    """What a start and its training set fix for the whole run."""

    x: Array  # (n, d)
    y: Array  # (N,), the residuals at h = 0: the labels of the square loss
    gram: Array  # (N, N), exactly diagonal for orthogonal inputs of a ReLU network
    basis: Array  # (d, q), orthonormal, of the span of the inputs
    gates: Gates
    outside: Array  # (m, d), unit: the direction of the part of w outside the span of the inputs
    rest: Array  # (m,), the output weights of neurons with w = 0, which never move
    start: Start
    target: Target

    @property
    def n(self) -> int:
        """N: how many inputs pull, twice as many for a leaky ReLU as there are samples (motion/target.py)."""
        return len(self.y)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the training set does not tell, as plain tensors, for a checkpoint."""
        slope = np.array(self.target.slope)
        values = {"outside": self.outside, "rest": self.rest, "slope": slope, **self.start._asdict()}
        return {name: torch.from_numpy(value.copy()) for name, value in values.items()}


def to_tensors(state: State) -> dict[str, torch.Tensor]:
    """The state as plain tensors, for a checkpoint."""
    return {name: torch.from_numpy(value.copy()) for name, value in state._asdict().items()}


def of_tensors(tensors: dict[str, torch.Tensor]) -> State:
    """Takes back what to_tensors gave."""
    return State(**{name: value.cpu().numpy().copy() for name, value in tensors.items()})


def merged(training_set: TrainingSet) -> TrainingSet:
    """The training set with the same flow in which samples that are positive multiples of each other are one.

    Such samples s_k v share every gate, and pull by sum_k (y_k - s_k h(v)) s_k v = S (q - h(v)) v with S = sum_k
    s_k^2, q = sum_k s_k y_k / S, as the one sample sqrt(S) v with the label sqrt(S) q does; another factor makes up
    for the smaller n of the mean. With another loss than the square all samples stay.
    """
    if not training_set.loss.is_square:
        return training_set
    x, y, norms = training_set.x, training_set.y, training_set.norms
    directions = x / norms[:, None]
    near = directions @ directions.T > 1 - 1e-12
    if int(near.sum()) == training_set.n:
        return training_set
    groups: list[list[int]] = []
    for k in range(training_set.n):
        first = next((g for g in groups if near[k, g[0]] and _same(directions[k], directions[g[0]])), None)
        if first is None:
            groups.append([k])
        else:
            first.append(k)
    share = len(groups) / training_set.n
    rows, labels = [], []
    for group in groups:
        weight = norms[group].square().sum()
        rows.append((share * weight).sqrt() * directions[group[0]])
        labels.append((share / weight).sqrt() * (norms[group] * y[group]).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels may cancel to 0
        return TrainingSet(torch.stack(rows), torch.stack(labels))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return float((one - other).abs().max()) <= 4 * torch.finfo(one.dtype).eps


def spanned(training_set: TrainingSet) -> tuple[Array, Array, Array]:
    """An orthonormal basis (d, q) of the span of the inputs, the inputs (n, q) in it and their Gram matrix; all exact
    for orthogonal inputs, and the inputs themselves where they span all of R^d."""
    x = training_set.x.numpy()
    n, d = x.shape
    if training_set.orthogonality_defect <= ORTHOGONAL:
        lengths = training_set.norms.numpy()
        return (x / lengths[:, None]).T.copy(), np.diag(lengths), np.diag(lengths**2)
    gram, rank = training_set.gram.numpy().copy(), int(np.linalg.matrix_rank(x))
    if rank == d:
        return np.eye(d), x.copy(), gram
    if rank == n:
        basis, triangle = np.linalg.qr(x.T)
        return basis, triangle.T.copy(), gram
    basis = np.linalg.svd(x, full_matrices=False)[2][:rank].T.copy()
    return basis, x @ basis, gram


def problem_of(
    training_set: TrainingSet, outside: Array, rest: Array, start: Start, negative_slope: float = 0.0
) -> Problem:
    """The problem of a merged training set and what stays of the start, for an activation of that slope below 0."""
    basis, inputs, gram = spanned(training_set)
    rank = basis.shape[1]
    x, y = training_set.x.numpy(), training_set.pulls.numpy()
    loss, labels = training_set.loss, np.ascontiguousarray(training_set.y.numpy())
    target = Target(loss.is_square and negative_slope == 0, loss.code or 0, negative_slope, labels)
    if negative_slope != 0:
        inputs, y = np.vstack([inputs, -inputs]), 2 * np.concatenate([y, -negative_slope * y])
        gram = np.block([[gram, -gram], [-gram, gram]])
    if np.isfinite(start.beside).any():
        inputs = np.column_stack([inputs, np.zeros(len(inputs))])
    y, gram = (np.ascontiguousarray(values) for values in (y, gram))  # compiled once, for one layout
    return Problem(x, y, gram, basis, arrangement(inputs, rank), outside, rest, start, target)


def problem_of_tensors(training_set: TrainingSet, tensors: dict[str, torch.Tensor]) -> Problem:
    """The problem of a merged training set and what Problem.tensors gave."""
    values = {name: value.cpu().numpy().copy() for name, value in tensors.items()}
    outside, rest, slope = (values.pop(name) for name in ("outside", "rest", "slope"))
    return problem_of(training_set, outside, rest, Start(**values), float(slope))


def enter(training_set: TrainingSet, neurons: Neurons, log_factors: Array | None = None) -> tuple[Problem, State]:
    """The flow's coordinates of neurons on a merged training set, each first multiplied by e^{log_factors_j}.

    So neurons may be smaller than any float64: with a logarithm of -1e6, say, they are passive, that is they move in
    the field of the others and do not act on them.
    """
    if neurons.w.shape[1] != training_set.d:
        raise InvalidInput("start", f"weights of {neurons.w.shape[1]} inputs", f"weights of {training_set.d}")
    norms, a = neurons.norms.numpy(), neurons.a.numpy()
    still = norms == 0
    scale = np.where(still, 1.0, np.maximum(norms, np.abs(a)))
    w = neurons.w.numpy() / scale[:, None]
    a, lengths = np.where(still, 0.0, a / scale), norms / scale
    imbalance = a**2 - lengths**2
    balanced = np.abs(imbalance) <= BALANCED
    imbalance[balanced] = 0.0
    rho = np.log(scale) + (0.0 if log_factors is None else log_factors)
    basis = spanned(training_set)[0]
    v = w @ basis
    outside = w - v @ basis.T if basis.shape[1] < w.shape[1] else np.zeros_like(w)
    length = np.linalg.norm(outside, axis=1)
    outside[length <= 4 * np.finfo(float).eps * lengths] = 0.0
    length = np.linalg.norm(outside, axis=1)
    with np.errstate(divide="ignore"):
        start = Start(imbalance, rho.copy(), np.log(length) + rho)
    outside /= np.where(length > 0, length, 1.0)[:, None]
    rest = np.where(still, neurons.a.numpy(), 0.0)
    problem = problem_of(training_set, outside, rest, start, neurons.activation.slope)
    if problem.gates.normal.shape[1] > basis.shape[1]:
        v = np.column_stack([v, length])
    size = np.linalg.norm(v, axis=1)
    v[balanced & ~still] /= size[balanced & ~still, None]
    a = np.where(balanced, np.sign(a), a)
    plus = problem.gates.side > 0
    # one sample along the normal of each gate: it comes before all others of the gate, so it is none of -x_k
    first = np.flatnonzero(plus)[np.unique(problem.gates.gate[plus], return_index=True)[1]]
    cosine = (neurons.directions.numpy() @ problem.x[first].T) / np.linalg.norm(problem.x[first], axis=1)
    gate = np.where(np.abs(cosine) <= ON_GATE, HELD, np.where(cosine > 0, ON, OFF)).astype(np.int8)
    m = len(a)
    parts = (v, a, rho, gate, np.zeros(v.shape), np.full(m, np.nan), np.zeros(m), keys_of(problem.gates, gate, a))
    return problem, State(*(np.ascontiguousarray(part) for part in parts))


def log_norms(state: State) -> Array:
    """ln ||w_j||, shape (m,), which may be far below what float64 weights can be; -inf for w_j = 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(state.rho + np.log(np.linalg.norm(state.v, axis=1)))


def directions(problem: Problem, state: State) -> Array:
    """w_j / ||w_j||, shape (m, d); zero for w_j = 0."""
    rank = problem.gates.rank
    w = state.v[:, :rank] @ problem.basis.T
    if state.v.shape[1] > rank:
        w += problem.outside * state.v[:, rank, None]
    size = np.linalg.norm(w, axis=1)
    return np.asarray(w / np.where(size > 0, size, 1.0)[:, None])


def leave(problem: Problem, state: State) -> Neurons:
    """The weights of a state, balanced neurons balanced to one rounding, and no gate that is off on by rounding.

    Raises Stalled where a gate that is off reads on by more than rounding: the state has lost its digits.
    """
    scale, beside = np.exp(state.rho)[:, None], np.exp(problem.start.beside)[:, None]
    w = torch.from_numpy(beside * problem.outside + (scale * state.v[:, : problem.gates.rank]) @ problem.basis.T)
    z = w @ torch.from_numpy(problem.x).T
    if not _close(problem.gates, state.gate, problem.x, z.numpy(), w.numpy()):
        raise Stalled("the flow's state has lost its digits: a closed gate reads open")
    balanced = problem.start.imbalance == 0
    a = np.where(balanced, state.a * row_norms(w).numpy(), scale[:, 0] * state.a) + problem.rest
    slope = problem.target.slope
    return Neurons(w, torch.from_numpy(a), leaky_relu(slope) if slope else RELU)


@compiled
def _close(gates, states, x, z, w):  # type: ignore[no-untyped-def]
    """Moves w (m, d), in place, by a few roundings along x_k where a gate that is off reads z_jk = <w_j, x_k> > 0, of
    which z (m, n) are the values at first. False where one reads on by more than rounding."""
    (m, n), d = z.shape, w.shape[1]
    squares, push = np.zeros(n), np.empty(d)
    for k in range(n):
        for i in range(d):
            squares[k] += x[k, i] ** 2
    for j in range(m):
        for again in range(3):  # one suffices on orthogonal inputs; on others a correction may disturb the next gate
            largest, square, found, lost = 0.0, 0.0, False, False
            for i in range(d):
                largest, push[i] = max(largest, abs(w[j, i])), 0.0
            for i in range(d):
                square += (w[j, i] / largest) ** 2 if largest > 0 else 0.0
            norm = largest * np.sqrt(square)
            for k in range(n):
                value, size = z[j, k], norm * np.sqrt(squares[k])
                if again > 0:
                    value = 2 * EPS * size  # so far off that it reads off in whatever order its terms are summed
                    for i in range(d):
                        value += w[j, i] * x[k, i]
                # of a leaky ReLU's inputs those of the samples: both sides of a gate cannot be off
                if not (value > 0 and states[j, gates.gate[k]] != (ON if gates.side[k] > 0 else OFF)):
                    continue
                found, lost = True, lost or value > LOST * size
                for i in range(d):
                    push[i] += (value + 8 * EPS * size) / squares[k] * x[k, i]
            if not found:
                break
            if lost and norm >= SUBNORMAL:
                return False
            for i in range(d):
                # numbers that small have no digits for a direction
                w[j, i] = 0.0 if lost else w[j, i] - push[i]
    return True
