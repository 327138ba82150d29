"""Everything the theory says before a single step (Theorem 1, Fact 1, Proposition 1, Lemma 12)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfflow.measures.events import loss_events
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.theory.course import Course, OfGroups
from gfflow.theory.directions import (
    Assumptions,
    Timeline,
    attractors,
    check_assumptions,
    cones,
    largest_epsilon,
    timeline,
)
from gfflow.theory.groups import NAMES, Group, fit_of, make_group, ordered
from gfflow.theory.limit_process import LimitProcess, solve_limit_process
from gfflow.theory.search import first_moment, first_moments

Array = NDArray[np.float64]
NUMBERS = 2**20  # held at once, of directions at several times
DOUBLINGS = 200  # of a group's time, beyond all in which a loss falls
ALIGNED = 0.999  # cosine from which a neuron counts as aligned
LEFT, FITTED = 0.01, 0.99  # fractions of a mass's limit at which it has left zero, and is fitted
CLOSED_FORM, INTEGRATED, UNKNOWN = "closed form", "flow", "none"  # where a prediction comes from


@dataclass(frozen=True, eq=False)
class Saddle:
    """A critical point of positive loss that training passes, and when."""

    neurons: Neurons
    loss: float
    escape_rate: float  # at which the next group leaves zero there
    reached: float | None  # flow time, once the loss is within 1% of its fall to this saddle; None: not known
    left: float | None  # flow time, once it has fallen by 1% of its fall to the next critical point


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is known before training. What does not apply to the data is None, or empty.

    On orthogonal inputs (of any norms), with the square loss and the ReLU, all of it is known in closed form: a
    saddle needs both groups and ||D+|| != ||D-||, the limit a group for each sign with labels, min_half_norm no
    neuron. On other inputs, and with other losses, saddles, limit, events and course come from an integration
    (theory/forecast.py); the limit is then the network at its end, where it has one. With a classification loss
    min_half_norm is that of the max-margin problem.
    """

    source: str  # CLOSED_FORM, INTEGRATED (from the same start), or 'none': only the early phase is known

    assumptions: Assumptions
    scale: float  # lambda
    d_plus: Tensor
    d_minus: Tensor
    s_plus: Tensor  # (m,), boolean: S_{+,1} (Eq. 5), on any data
    s_minus: Tensor
    epsilon_max: float | None  # with alpha and beta as printed in B.2
    epsilon_max_sharp: float | None
    groups: tuple[Group, ...]
    saddles: tuple[Saddle, ...]  # in the order of passage; theta_S of Fact 1 on orthogonal inputs
    limit: Neurons | None  # theta* (Theorem 1)
    min_half_norm: float | None  # min 1/2 ||theta||^2 at zero loss (Proposition 1, Eq. 8)
    events: dict[str, float | None]  # flow times
    least_norm: Neurons | None = None  # a network of zero loss that has min_half_norm
    levels: tuple[
        float, ...
    ] = ()  # critical levels of the loss: at zero, at the saddles, at the end if it has `ended`
    ended: bool = False  # whether the end point is known
    course: Course | None = None  # loss and masses at any flow time

    @property
    def orthogonal(self) -> bool:
        """Whether the inputs are orthogonal (to 1e-12, relative)."""
        return self.assumptions.orthogonal_inputs

    def group(self, name: str) -> Group | None:
        """The group of that name; None where it is not there."""
        return next((group for group in self.groups if group.name == name), None)

    @property
    def d_plus_norm(self) -> float:
        """||D+||."""
        return float(self.d_plus.norm())

    @property
    def d_minus_norm(self) -> float:
        """||D-||."""
        return float(self.d_minus.norm())

    @property
    def r(self) -> float | None:
        """||D+|| / ||D-||; None where no label is negative."""
        return self.d_plus_norm / self.d_minus_norm if self.d_minus_norm > 0 else None

    def timeline(self, epsilon: float | None = None) -> Timeline | None:
        """Figure 1's times for the given epsilon, or the largest that B.2 admits; None where it admits none."""
        epsilon = self.epsilon_max if epsilon is None else epsilon
        if epsilon is None or self.scale >= 1 or min(self.d_plus_norm, self.d_minus_norm) == 0:
            return None
        return timeline(self.d_plus_norm, self.d_minus_norm, self.scale, epsilon)


