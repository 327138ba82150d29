"""What the paper assumes: Assumptions 1 to 3, the balanced start, and the epsilon of Appendix B.2."""

from __future__ import annotations

import math

import torch

from gfflow.statements.base import Finding, Part
from gfflow.statements.case import BALANCED, Case, NotApplicable
from gfflow.theory.directions import EQUAL, ORTHOGONAL, smallest_shares

PART = Part("assumptions", "what the paper assumes")


@PART.statement("Assumption 1", "<x_k, x_l> = 0 for k != l (cosines, to rounding)", epsilon=False)
def orthogonal_inputs(case: Case) -> Finding:
    defect = case.data.orthogonality_defect
    coarse = defect > case.scale and defect <= ORTHOGONAL
    return Finding(defect, "<=", ORTHOGONAL, note="not small against lambda: gates can reopen" if coarse else "")


@PART.statement("Assumption 1", "||x_k|| = 1 for all k (to rounding)", epsilon=False)
def unit_norms(case: Case) -> Finding:
    return Finding(float((case.data.norms - 1).abs().max()), "<=", ORTHOGONAL)


@PART.statement("Assumption 2", "y_k != 0 for all k", epsilon=False)
def labels_not_zero(case: Case) -> Finding:
    return Finding(float(case.data.y.abs().min()), ">", 0.0)


@PART.statement("Assumption 2", "||D+|| != ||D-|| (relative difference, beyond rounding)", epsilon=False)
def sides_differ(case: Case) -> Finding:
    plus, minus = case.prediction.d_plus_norm, case.prediction.d_minus_norm
    return Finding(abs(plus - minus) / (max(plus, minus) or 1.0), ">", EQUAL)


@PART.statement("Assumption 3", "S+ and S- are not empty (size of the smaller)", epsilon=False)
def cones_not_empty(case: Case) -> Finding:
    return Finding(float(min(case.prediction.s_plus.sum(), case.prediction.s_minus.sum())), ">=", 1.0)


@PART.statement("Eq. 4", "|a_j| = ||w_j|| at the start for all j (relative, to rounding)", epsilon=False)
def balanced_start(case: Case) -> Finding:
    return Finding(case.imbalance, "<=", BALANCED)


def _admitted(case: Case, sharp: bool) -> Finding:
    """(1 + 3e) max(1 - alpha, 1/r) <= 1 - e and (1 + 3re)(1 - beta) <= 1 - e: the larger left side."""
    if math.isnan(case.epsilon):
        raise NotApplicable("B.2 admits no epsilon")
    e = case.epsilon
    shares = smallest_shares(case.data, sharp)
    alpha, beta = (shares[group.sign] for group in case.groups)
    left = max((1 + 3 * e) * max(1 - alpha, 1 / case.r), (1 + 3 * case.r * e) * (1 - beta))
    return Finding(left, "<=", (1 - e) * (1 + 8 * torch.finfo(torch.float64).eps))  # equality at the largest epsilon


@PART.statement("B.2", "(1+3ε) max(1-α, 1/r) <= 1-ε and (1+3rε)(1-β) <= 1-ε, α = min y²/(2||D{p}||²) as printed")
def epsilon_as_printed(case: Case) -> Finding:
    return _admitted(case, sharp=False)


@PART.statement("B.2", "the same with the sharp α = min y²||x||²/(2n²||D{p}||²), which its proof needs")
def epsilon_sharp(case: Case) -> Finding:
    return _admitted(case, sharp=True)
