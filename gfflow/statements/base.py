"""What a statement of the paper is: a named inequality, checked on a run, with a verdict."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gfflow.statements.case import Case, NotApplicable

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Finding:
    """One inequality with its numbers: measured `relation` bound.

    `empty_from`: a bound at least this large (for '<=' and '<') holds for any network of the phase, so that it says
    nothing; None where that cannot happen. `note` adds what a reader must know.
    """

    measured: float
    relation: str
    bound: float
    empty_from: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the inequality holds; NaN never does."""
        return RELATIONS[self.relation](self.measured, self.bound)

    @property
    def empty(self) -> bool:
        """Whether the bound is so large that it says nothing."""
        return self.empty_from is not None and self.bound >= self.empty_from

    @property
    def room(self) -> float | None:
        """measured / bound; None where the bound is zero or not finite."""
        ratio = self.measured / self.bound if self.bound != 0 else math.nan
        return ratio if math.isfinite(ratio) else None


@dataclass(frozen=True)
class Statement:
    """A statement under its name in the paper. `says` has {p} and {m} for the signs fitted first and second, {d} and
    {e} for the vectors D+ and -D- that their neurons align with."""

    name: str
    says: str
    uses_epsilon: bool
    check: Callable[[Case], Finding]

    @property
    def part(self) -> str:
        """The part of the paper: the name of the file that the statement stands in."""
        return self.check.__module__.rpartition(".")[2]


STATEMENTS: list[Statement] = []


def statement(
    name: str, says: str, *, epsilon: bool = True
) -> Callable[[Callable[[Case], Finding]], Callable[[Case], Finding]]:
    """Registers a function under the statement's name; `epsilon` tells whether it depends on epsilon."""

    def register(check: Callable[[Case], Finding]) -> Callable[[Case], Finding]:
        STATEMENTS.append(Statement(name, says, epsilon, check))
        return check

    return register


@dataclass(frozen=True)
class Verdict:
    """A statement judged on a run; finding is None where it is not applicable, and reason says why."""

    name: str
    says: str
    finding: Finding | None
    reason: str = ""

    @property
    def word(self) -> str:
        """'holds', 'violated' or 'not applicable'."""
        if self.finding is None:
            return "not applicable"
        return "holds" if self.finding.holds else "violated"


def judge(entry: Statement, case: Case) -> Verdict:
    """The statement's verdict on the run."""
    p, m = ("+", "-")
    if case.prediction.d_plus_norm < case.prediction.d_minus_norm:
        p, m = m, p
    direction = {"+": "D+", "-": "-D-"}
    says = entry.says.format(p=p, m=m, d=direction[p], e=direction[m])
    with torch.no_grad():
        try:
            return Verdict(entry.name, says, entry.check(case))
        except NotApplicable as reason:
            return Verdict(entry.name, says, None, str(reason))
        except OverflowError:  # shortly before a divergence
            return Verdict(entry.name, says, None, "weights too large for float64 to hold their squares")