def predict(training_set: TrainingSet, start: Neurons, scale: float) -> Prediction:
    """Predicts the training of the start, whose lambda is `scale`, on the training set.

    Balanced or not, at any lambda down to 1e-300: only log-norms and directions of the start enter.
    """
    d_plus, d_minus = attractors(training_set)
    s_plus, s_minus = cones(training_set, start)
    assumptions = check_assumptions(training_set, start, scale, s_plus, s_minus)
    limit = minimum = least = epsilon = epsilon_sharp = process = None
    groups: tuple[Group, ...] = ()
    saddles: tuple[Saddle, ...] = ()
    ours = training_set.loss.is_square and start.activation.slope == 0 and start.frozen is None
    closed_form = assumptions.orthogonal_inputs and ours
    if closed_form:
        process = solve_limit_process(training_set, start)
        found = (make_group(sign, training_set, process, d, scale) for sign, d in ((1, d_plus), (-1, d_minus)))
        groups = tuple(group for group in found if group is not None)
        minimum, least = _least_norm(training_set)
        saddles, limit = _saddles(training_set, groups), _limit(training_set, groups)
        epsilon = largest_epsilon(training_set)
        epsilon_sharp = largest_epsilon(training_set, sharp=True)
    course, levels, ended = _course(training_set, groups, saddles, limit)
    events = _events(process, groups) | _loss_events(course, levels, ended)
    saddles = tuple(
        replace(saddle, reached=events[f"saddle_{k}_reached"], left=events[f"saddle_{k}_left"])
        for k, saddle in enumerate(saddles, start=1)
    )
    return Prediction(
        source=CLOSED_FORM if closed_form else UNKNOWN,
        assumptions=assumptions,
        scale=scale,
        d_plus=d_plus,
        d_minus=d_minus,
        s_plus=s_plus,
        s_minus=s_minus,
        epsilon_max=epsilon,
        epsilon_max_sharp=epsilon_sharp,
        groups=groups,
        saddles=saddles,
        limit=limit,
        min_half_norm=minimum,
        least_norm=least,
        events=events,
        levels=levels,
        ended=ended,
        course=course,
    )


@lru_cache(maxsize=1)  # many starts on one training set
def _least_norm(training_set: TrainingSet) -> tuple[float, Neurons]:
    """The least 1/2 ||theta||^2 at zero loss, and the network of Proposition 1 that has it: one balanced neuron for
    each of beta+ and beta- that is not zero."""
    fits = torch.stack([fit_of(training_set, sign) for sign in (1, -1)])
    norms = fits.norm(dim=1)
    roots = norms.where(norms > 0, 1.0).sqrt()[:, None]
    signs = torch.tensor([[1.0], [-1.0]], dtype=fits.dtype)
    least = Neurons(signs * fits / roots, (signs * norms.sqrt()[:, None]).squeeze(1))
    return sum(float(fit.norm()) for fit in fits), least


def _saddles(training_set: TrainingSet, groups: tuple[Group, ...]) -> tuple[Saddle, ...]:
    """theta_S: the group of the larger rate has fitted its labels, every other neuron is zero (Fact 1); when the loss
    passes it is not told here."""
    both = ordered(groups)
    if both is None:
        return ()
    first, second = both
    left_over = training_set.y[second.sign * training_set.y > 0]
    loss = float(left_over.square().sum()) / (2 * training_set.n)
    return (Saddle(first.fitted(), loss, second.rate, None, None),)


def _limit(training_set: TrainingSet, groups: tuple[Group, ...]) -> Neurons | None:
    """theta*: both signs fitted (Theorem 1); None where a sign has labels and no group to fit them."""
    signs = [sign for sign in (1, -1) if bool((sign * training_set.y > 0).any())]
    if not groups or len(groups) < len(signs):
        return None
    parts = [group.fitted() for group in groups]
    return Neurons(sum(part.w for part in parts), sum(part.a for part in parts))  # type: ignore[arg-type]


