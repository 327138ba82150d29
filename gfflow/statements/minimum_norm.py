"""The end point against the interpolators of least norm: Proposition 1 (Appendix C) and Eq. 8.

Both are exact for the limit lambda -> 0. A run at a finite lambda is counted as there within TOLERANCE.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, OutsideSetting

PART = Part("minimum_norm", "the end point against the interpolators of least norm")

TOLERANCE = 0.01


def _minimum(case: Case) -> float:
    """n(||D+|| + ||D-||) on orthonormal inputs."""
    case.require_ours()
    minimum = case.prediction.min_half_norm
    if minimum is None:
        raise OutsideSetting("inputs are not orthogonal (Assumption 1)")
    if minimum == 0:
        raise OutsideSetting("all labels are 0")
    return minimum


@PART.statement(
    "Proposition 1", "½||θ||² = n(||D+|| + ||D-||) at the end, to 1% (relative difference)", epsilon=False
)
def least_norm(case: Case) -> Finding:
    return Finding(abs(case.end.neurons.half_norm_squared / _minimum(case) - 1), "<=", TOLERANCE)


@PART.statement(
    "Proposition 1", "θ balanced at the end, to 1% (norm of all |a_j| - ||w_j||, relative)", epsilon=False
)
def end_balanced(case: Case) -> Finding:
    _minimum(case)
    neurons = case.end.neurons
    return Finding(float((neurons.a.abs() - neurons.norms).norm() / neurons.norms.norm()), "<=", TOLERANCE)


def _fits(case: Case) -> dict[int, Tensor]:
    """For each sign with labels the sum of |y_k| x_k / ||x_k||^2 over its samples: nD+ and -nD- if orthonormal."""
    _minimum(case)
    y = case.data.y / case.data.norms**2
    fits = {sign: (sign * y).clamp(min=0) @ case.data.x for sign in (1, -1)}
    return {sign: fit for sign, fit in fits.items() if float(fit.norm()) > 0}


@PART.statement(
    "Proposition 1", "w_j along D+ where a_j > 0, along -D- where a_j < 0, to 1% (relative)", epsilon=False
)
def end_aligned(case: Case) -> Finding:
    neurons, worst = case.end.neurons, 0.0
    for sign, fit in _fits(case).items():
        mine = neurons.a * sign > 0
        if not bool((neurons.norms[mine] > 0).any()):
            return Finding(float("inf"), "<=", TOLERANCE, note="a sign that has labels has no neuron")
        off = neurons.w[mine] - neurons.norms[mine][:, None] * fit / fit.norm()
        worst = max(worst, float(off.norm() / neurons.norms[mine].norm()))
    return Finding(worst, "<=", TOLERANCE)


@PART.statement("Proposition 1", "Σ||w_j||² = n||D+|| where a_j > 0, n||D-|| where a_j < 0, to 1%", epsilon=False)
def end_masses(case: Case) -> Finding:
    neurons = case.end.neurons
    gaps = [
        abs(float(neurons.norms[neurons.a * sign > 0].square().sum() / fit.norm()) - 1)
        for sign, fit in _fits(case).items()
    ]
    return Finding(max(gaps), "<=", TOLERANCE)


@PART.statement(
    "Eq. 8", "½||θ||² = variation norm of h at the end, to 1% (gap to its dual lower bound)", epsilon=False
)
def variation_norm(case: Case) -> Finding:
    """||h||_F1 >= sum_k p_k h(x_k) for every p with |sum_k p_k relu(<w, x_k>)| <= 1 on the unit sphere. On orthogonal
    inputs p_k = +-<u, x_k>/||x_k||^2 is one, u the unit vector of the sign's fit. And ||h||_F1 <= 1/2 ||theta||^2."""
    fits = _fits(case)
    p = torch.zeros_like(case.data.y)
    for sign, fit in fits.items():
        p += sign * case.data.x @ (fit / fit.norm()) / case.data.norms**2
    outputs = case.data.y - case.end.residuals
    below = float(p @ outputs)
    if below <= 0:
        return Finding(float("inf"), "<=", TOLERANCE, note="the lower bound is not positive: labels are not fitted")
    return Finding(case.end.neurons.half_norm_squared / below - 1, "<=", TOLERANCE)
