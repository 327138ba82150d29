"""The flow's coordinates: pre-activations and output weight of each neuron, with its size carried as a logarithm.

Neuron j is e^{log_scale_j} (z_j, a_j): the flow is linear and homogeneous in a neuron, closes in (z, a) through the
Gram matrix G = x x^T, and so lambda enters through log_scale alone. The part of w_j outside the span of the inputs
never moves; the part inside is x^+ z_j.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons, row_norms
from gfflow.motion.gates import OFF, ON

Array = NDArray[np.float64]
ORTHOGONAL = 1e-14  # cosines below this are rounding, and are taken to be 0: a closed gate then stays closed
BALANCED = 1e-12  # relative difference of |a_j| and ||w_j|| that is rounding


@dataclass(frozen=True, eq=False)
class State:
    """All neurons: z (m, n), a (m,), log_scale (m,) and the gates' states (m, n)."""

    z: Array
    a: Array
    log_scale: Array
    gate: NDArray[np.int8]

    def copy(self) -> State:
        return State(self.z.copy(), self.a.copy(), self.log_scale.copy(), self.gate.copy())

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as plain tensors, for a checkpoint."""
        return {name: torch.from_numpy(value.copy()) for name, value in vars(self).items()}

    @classmethod
    def of_tensors(cls, tensors: dict[str, torch.Tensor]) -> State:
        return cls(**{name: value.cpu().numpy().copy() for name, value in tensors.items()})


@dataclass(frozen=True, eq=False)
class Problem:
    """What a start and its training set fix for the whole run."""

    y: Array  # (n,)
    x: Array  # (n, d)
    gram: Array  # (n, n), exactly diagonal for orthogonal inputs
    sizes: Array  # (n,), ||x_k||
    inverse: Array  # (d, n), the pseudo-inverse of x
    outside: Array  # (m, d), the part of w outside the span of the inputs, which does not move
    signs: Array  # (m,), sign(a_j) at the start
    imbalance: Array  # (m,), (a_j^2 - ||w_j||^2) e^{-2 start_scale_j}: conserved; 0 for a balanced start
    start_scale: Array  # (m,), log_scale at the start

    @property
    def n(self) -> int:
        return len(self.y)

    @property
    def balanced(self) -> bool:
        return not self.imbalance.any()

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the training set does not tell, as plain tensors, for a checkpoint."""
        names = ("outside", "signs", "imbalance", "start_scale")
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in names}


def merged(training_set: TrainingSet) -> TrainingSet:
    """The training set with the same flow in which samples that are positive multiples of each other are one.

    Such samples s_k v share every gate, and two gates that reach zero together cannot be told apart by the drift of
    each. They pull by sum_k (y_k - s_k h(v)) s_k v = S (q - h(v)) v with S = sum_k s_k^2, q = sum_k s_k y_k / S, as
    the one sample sqrt(S) v with the label sqrt(S) q does; another factor makes up for the smaller n of the mean.
    """
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


def problem_of_tensors(training_set: TrainingSet, tensors: dict[str, torch.Tensor]) -> Problem:
    """The problem of a merged training set and what Problem.tensors gave."""
    gram, inverse, _ = _geometry(training_set)
    x, y, sizes = (v.numpy() for v in (training_set.x, training_set.y, training_set.norms))
    return Problem(y, x, gram, sizes, inverse, **{name: value.cpu().numpy() for name, value in tensors.items()})


def _geometry(training_set: TrainingSet) -> tuple[Array, Array, int]:
    """The Gram matrix, the pseudo-inverse of x and its rank; exactly diagonal and exact for orthogonal inputs."""
    x, gram = training_set.x.numpy(), training_set.gram.numpy().copy()
    if training_set.orthogonality_defect <= ORTHOGONAL:
        squares = np.diag(gram).copy()
        return np.diag(squares), (x / squares[:, None]).T.copy(), training_set.n
    return gram, np.linalg.pinv(x), int(np.linalg.matrix_rank(x))


def enter(training_set: TrainingSet, start: Neurons) -> tuple[Problem, State]:
    """The flow's coordinates of a start on a merged training set."""
    x = training_set.x.numpy()
    _, inverse, rank = _geometry(training_set)
    scale = torch.maximum(start.norms, start.a.abs()).numpy()
    scale = np.where(scale > 0, scale, 1.0)
    v, a = start.w.numpy() / scale[:, None], start.a.numpy() / scale
    z = v @ x.T
    imbalance = a**2 - (start.norms.numpy() / scale) ** 2
    if (np.abs(imbalance) <= BALANCED).all():
        imbalance = np.zeros_like(a)
    fixed = {
        "outside": (v - z @ inverse.T) * scale[:, None] if rank < x.shape[1] else np.zeros_like(v),
        "signs": np.sign(a),
        "imbalance": imbalance,
        "start_scale": np.log(scale),
    }
    problem = problem_of_tensors(training_set, {name: torch.from_numpy(value) for name, value in fixed.items()})
    gate = np.where(z > 0, ON, OFF).astype(np.int8)
    return problem, State(z, a, np.log(scale), gate)


def leave(problem: Problem, state: State) -> Neurons:
    """The weights of a state. Balanced neurons come out balanced to one rounding, and no gate that is off is on by
    rounding."""
    scale = np.exp(state.log_scale)
    w = torch.from_numpy(problem.outside + scale[:, None] * (state.z @ problem.inverse.T))
    _close(w, torch.from_numpy(problem.x), torch.from_numpy(state.gate == OFF))
    a = problem.signs * row_norms(w).numpy() if problem.balanced else scale * state.a
    return Neurons(w, torch.from_numpy(a))


def _close(w: torch.Tensor, x: torch.Tensor, off: torch.Tensor) -> None:
    """Moves w (m, d), in place, by a few roundings along x_k where a gate that is off reads <w_j, x_k> > 0."""
    squares = x.square().sum(1)
    for _ in range(3):  # one suffices on orthogonal inputs; on others a correction may disturb the next gate
        z = w @ x.T
        excess = z + 8 * torch.finfo(w.dtype).eps * (row_norms(w)[:, None] * squares.sqrt())
        excess = torch.where(off & (z > 0), excess / squares, 0.0)
        if not bool(excess.any()):
            return
        w -= excess @ x
