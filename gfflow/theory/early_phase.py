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
ROUNDING = 1e-12  # of a drift, against ||D|| ||x_k||
VANISHING = 1e-9  # of the growing mode against the shrinking one, where only rounding is left of the former
STRIDE = 3.0  # the largest ||D|| t in one motion: rounding grows by e^6, which stays below VANISHING
STRIDES = 2000
COSTLY = 5e7  # m n^2 up to which all neurons are followed within seconds
SAME = 1e-7  # distance below which two directions are one


@dataclass(frozen=True, eq=False)
class EarlyPhase:
    """The directions that the neurons of a start go to while the network is small, those of most neurons first.

    `index` is -1 for a neuron that shrinks for ever, rests with no sample pulling at it, or has not come to its
    direction within STRIDES motions.
    """

    directions: Tensor  # (k, d), unit
    signs: Tensor  # (k,), of a_j there
    rates: Tensor  # (k,), ||D||, at which neurons there grow
    index: Tensor  # (m,), which of the directions each neuron goes to, or -1
    log_amplitudes: Tensor  # (m,), ln(||w_j(t)|| e^{-rate t}) as t grows; -inf for index -1

    def cosines(self, neurons: Neurons) -> Tensor:
        """cos(w_j, direction of neuron j), shape (m,); NaN for a neuron without a direction."""
        assigned = self.index >= 0
        cosines = torch.full(self.index.shape, torch.nan, dtype=neurons.w.dtype)
        targets = self.directions[self.index[assigned]]
        cosines[assigned] = (neurons.directions[assigned] * targets).sum(dim=1)
        return cosines


def takes_seconds(n: int, m: int) -> bool:
    """Whether `solve_early_phase` of m neurons on n samples takes seconds, not minutes; its cost is about m n^2."""
    return m * n**2 <= COSTLY


def solve_early_phase(training_set: TrainingSet, start: Neurons) -> EarlyPhase:
    """Follows every neuron of the start, balanced or not, with the residual frozen at the labels.

    Its size plays no part but in the log-amplitudes: this is the limit of a small start, on any data. Where more
    gates meet than in general position, as on a lattice of inputs, a neuron that comes to several of them at once may
    be led to a neighbouring direction, or held in one that is not stable.
    """
    from gfflow.motion.frozen_residual import move  # numba is imported only when it is needed

    x, c = _merged(training_set)
    gram, lengths = x @ x.T, np.ones(len(c))
    scale = torch.maximum(start.norms, start.a.abs())
    scale = scale.where(scale > 0, 1.0)
    w, a = (start.w / scale[:, None]).numpy(), (start.a / scale).numpy()
    balanced = bool((np.abs(a**2 - (w**2).sum(axis=1)) <= ROUNDING).all())
    z, log_scale = w @ x.T, scale.log().numpy()
    gate = (z > 0).astype(np.int8)
    fastest = float(np.linalg.norm(x, 2) * np.linalg.norm(c))  # no ||D|| is larger
    stride, counts = STRIDE / fastest if fastest > 0 else 0.0, np.zeros(3, np.int64)
    drawn, rates, amplitudes = np.zeros_like(w), np.zeros(len(a)), np.full(len(a), -np.inf)
    going = np.arange(len(a))
    for i in range(STRIDES):
        moved = z[going], a[going], gate[going], log_scale[going]
        # the first motion has no length: it only makes gates at zero agree with their drifts
        move(*moved, stride * (i > 0), c, gram, lengths, balanced, counts)
        z[going], a[going], gate[going], log_scale[going] = moved
        rate, drive, mode, over = _outlook(*moved[:3], x, gram, c)
        grows = over & (mode != 0)
        done = going[grows]
        drawn[done], rates[done] = np.sign(mode[grows])[:, None] * drive[grows], rate[grows]
        amplitudes[done] = np.log(np.abs(mode[grows])) + log_scale[done] - rate[grows] * stride * i
        going = going[~over]
        if not len(going):
            break
    return _assigned(drawn, rates, np.sign(a), amplitudes)


def _merged(training_set: TrainingSet) -> tuple[Array, Array]:
    """Inputs of length one (n', d), those of one direction counted once since they share their gate, and the force c
    (n',) with which each pulls: D(w) = sum_k c_k x_k over the open gates."""
    unit = (training_set.x / training_set.norms[:, None]).numpy()
    force = (training_set.y * training_set.norms / training_set.n).numpy()
    _, first, place = np.unique(unit.round(13), axis=0, return_index=True, return_inverse=True)
    return unit[first], np.asarray(np.bincount(place.ravel(), force), dtype=np.float64)


def _outlook(
    z: Array, a: Array, gate: NDArray[np.int8], x: Array, gram: Array, c: Array
) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """For each of m neurons ||D||, D/||D|| (m, d), the growing mode (a + p)/2 (Eq. 28), and whether no gate changes
    any more; then the mode is 0 for a neuron that rests or shrinks for ever."""
    from gfflow.motion.gates import ON, SLIDING, on_coefficients, project

    b, n = np.empty_like(z), len(c)
    on_coefficients(gate, c, b)
    drift, index, factor = b @ gram, np.empty(n, np.int64), np.empty((n, n))
    for j in range(len(a)):
        project(gate[j], gram, drift[j], b[j], index, factor)
    d = b @ x
    rate = np.linalg.norm(d, axis=1)
    rests = rate <= ROUNDING * np.abs(c).sum()
    rate = np.where(rests, 1.0, rate)
    p = (b * z).sum(axis=1) / rate
    rests |= np.abs(a + p) <= VANISHING * np.abs(a - p)
    least = ROUNDING * rate[:, None]
    turned = np.sign(a)[:, None] * drift
    agree = np.where(gate == ON, turned >= -least, turned <= least)
    within = (b * np.sign(c) >= -ROUNDING * np.abs(c)) & (np.abs(b) <= (1 + ROUNDING) * np.abs(c))
    stays = np.where(gate == SLIDING, within, agree).all(axis=1)
    mode = np.where(rests, 0.0, (a + p) / 2)
    return rate, d / rate[:, None], mode, rests | (stays & ((a + p) * a > 0))


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
