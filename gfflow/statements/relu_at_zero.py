"""Proposition 2 (Appendix D): a gradient flow exists for all time only with relu'(0) = 0."""

from __future__ import annotations

from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, OutsideSetting

PART = Part("relu_at_zero", "the ReLU's derivative at 0")


@PART.statement("Proposition 2", "relu'(0) = 0 in this run", epsilon=False)
def own_derivative(case: Case) -> Finding:
    if case.start.neurons.activation.slope != 0:
        raise OutsideSetting("the activation is the leaky ReLU")
    return Finding(case.start.neurons.activation.at_zero, "<=", 0.0)
