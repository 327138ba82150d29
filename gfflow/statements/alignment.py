"""The first phase, B.3: neurons align while small. Lemmas 2, 7 (iii), 8 (iii) and 9."""

from __future__ import annotations

from gfflow.measures import Snapshot
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, misalignment
from gfflow.theory import Group

PART = Part("alignment", "early alignment")


def _aligned(case: Case, group: Group) -> Finding:
    """<w_j/||w_j||, D> >= (1 - 2 lambda^epsilon)||D||, as ||D|| - <., D> <= 2 lambda^epsilon ||D||; at a right angle
    every neuron of the group already starts within ||D||."""
    bound = 2 * case.power(case.epsilon) * group.rate
    return Finding(misalignment(group, case.at("t1")), "<=", bound, empty_from=group.rate)


@PART.statement("Lemma 2 (i)", "||D{p}|| - <w_j/||w_j||, {d}> <= 2λ^ε ||D{p}|| at t1, j in S{p}")
def first_aligned(case: Case) -> Finding:
    return _aligned(case, case.first)


@PART.statement("Lemma 2 (ii)", "||D{m}|| - <w_j/||w_j||, {e}> <= 2λ^ε ||D{m}|| at t1, j in S{m}")
def second_aligned(case: Case) -> Finding:
    return _aligned(case, case.second)


@PART.statement("Lemma 2 (iii)", "||w_j|| <= 2c λ^(1-rε) at t1, all j")
def all_small(case: Case) -> Finding:
    bound = 2 * case.c * case.scale * case.power(-case.r * case.epsilon)
    return Finding(float(case.at("t1").neurons.norms.max()), "<=", bound)


def _open_gates(s: Snapshot, group: Group) -> Finding:
    """How many gates of the group's neurons on samples of the other sign are open. The paper prints <w_j, x_k> = 0,
    which a gate that is closed at the start cannot reach: <= 0 is what the proof shows."""
    wrong = s.gates[group.members][:, group.sign * s.training_set.y < 0]
    return Finding(float(wrong.sum()), "<=", 0.0)


@PART.statement("Lemma 7 (iii)", "<w_j, x_k> <= 0 at t+1, j in S{p}, y_k of sign {m} (gates that are open)")
def first_deactivated(case: Case) -> Finding:
    return _open_gates(case.at("t+1"), case.first)


@PART.statement("Lemma 8 (iii)", "<w_j, x_k> <= 0 at t-1 = t1, j in S{m}, y_k of sign {p} (gates that are open)")
def second_deactivated(case: Case) -> Finding:
    return _open_gates(case.at("t1"), case.second)


def _not_collapsed(case: Case, group: Group, until: str, exponent: float) -> Finding:
    """||w_j|| > c_ lambda^(1 + exponent) / 2 up to the milestone, c_ = min_j ||w_j(0)|| / lambda.

    Both sides are divided by lambda, not far below which float64 ends."""
    frames = [s for s in case.snapshots if s.iteration <= case.at(until).iteration]
    measured = min(float(s.neurons.norms[group.members].min()) for s in frames)
    smallest = float(case.start.neurons.norms.min()) / case.scale
    return Finding(measured / case.scale, ">", smallest * case.power(exponent) / 2)


@PART.statement("Lemma 9 (i)", "||w_j||/λ > c_ λ^ε/2 up to t+1, j in S{p}, c_ = min ||w_j(0)||/λ")
def first_not_collapsed(case: Case) -> Finding:
    return _not_collapsed(case, case.first, "t+1", case.epsilon)


@PART.statement("Lemma 9 (ii)", "||w_j||/λ > c_ λ^(rε)/2 up to t-1 = t1, j in S{m}")
def second_not_collapsed(case: Case) -> Finding:
    return _not_collapsed(case, case.second, "t1", case.r * case.epsilon)
