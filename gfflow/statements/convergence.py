"""The last phase, B.6: near the limit, the Polyak-Lojasiewicz inequality and convergence. Lemmas 5 and 12 to 15,
Theorems 1 and 2."""

from __future__ import annotations

import numpy as np
import torch

from gfflow.measures import Snapshot
from gfflow.model.neurons import Neurons
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, NotApplicable, deficit, largest, misalignment

PART = Part("convergence", "convergence")

FLOOR = 1e-24  # of the loss at the start: residuals are then 1e-12 of the labels, four digits above rounding
END_PHASE = 1e-2  # share of the loss at the start below which the exponential rate is fitted
SAME = 1e-9  # relative difference up to which two runs start alike: lambda g_j is rounded once


def _limit(case: Case) -> Neurons:
    _ = case.groups
    limit = case.prediction.limit
    assert limit is not None  # both groups exist
    return limit


def _distance_to_limit(case: Case, limit: Neurons) -> Finding:
    """||theta(t3) - theta*|| <= lambda^(epsilon/31); the saddle is one of the points farther away."""
    distance = case.t3.at.neurons.distance(limit)
    return Finding(distance, "<=", case.power(case.epsilon / 31), limit.distance(case.saddle))


@PART.statement("Lemma 12", "||θ(t3) - θ*|| <= λ^(ε/31), θ* from the limit process, which knows no λ")
def near_the_limit(case: Case) -> Finding:
    return _distance_to_limit(case, _limit(case))


@PART.statement(
    "Lemma 12", "the second run's ||θ(t3) - θ*|| <= λ^(ε/31), λ the second run's, θ* this run's", two_runs=True
)
def limit_independent_of_scale(case: Case) -> Finding:
    return _distance_to_limit(_second_run(case), _limit(case))


def _second_run(case: Case) -> Case:
    """The other run, where it differs from this one in lambda only."""
    other = case.other
    if other is None:
        raise NotApplicable("needs a second run")
    same_data = torch.equal(case.data.x, other.data.x) and torch.equal(case.data.y, other.data.y)
    mine, theirs = case.start.neurons, other.start.neurons
    if not same_data or mine.w.shape != theirs.w.shape or case.scale == other.scale:
        raise NotApplicable("the second run does not differ in lambda only")
    ratio = theirs.w / other.scale - mine.w / case.scale
    if not float(ratio.abs().max()) <= SAME * case.c or not torch.equal(mine.signs, theirs.signs):
        raise NotApplicable("the second run does not start from the same g_j and s_j")
    return other


@PART.statement("Lemma 13", "L(θ(t3)) <= λ^(ε'/2), ε' = ε/30, given the conditions (ii)-(iv) of B.6 with λ^ε'")
def small_loss(case: Case) -> Finding:
    end, bound = case.t3.at, case.power(case.epsilon / 30)
    conditions = {
        "(ii)": largest(end.neurons.norms[case.others]),
        "(iii)": max(abs(deficit(group, end)) / case.data.n for group in case.groups),
        "(iv)": max(misalignment(group, end) for group in case.groups),
    }
    for name, value in conditions.items():
        if not value <= bound:
            raise NotApplicable(f"its condition {name} fails: {value:.3g} > {bound:.3g}")
    return Finding(end.loss, "<=", case.power(case.epsilon / 60), case.start.loss)


@PART.statement("Lemma 14", "||grad L||² >= 2L min(Σ_S+, Σ_S- ||w_j||²/n), every frame (least ratio)", epsilon=False)
def gradient_dominates(case: Case) -> Finding:
    """For inputs of other norms than 1 each sum carries the least ||x_k||^2 of its sign."""
    ratios = []
    for s in case.snapshots:
        sums = [
            float(s.neurons.norms[g.members].square().sum() * _least_square(case, g.sign)) / case.data.n
            for g in case.groups
        ]
        if s.loss * min(sums) > 0:  # squares of weights below 1e-154 are zero in float64
            ratios.append(s.gradient_norm**2 / (2 * s.loss * min(sums)))
    if not ratios:
        raise NotApplicable("no frame with squares that float64 can hold")
    return Finding(min(ratios), ">=", 1 - 1e-9)  # rounding


