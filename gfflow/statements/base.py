"""What a statement of the paper is: a named inequality, checked on a run, with a verdict."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gfflow.statements.case import Case, NotApplicable, OutsideSetting

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


Check = Callable[[Case], Finding]


@dataclass(frozen=True)
class Statement:
    """A statement under its name in the paper. `says` has {p} and {m} for the signs fitted first and second, {d} and
    {e} for the vectors D+ and -D- that their neurons align with."""

    name: str
    says: str
    uses_epsilon: bool
    check: Check
    two_runs: bool = False  # it compares the run with a second one


PARTS: list[Part] = []  # in the order of the reports, which show every one of them


class Part:
    """A part of the paper under a name of one word and the title that reports show. Its statements can be registered
    in it alone, so that there is none that a report does not show. Raises ValueError for a name that is taken."""

    name: str
    title: str

    def __init__(self, name: str, title: str) -> None:
        if any(part.name == name for part in PARTS):
            raise ValueError(f"the part {name!r} is registered already")
        self.name, self.title = name, title
        self.statements: list[Statement] = []
        PARTS.append(self)

    def statement(
        self, name: str, says: str, *, epsilon: bool = True, two_runs: bool = False
    ) -> Callable[[Check], Check]:
        """Registers a function under the statement's name; `epsilon` says whether it depends on epsilon, `two_runs`
        whether it compares the run with a second one. Raises ValueError where a statement of that name says the same
        already."""

        def register(check: Check) -> Check:
            if any((known.name, known.says) == (name, says) for known in statements()):
                raise ValueError(f"the statement {name!r} is registered already with the words {says!r}")
            self.statements.append(Statement(name, says, epsilon, check, two_runs))
            return check

        return register


def statements() -> list[Statement]:
    """Every registered statement, in the order of the reports."""
    return [entry for part in PARTS for entry in part.statements]


@dataclass(frozen=True)
class Verdict:
    """A statement judged on a run; finding is None where it is not applicable, and reason says why."""

    name: str
    says: str
    finding: Finding | None
    reason: str = ""
    outside: bool = False  # the reason is that the paper's setting is not this run's
    two_runs: bool = False  # the statement compares the run with a second one

    @property
    def empty(self) -> bool:
        """Whether it holds by a bound that says nothing."""
        return self.finding is not None and self.finding.holds and self.finding.empty

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
            return Verdict(entry.name, says, entry.check(case), two_runs=entry.two_runs)
        except NotApplicable as reason:
            return Verdict(entry.name, says, None, str(reason), isinstance(reason, OutsideSetting), entry.two_runs)
