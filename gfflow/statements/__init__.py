"""The paper's statements, each checked on a run: one small function under its name in the paper."""

from gfflow.statements import (
    alignment,
    assumptions,
    conservation,
    convergence,
    minimum_norm,
    relu_at_zero,
    saddle,
)
from gfflow.statements.base import STATEMENTS, Finding, Statement, Verdict, judge
from gfflow.statements.case import Case, NotApplicable
from gfflow.statements.verdicts import Report, verify

__all__ = [
    "STATEMENTS",
    "Case",
    "Finding",
    "NotApplicable",
    "Report",
    "Statement",
    "Verdict",
    "alignment",
    "assumptions",
    "conservation",
    "convergence",
    "judge",
    "minimum_norm",
    "relu_at_zero",
    "saddle",
    "verify",
]
