"""The early phase on any data: which neuron goes to which extremal direction while the network is small.

With the residual frozen at the labels every neuron moves alone (Eq. 10), and is followed exactly through its gate
changes and along the gates on which it slides. Once every gate agrees with the field that the gates themselves make,
<s D, x_k> >= 0 where gate k is open and <= 0 where it is closed, no gate changes any more: from there on w grows
along s D, which is the extremal direction, and no further motion is needed to know it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons

Array = NDArray[np.float64]
DOUBLINGS = 100  # of the time, from the shortest in which something can happen
COSTLY = 5e7  # m n^2 up to which all neurons are followed within seconds
SMALL = 0.99  # of the loss at the start, above which the network counts as small
SAME = 1e-7  # distance below which two directions are one


@dataclass(frozen=True, eq=False)
class EarlyPhase:
    """The directions that the neurons of a start go to while the network is small, those of most neurons first.

    `index` is -1 for a neuron that shrinks for ever, rests with no sample pulling at it, or has not come to its
    direction after DOUBLINGS of the time.
    """

    directions: Tensor  # (k, d), unit
    signs: Tensor  # (k,), of a_j there
    rates: Tensor  # (k,), ||D||, at which neurons there grow
    index: Tensor  # (m,), which of the directions each neuron goes to, or -1
    log_amplitudes: Tensor  # (m,), ln(||w_j(t)|| e^{-rate t}) as t grows; -inf for index -1

    def cosines(self, neurons: Neurons) -> Tensor:
        """cos(w_j, direction of neuron j), shape (..., m); NaN for a neuron without a direction."""
        if not len(self.directions):
            return torch.full_like(neurons.a, torch.nan)
        targets = self.directions[self.index.clamp(min=0)]
        return (neurons.directions * targets).sum(dim=-1).masked_fill(self.index < 0, torch.nan)


def early_phase_known(training_set: TrainingSet, start: Neurons) -> bool:
    """Whether `solve_early_phase` knows the motion: both layers trained, one of the library's losses, and the ReLU or
    the leaky ReLU with the usual derivative at 0."""
    return start.frozen is None and start.activation.is_usual and training_set.loss.code is not None


def takes_seconds(n: int, m: int) -> bool:
    """Whether `solve_early_phase` of m neurons on n samples takes seconds, not minutes; its cost is about m n^2."""
    return m * n**2 <= COSTLY


def solve_early_phase(training_set: TrainingSet, start: Neurons) -> EarlyPhase:
    """Follows every neuron of the start, balanced or not, with the residual frozen at the labels (of the square loss;
    y/2 for the logistic one). Directions of a leaky ReLU are those of gates that weigh 1 and its slope.

    Its size plays no part but in the log-amplitudes: this is the limit of a small start, on any data. Where more
    gates meet than in general position, as on a lattice of inputs, a neuron that comes to several of them at once may
    be led to a neighbouring direction, or held in one that is not stable.
    """
    from gfflow.motion.flow.coordinates import enter, merged  # numba is imported only when it is needed
    from gfflow.motion.frozen_residual import move
    from gfflow.motion.outlook import GROWS, TURNS, look_out, new_outlook
    from gfflow.motion.state import new_room, of_neurons

    problem, state = enter(merged(training_set), start)
    r, m, gates = problem.y, len(start.a), problem.gates
    fastest = float(np.abs(r) @ gates.length) / problem.n  # no ||D|| is larger
    drawn, rates, amplitudes, signs = np.zeros((m, start.w.shape[1])), np.zeros(m), np.full(m, -np.inf), np.zeros(m)
    going, time = np.arange(m), 0.0
    duration = 0.0  # the first motion only makes gates at zero agree with their drifts
    for _ in range(DOUBLINGS if fastest > 0 else 0):
        part, still = of_neurons(state, going), of_neurons(problem.start, going)
        room, out = new_room(gates, len(going)), new_outlook(part)
        move(gates, part, duration, r, still, 0.0, room)
        time += duration
        look_out(gates, part, r, still, room, out)
        grows = out.fate == GROWS
        done = going[grows]
        drawn[done] = out.direction[grows, : gates.rank] @ problem.basis.T
        rates[done], signs[done] = out.rate[grows], np.sign(part.a[grows])
        amplitudes[done] = out.mode[grows] - rates[done] * time
        for whole, piece in zip(state, part, strict=True):
            whole[going] = piece
        going = going[out.fate == TURNS]
        if not len(going):
            break
        duration = max(2.0 * duration, 1.0 / fastest)
    return _assigned(drawn, rates, signs, amplitudes)


def _assigned(drawn: Array, rates: Array, signs: Array, amplitudes: Array) -> EarlyPhase:
    """Neurons whose directions (m, d) agree share one, which is of one sign only; an amplitude of -inf is none."""
    leaders: list[int] = []
    index = np.full(len(drawn), -1)
    for j in np.flatnonzero(np.isfinite(amplitudes)):
        distances = np.linalg.norm(drawn[leaders] - drawn[j], axis=1)
        same = np.flatnonzero(distances <= SAME)
        index[j] = same[0] if len(same) else len(leaders)
        if not len(same):
            leaders.append(int(j))
    order = np.argsort(-np.bincount(index[index >= 0], minlength=len(leaders)), kind="stable")
    rank = np.append(np.argsort(order), -1)
    chosen = np.array(leaders, dtype=np.int64)[order]
    values = (drawn[chosen], signs[chosen], rates[chosen], rank[index], amplitudes)
    return EarlyPhase(*(torch.from_numpy(value) for value in values))