def _events(process: LimitProcess | None, groups: tuple[Group, ...]) -> dict[str, float | None]:
    events: dict[str, float | None] = {"aligned": None}
    for name in NAMES.values():
        group = next((group for group in groups if group.name == name), None)
        events[f"{name}_leaves_zero"] = None if group is None else group.time_of_fraction(LEFT)
        events[f"{name}_fitted"] = None if group is None else group.time_of_fraction(FITTED)
    if process is not None and groups:
        events["aligned"] = _alignment_time(process, groups)
    return events


def _course(
    training_set: TrainingSet, groups: tuple[Group, ...], saddles: tuple[Saddle, ...], limit: Neurons | None
) -> tuple[OfGroups | None, tuple[float, ...], bool]:
    """The course where the groups are known, its critical levels, and whether the last of them is the end's."""
    if not groups:
        return None, (), False
    halves = [(group.sign * training_set.y).clamp(min=0).square().sum() for group in groups]
    shares = tuple(float(half) / (2 * training_set.n) for half in halves)
    zero = float(training_set.y.square().sum()) / (2 * training_set.n)
    rest = zero - sum(shares) if limit is None else 0.0  # of a sign with labels and no group
    levels = (zero, *(saddle.loss for saddle in saddles), rest)
    return OfGroups(groups, shares, rest), levels, True


def _loss_events(course: OfGroups | None, levels: tuple[float, ...], ended: bool) -> dict[str, float | None]:
    if course is None:
        return {"leaves_zero": None, "fitted": None}
    spans = loss_events(levels, ended)
    goals = {name: span.goal for name, span in spans.items() if span is not None}
    return dict.fromkeys(spans) | dict(zip(goals, _times_of_fall(course, list(goals.values())), strict=True))


def _times_of_fall(course: OfGroups, goals: list[float]) -> list[float | None]:
    """The flow times at which the loss has fallen to the goals; None where it started below."""
    levels = np.array(goals)
    rising = np.append(0.0, 2.0 ** np.arange(DOUBLINGS) / course.groups[0].rate)
    ahead = course.loss(rising) > levels[:, None]
    fallen = ahead.argmin(axis=1)
    falls = ahead[:, 0]
    brackets = rising[fallen[falls] - 1], rising[fallen[falls]]
    times = iter(first_moments(lambda at: course.loss(at) <= levels[falls, None], *brackets).tolist())
    return [next(times) if fall else None for fall in falls]


def _alignment_time(process: LimitProcess, groups: tuple[Group, ...]) -> float | None:
    """The first time at which every member of every group is within cosine ALIGNED of its direction."""
    members = [np.flatnonzero(group.members.numpy()) for group in groups]
    goals = np.concatenate(
        [np.tile(group.direction.numpy(), (len(of), 1)) for group, of in zip(groups, members, strict=True)]
    )
    moving, together = process.of(np.concatenate(members)), max(1, NUMBERS // goals.size)

    def aligned(times: Array, some: LimitProcess = moving, towards: Array = goals) -> NDArray[np.bool_]:
        """Which of some of them are, at the times (T,): shape (T, members)."""
        if len(times) <= together:
            return np.asarray((some.directions(times) * towards).sum(axis=-1) >= ALIGNED)
        parts = (times[i : i + together] for i in range(0, len(times), together))
        return np.concatenate([aligned(part, some, towards) for part in parts])

    slowest = min(group.rate for group in groups)
    grid = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 200) / slowest])
    # all are aligned only where the last of them is, which one of few is cheaply asked; any would do
    last = (moving.directions(grid[[100]])[0] * goals).sum(axis=-1).argmin(keepdims=True)
    may = np.flatnonzero(aligned(grid, moving.of(last), goals[last]))
    parts = (may[i : i + 8] for i in range(0, len(may), 8))
    reached = (part[everyone] for part in parts if (everyone := aligned(grid[part]).all(axis=1)).any())
    found = next(reached, None)
    if found is None:
        return None
    first = int(found[0])
    if first == 0:
        return 0.0
    between = float(grid[first - 1]), float(grid[first])
    late = np.flatnonzero(~aligned(grid[first - 1 : first])[0])  # the others stay aligned, as a rule
    some, towards = moving.of(late), goals[late]
    moment = first_moment(lambda times: np.all(aligned(times, some, towards), axis=1), *between)
    if not aligned(np.array([moment])).all():
        moment = first_moment(lambda times: np.all(aligned(times), axis=1), *between)
    return moment