def _least_square(case: Case, sign: int) -> float:
    return float(case.data.norms[sign * case.data.y > 0].min()) ** 2


def _dominance(s: Snapshot) -> float:
    """||grad L||^2 / L; infinite at zero loss."""
    return s.gradient_norm**2 / s.loss if s.loss > 0 else float("inf")


@PART.statement("Lemma 15", "||grad L||²/L >= min(||D+||, ||D-||) from t3 on, on frames within λ^(ε/240) of θ(t3)")
def dominated_after_t3(case: Case) -> Finding:
    centre, radius = case.t3.at, case.power(case.epsilon / 240)
    near = [s for s in case.snapshots if s.iteration >= centre.iteration]
    near = [s for s in near if s.neurons.distance(centre.neurons) <= radius]
    return Finding(min(_dominance(s) for s in near), ">=", case.second.rate)


@PART.statement("Lemma 5", "||grad L||²/L >= min(||D+||, ||D-||) on frames within λ^(ε/240) of θ*")
def dominated_on_frames(case: Case) -> Finding:
    limit, radius = _limit(case), case.power(case.epsilon / 240)
    near = [s for s in case.snapshots if s.neurons.distance(limit) <= radius]
    if not near:
        raise NotApplicable("no frame within the ball")
    return Finding(min(_dominance(s) for s in near), ">=", case.second.rate)


@PART.statement("Lemma 5", "the same at the point of the ball B(θ*, λ^(ε/240)) that is nearest to the saddle")
def dominated_in_the_ball(case: Case) -> Finding:
    """The point theta* with the second group's neurons shrunk, balanced and as near to the saddle as the ball allows:
    where the infimum over the ball is small, it is small here."""
    limit, group = _limit(case), case.second
    reach = case.power(case.epsilon / 240) / (2 * group.mass_limit) ** 0.5
    factor = torch.where(group.members, max(0.0, 1 - reach), 1.0)
    point = Snapshot(Neurons(limit.w * factor[:, None], limit.a * factor), case.data)
    share = max(0.0, 1 - reach) ** 2
    return Finding(
        _dominance(point), ">=", group.rate, note=f"there u of the second sign is {share:.2g} of its limit"
    )


@PART.statement("Theorem 2", "||θ(t) - θ*|| <= 2 λ^(ε/240) from t3 on")
def stays_near(case: Case) -> Finding:
    limit = _limit(case)
    frames = [s for s in case.snapshots if s.iteration >= case.t3.at.iteration]
    measured = max(s.neurons.distance(limit) for s in frames)
    return Finding(measured, "<=", 2 * case.power(case.epsilon / 240), limit.distance(case.saddle))


@PART.statement("Theorem 2", "L falls as e^(-at), a >= min(||D+||, ||D-||) (fitted below L(0)/100)", epsilon=False)
def exponential_rate(case: Case) -> Finding:
    _ = case.groups
    start = case.start.loss
    phase = [s for s in case.snapshots if FLOOR * start < s.loss < END_PHASE * start]
    if len(phase) < 3:
        raise NotApplicable(f"{len(phase)} frames between L(0)/100 and rounding: a fit needs 3")
    times = case.lr * np.array([s.iteration for s in phase])
    slope = np.polyfit(times, np.log([s.loss for s in phase]), 1)[0]
    return Finding(-float(slope), ">=", case.second.rate)


@PART.statement("Theorem 1", "L tends to 0: labels fitted at the end to 1% (largest |r_k| / |y_k|)", epsilon=False)
def reaches_zero_loss(case: Case) -> Finding:
    _ = case.groups
    return Finding(float((case.end.residuals / case.data.y).abs().max()), "<=", 0.01)


@PART.statement(
    "Theorem 1",
    "the end tends to θ* as λ -> 0: nearer for the smaller λ of two runs (ratio)",
    epsilon=False,
    two_runs=True,
)
def nearer_with_smaller_scale(case: Case) -> Finding:
    pair = sorted((case, _second_run(case)), key=lambda run: run.scale)
    small, large = (run.end.neurons.distance(_limit(case)) for run in pair)
    note = f"{small:.2g} at λ = {pair[0].scale:.0e}, {large:.2g} at {pair[1].scale:.0e}"
    return Finding(small / large, "<", 1.0, note=note)
