"""The forecast: the flow, or descent by its own modes, from the run's own start, integrated before the first step.

On data that is not orthogonal nothing closed is known of what follows the early phase, but the trajectory itself is:
the integration costs far less than training, and is made of exact motions (gfflow/motion). From it come the course of
the loss and of the masses, the critical points that it passes, the end point, and the times of the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gfflow.errors import Stalled
from gfflow.measures.critical_points import CriticalPoint
from gfflow.measures.events import CLOSE, fall, loss_events
from gfflow.measures.passing import passed_point
from gfflow.measures.plateaus import plateaus
from gfflow.measures.rest import resting_point
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.motion.target import of_residuals
from gfflow.theory.course import SMALLEST, Tabulated
from gfflow.theory.early_phase import early_phase_known
from gfflow.theory.prediction import INTEGRATED, Prediction, Saddle

if TYPE_CHECKING:
    from gfflow.motion.flow.splitting import Splitting

Array = NDArray[np.float64]
RTOL = 1e-5  # of the integration
BUDGET = 40_000  # evaluations of networks up to LARGE pairs of a neuron and a sample; larger ones get fewer
LARGE = 25_000
INSIDE = (0.25, 0.5, 0.75, 1.0)  # parts of a step at which its loss is tabulated
TABLE = 800  # equally spaced times at which plateaus are looked for
CANDIDATES = 60  # states kept, at which the gradient is least for the moment
FALL = 0.02  # least part of the whole fall of the loss between two critical points that are told apart
NEAR = 0.05  # relative difference of the losses on a plateau
DEEP = 1e-13  # part of the loss at the start below which nothing more is to be seen
STILL = 1e-3  # part of the loss at the start by which it may change in the second half, for its end to be rest
BEYOND = 2.0  # of the run's time, up to which an end point is looked for while the loss is above SETTLED of its start
SETTLED = 1e-4


@dataclass(frozen=True, eq=False)
class Forecast:
    """What the integration says of a training; empty, with a note that says why, where it says nothing."""

    course: Tabulated | None = None
    saddles: tuple[Saddle, ...] = ()
    levels: tuple[float, ...] = ()  # critical levels of the loss: at zero, at the saddles, at the end if it `ended`
    ended: bool = False
    from_zero: bool = True  # whether it starts next to the zero network
    end: Neurons | None = None  # the network at the end of the integration
    end_kind: str = ""  # 'fitted', 'local minimum', 'at rest, ...', or why there is no end point
    evaluations: int = 0
    note: str | None = None

    @property
    def events(self) -> dict[str, float | None]:
        """The flow time of each event of the loss; None where it is not reached."""
        if self.course is None:
            return {}
        spans = loss_events(self.levels, self.ended)
        if not self.from_zero:
            spans["leaves_zero"] = None
        return {name: fall(self.course.times, self.course.losses, span) for name, span in spans.items()}


@dataclass(frozen=True, eq=False)
class _Moment:
    """A state of the integration, and the square of its gradient."""

    time: float
    square: float
    state: Any


def budget(m: int, n: int) -> int:
    """How many evaluations the forecast of m neurons on n samples may take."""
    return max(1000, int(BUDGET * min(1.0, LARGE / (m * n))))


def make_forecast(
    training_set: TrainingSet, start: Neurons, horizon: float, step_size: float = 0.0, most: int | None = None
) -> Forecast:
    """Integrates the training of the start up to the flow time `horizon`, and further where its end point is not yet
    in sight: by descent's steps of the given size, or along the flow (step size 0), in at most so many evaluations
    (by default `budget`).

    Deterministic, and no random state moves. Critical points are found with the square loss and the ReLU alone; with
    the other losses, whose end is at infinity, it tells the course and the times at which the loss leaves zero's and
    has fallen to 1% of it.
    """
    if not early_phase_known(training_set, start):
        known = "both layers trained, the losses of this library, and the ReLU with relu'(0) = 0 or the leaky ReLU"
        return Forecast(note=f"no forecast: it knows {known} alone")
    most = budget(len(start.a), training_set.n) if most is None else most
    try:
        integrator, table, moments = _integrated(training_set, start, horizon, step_size, most)
    except Stalled as reason:
        return Forecast(note=f"no forecast: {reason.what}")  # its remedy is one of solver=flow
    evaluations = integrator.counters["evaluations"]
    if integrator.time < horizon and table.losses[-1] > DEEP * table.losses[0]:
        share = integrator.time / horizon
        note = f"no forecast: its {most:,} evaluations ended at {share:.0%} of the run; solver=flow goes further"
        return Forecast(evaluations=evaluations, note=note)
    from gfflow.motion.flow.coordinates import leave

    last = moments[-1]
    end = Snapshot(leave(integrator.problem, last.state), training_set, time=last.time)
    points = _passed(training_set, integrator, table, moments, min(horizon, last.time))
    return replace(_described(training_set, table, points, end), evaluations=evaluations)


def with_forecast(prediction: Prediction, found: Forecast) -> Prediction:
    """The prediction with what the forecast adds."""
    if found.course is None:
        return prediction
    return replace(
        prediction,
        source=INTEGRATED,
        saddles=found.saddles,
        limit=found.end if found.ended else None,
        events=prediction.events | found.events,
        levels=found.levels,
        ended=found.ended,
        course=found.course,
    )


def _integrated(
    training_set: TrainingSet, start: Neurons, horizon: float, step_size: float, most: int
) -> tuple[Splitting, Tabulated, list[_Moment]]:
    """The integrator at its end, the course, and the moments of least gradient, the last of them the end."""
    from gfflow.motion.flow.coordinates import enter, merged
    from gfflow.motion.flow.splitting import Splitting

    samples = merged(training_set)
    problem, state = enter(samples, start)
    if step_size > 0:  # no neuron stays balanced
        unknown = np.full(len(start.a), np.nan)
        problem = replace(problem, start=problem.start._replace(imbalance=unknown))
    integrator = Splitting(problem, state, 0.0, RTOL, step_size)
    first = Snapshot(start, training_set).loss
    offset = first - Snapshot(start, samples).loss  # samples merged into one may not be fitted all at once
    times, losses, masses = [0.0], [first], [(0.0, *_masses(state))]
    target, moments = problem.target, list[_Moment]()
    plain = target.plain
    before = now = _moment(integrator)
    while losses[-1] > DEEP * first:
        if integrator.time >= (horizon if losses[-1] <= SETTLED * first else BEYOND * horizon):
            break
        if integrator.counters["evaluations"] >= most:
            break
        integrator.step()
        for part in INSIDE:
            r = integrator.residual_at(part)
            times.append(integrator.began + part * (integrator.time - integrator.began))
            losses.append(offset + float(r @ r) / (2 * samples.n) if plain else float(of_residuals(target, r).mean()))
        masses.append((integrator.time, *_masses(integrator.state)))
        before, now, last = now, _moment(integrator), before
        if before.square <= now.square and before.square < last.square:
            moments.append(before)
            if len(moments) > CANDIDATES:
                moments.remove(max(moments, key=lambda moment: moment.square))
    moments.append(now)
    table = np.array(times), np.array(losses)
    plus, minus = (np.exp(np.interp(times, *_logarithm(masses, side))) for side in (1, 2))
    holds = losses[-1] <= DEEP * first and samples.loss.is_square
    return integrator, Tabulated(*table, plus, minus, holds), moments


def _logarithm(masses: Sequence[tuple[float, float, float]], side: int) -> tuple[Array, Array]:
    values = np.array(masses)
    return values[:, 0], np.log(np.maximum(values[:, side], SMALLEST))


def _masses(state: Any) -> tuple[float, float]:
    """u+ and u-: sums of ||w_j||^2 by the sign of a_j."""
    squares = np.exp(2 * state.rho) * (state.v**2).sum(axis=1)
    return float(squares[state.a > 0].sum()), float(squares[state.a < 0].sum())


def _moment(integrator: Splitting) -> _Moment:
    """||grad L||^2 is minus the slope of the loss; NaN with other losses than the square, and the leaky ReLU."""
    if not integrator.problem.target.plain:
        return _Moment(integrator.time, np.nan, integrator.state.copy())
    r, slope = integrator.machine.step.start[:2]
    return _Moment(integrator.time, float(-(r @ slope) / len(r)), integrator.state.copy())


def _passed(
    training_set: TrainingSet, integrator: Splitting, course: Tabulated, moments: Sequence[_Moment], horizon: float
) -> list[CriticalPoint]:
    """The strict saddles on the plateaus of the loss, in the order of passage; a plateau may be one within the run's
    time alone, or only where the time after it is seen too."""
    from gfflow.motion.flow.coordinates import leave

    losses, slowest = course.loss([moment.time for moment in moments]), {}
    for last in sorted({horizon, float(course.times[-1])}):
        times = np.linspace(0.0, last, TABLE)
        for plateau in plateaus(times, course.loss(times)):
            # by the loss, which only falls: a plateau on which the run ends may have its slowest moment after that
            near = np.abs(losses - plateau.loss) <= NEAR * plateau.loss
            inside = [m for m, there in zip(moments, near, strict=True) if there and m.time >= plateau.start]
            if plateau.start > 0 and inside:
                nearest = min(inside, key=lambda moment: moment.square)
                slowest[nearest.time] = nearest
    states = [slowest[time].state for time in sorted(slowest)]
    points = [passed_point(Snapshot(leave(integrator.problem, state), training_set)) for state in states]
    return [point for point in points if point.kind == "strict saddle"]


def _described(
    training_set: TrainingSet, course: Tabulated, points: Sequence[CriticalPoint], end: Snapshot
) -> Forecast:
    """Levels, saddles with their times, and the end point."""
    zero = training_set.loss_at_zero
    first = float(course.losses[0])
    from_zero = abs(first - zero) <= CLOSE * zero
    levels, saddles = [zero if from_zero else first], []
    for point in points:
        assert point.loss is not None
        if point.loss < levels[-1] - FALL * first:
            levels.append(point.loss)
            saddles.append(point)
    lowest, level, kind = levels[-1], None, "on its way"
    final: Neurons | None = end.neurons
    if end.loss < CLOSE * lowest:
        level, kind = 0.0, "fitted"
        if training_set.loss.is_classification:  # it goes on for ever: no limit
            final = None
    else:
        point_ = resting_point(end, RTOL)
        if point_ is not None:
            kind = point_.kind
            if kind == "local minimum" and point_.loss is not None and point_.loss < lowest - FALL * first:
                level = point_.loss
    still = abs(float(course.loss(course.times[-1] / 2)) - end.loss) <= STILL * first
    if level is None and still and end.loss < lowest - FALL * first:
        level, kind = end.loss, f"at rest, {kind}"
    if level is None and training_set.loss.is_classification and end.loss < lowest - FALL * first:
        level, final = 0.0, None  # the level that it falls to, reached or not
    ended = level is not None
    if level is not None:
        levels.append(level)
    spans = loss_events(levels, ended)
    times = {name: fall(course.times, course.losses, span) for name, span in spans.items()}
    passed = []
    for k, point in enumerate(saddles, start=1):
        assert point.neurons is not None and point.loss is not None and point.escape is not None
        reached, left = times[f"saddle_{k}_reached"], times[f"saddle_{k}_left"]
        passed.append(Saddle(point.neurons, point.loss, point.escape.rate, reached, left))
    return Forecast(course, tuple(passed), tuple(levels), ended, from_zero, final, kind)
