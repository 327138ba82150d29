"""Every statement judged on one run."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

from gfflow.errors import InvalidInput
from gfflow.records.frames import prediction, snapshot, training_set
from gfflow.records.run import Run
from gfflow.solvers.options import solver_class
from gfflow.statements.base import PARTS, Part, Verdict, judge
from gfflow.statements.case import Case, NotApplicable
from gfflow.theory import admitted_epsilons, make_forecast, with_forecast
from gfflow.theory.directions import ORTHOGONAL
from gfflow.theory.prediction import INTEGRATED


@dataclass(frozen=True)
class Section:
    """Verdicts that share an epsilon: None for those that have none."""

    title: str
    epsilon: float | None
    constants: str | None  # of B.2: 'as printed', 'sharp' or 'given'
    times: dict[str, int]  # the theory's times, in iterations
    notes: list[str]
    verdicts: list[tuple[Part, Verdict]]  # with the part of the paper

    @property
    def shown(self) -> list[tuple[Part, Verdict]]:
        """Those that have a line of their own: all within the paper's setting."""
        return [(part, verdict) for part, verdict in self.verdicts if not verdict.outside]


@dataclass(frozen=True)
class Report:
    """All verdicts on one run."""

    run: str
    other: str | None
    scale: float
    notes: list[str]
    sections: list[Section]

    @property
    def verdicts(self) -> list[Verdict]:
        """Every verdict, in the order of the table."""
        return [verdict for section in self.sections for _, verdict in section.verdicts]

    @property
    def outside(self) -> list[str]:
        """One line for each way in which the run is outside the paper's setting, in place of the verdicts that say
        so."""
        counts = Counter(verdict.reason for verdict in self.verdicts if verdict.outside)
        return [
            f"{count} {'statement is' if count == 1 else 'statements are'} not applicable: {reason}"
            for reason, count in counts.items()
        ]

    def count(self, word: str) -> int:
        """How many verdicts read 'holds', 'violated' or 'not applicable'."""
        return sum(verdict.word == word for verdict in self.verdicts)


def read_case(run: Run) -> Case:
    """The run as the statements see it, without epsilon; raises InvalidInput where it recorded too little."""
    if run.summary is None:
        raise InvalidInput("run", str(run.folder), "the folder of a finished run (with summary.json)")
    predicted = prediction(run)
    if run.trajectory is None or predicted is None:
        raise InvalidInput("run", str(run.folder), "a run with frames (callbacks.trajectory=true)")
    data = training_set(run.trajectory)
    frames = tuple(snapshot(run.trajectory, data, i) for i in range(len(run.trajectory.step)))
    lr, descent = run.summary["solver"]["lr"], solver_class(run.summary["solver"]["name"]).is_descent
    if run.summary["theory"]["source"] == INTEGRATED:  # made again: a function of the configuration
        horizon = lr * run.config["solver"]["iterations"]
        predicted = with_forecast(predicted, make_forecast(data, frames[0].neurons, horizon, lr if descent else 0.0))
    minimum = run.summary["theory"]["min_half_norm"]
    return Case(dataclasses.replace(predicted, min_half_norm=minimum), frames, lr=lr, descent=descent)


def verify(run: Run, epsilon: float | None = None, other: Run | None = None) -> Report:
    """Judges every statement on the run. Statements with an epsilon are judged for the given one, or for the largest
    that B.2 admits, once with its constants as printed and once with the sharp ones; `other` is a second run that
    differs in lambda only. Raises InvalidInput where a run recorded too little."""
    second = None if other is None else read_case(other)
    case = dataclasses.replace(read_case(run), other=second)
    choices = admitted_epsilons(case.prediction) if epsilon is None else {"given": epsilon}
    sections = [Section("statements without ε", None, None, {}, [], _judge_all(case, uses_epsilon=False))]
    for constants, value in choices.items() or [("", float("nan"))]:
        mine = dataclasses.replace(
            case, epsilon=value, other=None if second is None else dataclasses.replace(second, epsilon=value)
        )
        titles = {
            "as printed": f"ε = {value:.4g}: the largest that B.2 admits as printed",
            "sharp": f"ε = {value:.4g}: the largest that B.2 admits with the sharp α and β",
            "given": f"ε = {value:.4g}",
        }
        title = titles.get(constants, "statements with ε: B.2 admits none here")
        known = bool(constants)
        times, notes = _times(mine), _threshold_notes(mine)
        verdicts = _judge_all(mine, uses_epsilon=True)
        sections.append(
            Section(title, value if known else None, constants if known else None, times, notes, verdicts)
        )
    name = None if other is None else str(other.folder)
    return Report(str(run.folder), name, case.scale, _notes(run, case), sections)


def _judge_all(case: Case, uses_epsilon: bool) -> list[tuple[Part, Verdict]]:
    return [
        (part, judge(entry, case))
        for part in PARTS
        for entry in part.statements
        if entry.uses_epsilon == uses_epsilon
    ]


def _times(case: Case) -> dict[str, int]:
    """The theory's times in iterations, in order; empty where it has none."""
    try:
        times = {name: case.iteration(name) for name in case.milestones}
    except NotApplicable:
        return {}
    return dict(sorted(times.items(), key=lambda item: item[1]))


def _threshold_notes(case: Case) -> list[str]:
    """Where lambda is so large that a phase ends as soon as it begins: what follows of that phase means little."""
    if not _times(case):
        return []
    thresholds = (("2", "17", case.first, 5), ("3", "23", case.second, 29))
    return [
        f"λ^(ε/{divisor}) = {case.power(case.epsilon / divisor):.3g} is not below n||D|| = {group.mass_limit:.3g}: "
        f"Eq. {equation} ends phase {phase} as it begins; λ is not small enough for what follows at t{phase}"
        for phase, equation, group, divisor in thresholds
        if case.power(case.epsilon / divisor) >= group.mass_limit
    ]


def _notes(run: Run, case: Case) -> list[str]:
    predicted, notes = case.prediction, []
    r = predicted.r
    if r:  # 0 where no label is positive
        sizes = f"||D+|| = {predicted.d_plus_norm:.4g}, ||D-|| = {predicted.d_minus_norm:.4g}"
        swapped = "; r < 1: + and - change roles" if r < 1 else ""
        notes.append(f"λ = {case.scale:.3g}, {sizes}, r = {max(r, 1 / r):.4g}{swapped}")
    norms = case.data.norms
    if predicted.orthogonal and float((norms - 1).abs().max()) > ORTHOGONAL:
        notes.append(
            "inputs are orthogonal, not unit: n||D|| is read as ||Σ y_k x_k/||x_k||²|| over a sign's samples"
        )
    if case.descent:
        notes.append(
            "times t are the flow's: they stand for the iteration i at which descent has grown as much, "
            "(1 + ηN)^i = e^(Nt)"
        )
        relative = case.lr * max(predicted.d_plus_norm, predicted.d_minus_norm)
        notes.append(f"the statements are about the flow: descent, ηN = {relative:.1e}, misses its limits by O(ηN)")
    solver = run.config.get("solver") or {}
    if not case.descent and "rtol" in solver:
        notes.append(f"the flow was integrated to a relative tolerance of {solver['rtol']:.0e} a step")
    if solver.get("batch_size") is not None:
        notes.append("mini-batches: the statements are about the full gradient")
    return notes
