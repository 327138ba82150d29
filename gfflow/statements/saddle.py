"""The second and third phase, B.4 and B.5: Lemmas 3, 4, 10, 11 and the saddle between them (Fact 1)."""

from __future__ import annotations

from gfflow.measures import Snapshot
from gfflow.model.neurons import row_norms
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, NotApplicable, PhaseEnd, deficit, largest, misalignment, residual_norm

PART = Part("saddle", "the two signs and the saddle between them")


def _ends_in_time(case: Case, phase: str, bound: int) -> Finding:
    """The iteration of the phase's end, bracketed by frames, against the bound's."""
    try:
        end: PhaseEnd = getattr(case, phase)
    except NotApplicable:
        if case.end.iteration < bound:
            raise
        return Finding(float("inf"), "<=", bound, note="not reached in the whole run")
    return Finding(end.at.iteration, "<=", bound, note=f"after {end.before.iteration:,}, by {end.at.iteration:,}")


@PART.statement("Lemma 10 (i)", "t2 <= -(1+3ε) ln λ / ||D{p}|| (iterations)")
def second_phase_ends(case: Case) -> Finding:
    return _ends_in_time(case, "t2", case.iteration("t2 at most"))


@PART.statement("Lemma 3 (i), 10 (iii)", "||D{p}|| - <w_j/||w_j||, {d}> <= λ^(ε/2) at t2, j in S{p}")
def first_still_aligned(case: Case) -> Finding:
    return Finding(misalignment(case.first, case.t2.at), "<=", case.power(case.epsilon / 2), case.first.rate)


@PART.statement("Lemma 3 (ii), Eq. 17", "n||D{p}|| - Σ||w_j||² over S{p} is down to λ^(ε/5) at t2: this ends phase 2")
def first_grown(case: Case) -> Finding:
    return Finding(deficit(case.first, case.t2.at), "<=", case.power(case.epsilon / 5), case.first.mass_limit)


@PART.statement("Lemma 3 (iii), 10 (ii)", "||w_j|| <= 2c λ^ε at t2, j not in S{p}")
def rest_small(case: Case) -> Finding:
    norms = case.t2.at.neurons.norms[~case.first.members]
    return Finding(largest(norms), "<=", 2 * case.c * case.power(case.epsilon))


@PART.statement("Fact 1", "||θ - θ_S|| <= λ^(ε/5) from -(1+3ε) ln λ/||D{p}|| to -(1-ε) ln λ/||D{m}||")
def near_the_saddle(case: Case) -> Finding:
    frames = case.between("t2 at most", "saddle left")
    saddle = case.saddle
    at_origin = (2 * saddle.half_norm_squared) ** 0.5  # the start is no farther from theta_S than this
    return Finding(max(s.neurons.distance(saddle) for s in frames), "<=", case.power(case.epsilon / 5), at_origin)


@PART.statement("Fact 1", "θ_S is a critical point: ||grad L|| (relative, to rounding)", epsilon=False)
def saddle_is_critical(case: Case) -> Finding:
    s = Snapshot(case.saddle, case.data)
    return Finding(s.gradient_norm / case.first.rate, "<=", 1e-12)


@PART.statement("Fact 1", "θ_S is a strict saddle: neurons along {e} leave it (rate / ||D{m}||)", epsilon=False)
def saddle_is_strict(case: Case) -> Finding:
    """A neuron (w, a) next to zero changes L by -|a| |sum_k r_k relu(<w, x_k>)| / n: the rate for w along D-."""
    s = Snapshot(case.saddle, case.data)
    rate = float(s.residuals @ (case.data.x @ case.second.direction).clamp(min=0)) * case.second.sign / case.data.n
    return Finding(rate / case.second.rate, ">", 1e-12)  # rounding


@PART.statement("Lemma 11 (i)", "t3 <= -(1+3rε) ln λ / ||D{m}|| (iterations)")
def third_phase_ends(case: Case) -> Finding:
    return _ends_in_time(case, "t3", case.iteration("t3 at most"))


@PART.statement("Lemma 4 (i), 11 (iii)", "||D{m}|| - <w_j/||w_j||, {e}> <= λ^(ε/14) at t3, j in S{m}")
def second_still_aligned(case: Case) -> Finding:
    return Finding(misalignment(case.second, case.t3.at), "<=", case.power(case.epsilon / 14), case.second.rate)


@PART.statement(
    "Lemma 4 (ii), Eq. 23", "n||D{m}|| - Σ||w_j||² over S{m} is down to λ^(ε/29) at t3: this ends phase 3"
)
def second_grown(case: Case) -> Finding:
    return Finding(deficit(case.second, case.t3.at), "<=", case.power(case.epsilon / 29), case.second.mass_limit)


@PART.statement("Lemma 4 (iii)", "||w_j(t2) - w_j(t3)|| <= λ^(ε/15), j in S{p}")
def first_unmoved(case: Case) -> Finding:
    moved = row_norms(case.t2.at.neurons.w - case.t3.at.neurons.w)[case.first.members]
    size = largest((case.first.mass_limit * case.first.shares).sqrt())
    return Finding(largest(moved), "<=", case.power(case.epsilon / 15), size)


@PART.statement("Lemma 4 (iv), 11 (ii)", "||w_j|| <= 3c λ^ε at t3, j not in S+ or S-")
def others_small(case: Case) -> Finding:
    return Finding(largest(case.t3.at.neurons.norms[case.others]), "<=", 3 * case.c * case.power(case.epsilon))


@PART.statement("Lemma 11 (iv)", "||D{p}(t3)|| < λ^(ε/14): labels of sign {p} stay fitted")
def first_stays_fitted(case: Case) -> Finding:
    return Finding(residual_norm(case.first, case.t3.at), "<", case.power(case.epsilon / 14), case.first.rate)
