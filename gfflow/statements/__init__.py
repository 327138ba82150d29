"""The paper's statements, each checked on a run: one small function under its name in the paper.

The order of the parts here is that of the reports.
"""

# isort: off
from gfflow.statements import (
    assumptions,
    conservation,
    trajectory,
    alignment,
    saddle,
    convergence,
    minimum_norm,
    relu_at_zero,
    early_alignment,
    margin,
)

# isort: on
from gfflow.statements.base import PARTS, Finding, Part, Statement, Verdict, judge, statements
from gfflow.statements.case import Case, NotApplicable, OutsideSetting
from gfflow.statements.verdicts import Report, verify

__all__ = [
    "PARTS",
    "Case",
    "Finding",
    "NotApplicable",
    "OutsideSetting",
    "Part",
    "Report",
    "Statement",
    "Verdict",
    "alignment",
    "assumptions",
    "conservation",
    "convergence",
    "early_alignment",
    "judge",
    "margin",
    "minimum_norm",
    "relu_at_zero",
    "saddle",
    "statements",
    "trajectory",
    "verify",
]
