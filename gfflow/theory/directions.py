"""Directions, cones and assumptions: what the data and the start say before anything moves (Sections 2 and 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons

ORTHOGONAL = 1e-12  # relative size of <x_k, x_l> up to which inputs count as orthogonal in float64
EQUAL = 1e-12  # relative difference up to which two norms count as equal


@lru_cache(maxsize=1)  # many starts on one training set
def attractors(training_set: TrainingSet) -> tuple[Tensor, Tensor]:
    """D+ = (1/n) sum_{y_k > 0} y_k x_k and D- = (1/n) sum_{y_k < 0} y_k x_k, each of shape (d,); for a loss other
    than the square with its residuals at h = 0 in place of the labels.

    Neurons with a_j > 0 are drawn to D+, those with a_j < 0 to -D- (Section 4.1).
    """
    x, y = training_set.x, training_set.pulls
    return y.clamp(min=0) @ x / training_set.n, y.clamp(max=0) @ x / training_set.n


def cones(training_set: TrainingSet, start: Neurons) -> tuple[Tensor, Tensor]:
    """S_{+,1} and S_{-,1} (Eq. 5 and 6) as boolean masks of shape (m,).

    S+ holds the neurons with s_j = +1 that are not strictly off on any positive label at the start, S- those
    with s_j = -1 on the negative ones.
    """
    z, y = start.w @ training_set.x.T, training_set.y
    plus = (start.signs > 0) & (z[:, y > 0] >= 0).all(dim=1)
    minus = (start.signs < 0) & (z[:, y < 0] >= 0).all(dim=1)
    return plus, minus


@dataclass(frozen=True)
class Assumptions:
    """Whether Assumptions 1, 2 and 3 hold, with one plain line for each that fails and each caution."""

    orthogonal_inputs: bool
    labels: bool
    cones_nonempty: bool
    notes: tuple[str, ...]


def check_assumptions(
    training_set: TrainingSet, start: Neurons, scale: float, s_plus: Tensor, s_minus: Tensor
) -> Assumptions:
    """Assumption 1 (orthogonal inputs; equal norms are not needed), 2 (no zero label, ||D+|| != ||D-||) and
    3 (S+ and S- not empty), the last two read for the data as they are."""
    d_plus, d_minus = (float(v.norm()) for v in attractors(training_set))
    defect = training_set.orthogonality_defect
    notes = []
    if defect > ORTHOGONAL:
        notes.append(f"Assumption 1 fails: inputs are not orthogonal (largest cosine {defect:.2g})")
    elif defect > scale:
        notes.append(
            f"inputs are orthogonal to {defect:.0e} only, which is not small against lambda = {scale:.0e}: "
            "closed gates can open again"
        )
    zero_labels = int((training_set.y == 0).sum())
    if zero_labels:
        notes.append(f"Assumption 2 fails: {zero_labels} label(s) equal to 0")
    equal = math.isclose(d_plus, d_minus, rel_tol=EQUAL)
    if equal:
        notes.append("Assumption 2 fails: ||D+|| = ||D-||, no sign is fitted first")
    empty = [name for name, members in (("S+", s_plus), ("S-", s_minus)) if not bool(members.any())]
    if empty:
        verb = "is" if len(empty) == 1 else "are"
        notes.append(f"Assumption 3 fails: {' and '.join(empty)} {verb} empty; masses are shown by the sign of a_j")
    return Assumptions(defect <= ORTHOGONAL, not (zero_labels or equal), not empty, tuple(notes))


@dataclass(frozen=True)
class Timeline:
    """The times of Figure 1, in flow time; 'first' is the sign fitted first, the one with the larger ||D||."""

    epsilon: float
    aligned: float  # t1, end of the early alignment (Lemma 2)
    first_fitted: float  # upper bound on t2 (Lemma 3), where the stay near the saddle begins (Fact 1)
    saddle_left: float  # end of the stay near the saddle (Fact 1)
    second_fitted: float  # upper bound on t3 (Lemma 4)


def timeline(d_plus_norm: float, d_minus_norm: float, scale: float, epsilon: float) -> Timeline:
    """Figure 1 for any data with both signs and lambda = scale < 1; for r < 1 the two signs change roles."""
    fast, slow = max(d_plus_norm, d_minus_norm), min(d_plus_norm, d_minus_norm)
    log = -math.log(scale)
    return Timeline(
        epsilon=epsilon,
        aligned=epsilon * log / slow,
        first_fitted=(1 + 3 * epsilon) * log / fast,
        saddle_left=(1 - epsilon) * log / slow,
        second_fitted=(1 + 3 * fast / slow * epsilon) * log / slow,
    )


def smallest_shares(training_set: TrainingSet, sharp: bool = False) -> dict[int, float]:
    """alpha of B.2 (sign +1), min y_k^2 / (2 ||D+||^2) over the positive labels, and beta (-1), likewise over the
    negative ones; `sharp` takes min y_k^2 ||x_k||^2 / (2 n^2 ||D+||^2). Each sign must have labels."""
    y = training_set.y
    sizes = y.abs() * training_set.norms / training_set.n if sharp else y.abs()
    sides = zip((1, -1), attractors(training_set), strict=True)
    return {sign: float(sizes[sign * y > 0].min()) ** 2 / (2 * float(d.norm()) ** 2) for sign, d in sides}


@lru_cache(maxsize=2)
def largest_epsilon(training_set: TrainingSet, sharp: bool = False) -> float | None:
    """The largest epsilon that Appendix B.2 admits; None where a sign has no label or ||D+|| = ||D-||.

    (1 + 3e) max(1 - alpha, 1/r) <= 1 - e and (1 + 3re)(1 - beta) <= 1 - e, with r > 1 (otherwise the signs
    change roles), and alpha, beta as printed or `sharp`: a neuron that misses sample k grows at the rate
    sqrt(||D+||^2 - y_k^2 ||x_k||^2 / n^2), at most (1 - alpha) ||D+|| with the sharp one.
    """
    norms = [float(v.norm()) for v in attractors(training_set)]
    if min(norms) == 0 or math.isclose(*norms, rel_tol=EQUAL):
        return None
    alpha, beta = smallest_shares(training_set, sharp).values()
    if norms[0] < norms[1]:
        alpha, beta = beta, alpha
    r = max(norms) / min(norms)
    worst = max(1 - alpha, 1 / r)
    first = (1 - worst) / (1 + 3 * worst)
    slope = 1 + 3 * r * (1 - beta)
    return min(first, beta / slope) if slope > 0 else first
