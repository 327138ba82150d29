"""The flow's coordinates: pre-activations and output weight of each neuron, with its size carried as a logarithm.

Neuron j is e^{log_scale_j} (z_j, a_j): the flow is linear and homogeneous in a neuron, closes in (z, a) through the
Gram matrix G = x x^T, and so lambda enters through log_scale alone. The part of w_j outside the span of the inputs
never moves; the part inside is x^+ z_j.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.data import TrainingSet
from gfflow.neurons import Neurons, row_norms
from gfflow.solvers.flow.gates import OFF, ON

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


def problem_of_tensors(training_set: TrainingSet, tensors: dict[str, torch.Tensor]) -> Problem:
    """The problem of a training set and what Problem.tensors gave."""
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
    """The flow's coordinates of a start."""
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
    """The weights of a state. Balanced neurons come out balanced to one rounding, and a gate that is off and held at
    zero is not on by rounding."""
    scale = np.exp(state.log_scale)
    inside = state.z @ problem.inverse.T
    w = problem.outside + scale[:, None] * inside
    held = (state.gate == OFF) & (state.z == 0)
    _close(w, problem, held)
    hidden = torch.from_numpy(w)
    a = problem.signs * row_norms(hidden).numpy() if problem.balanced else scale * state.a
    return Neurons(hidden, torch.from_numpy(a))


def _close(w: Array, problem: Problem, held: Any) -> None:
    """Moves w, in place, by a few roundings where a held gate would read as on."""
    for _ in range(3):
        z = w @ problem.x.T
        j, k = np.nonzero(held & (z > 0))
        if not len(j):
            return
        size = np.abs(w[j]).max(axis=1) * problem.sizes[k]
        excess = z[j, k] + 4 * np.finfo(float).eps * size
        np.subtract.at(w, j, (excess / problem.sizes[k] ** 2)[:, None] * problem.x[k])
