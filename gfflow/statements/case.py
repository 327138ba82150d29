"""A run as the statements see it: prediction, frames, the theory's times and the ends of the phases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from gfflow.measures import Snapshot
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.theory import Group, Milestone, Prediction, milestones, ordered
from gfflow.theory.directions import EQUAL

BALANCED = 1e-6  # largest | |a_j| / ||w_j|| - 1 | at a balanced start: float32 rounds to 6e-8
ROUNDING = 4e-15  # distance between two unit vectors that float64 cannot tell from 0
NEAREST = 0.02  # a frame stands for a time if it is at most this share of the time away from it


class NotApplicable(Exception):  # not an error: a verdict
    """Why a statement says nothing of a run: one line."""


class OutsideSetting(NotApplicable):
    """The paper's setting is not the run's: one reason for all statements that are made in it."""


@dataclass(frozen=True)
class PhaseEnd:
    """The end of a phase as Eq. 17 and 23 define it, seen on recorded frames: the first at which a condition holds.

    The phase ends after `before` and not later than `at`.
    """

    before: Snapshot
    at: Snapshot


@dataclass(frozen=True, eq=False)
class Case:
    """A run to check: what was predicted, what was recorded, and the epsilon of the lemmas.

    `descent` says whether the weights moved by steps of size lr or along the flow itself. `other` is a second run.
    """

    prediction: Prediction
    snapshots: tuple[Snapshot, ...]
    lr: float
    epsilon: float = math.nan
    descent: bool = True
    other: Case | None = None

    @property
    def start(self) -> Snapshot:
        """The first frame, iteration 0."""
        return self.snapshots[0]

    @property
    def end(self) -> Snapshot:
        """The last frame."""
        return self.snapshots[-1]

    @property
    def data(self) -> TrainingSet:
        """The samples."""
        return self.start.training_set

    @property
    def scale(self) -> float:
        """lambda."""
        return self.prediction.scale

    @property
    def imbalance(self) -> float:
        """max_j | |a_j| / ||w_j|| - 1 | at the start: 0 for Eq. 4."""
        neurons = self.start.neurons
        return float((neurons.a.abs() / neurons.norms - 1).abs().max())

    def require_ours(self) -> None:
        """Raises OutsideSetting where loss, activation or trained layers are not the paper's."""
        neurons = self.start.neurons
        if not self.data.loss.is_square:
            raise OutsideSetting(f"the loss is {self.data.loss.name}, not the square loss")
        if neurons.activation.slope != 0:
            raise OutsideSetting("the activation is the leaky ReLU")
        if neurons.frozen is not None:
            raise OutsideSetting(f"the {neurons.frozen} layer is frozen")

    @cached_property
    def groups(self) -> tuple[Group, Group]:
        """(first, second): S+ and S- where ||D+|| > ||D-||, as the paper assumes; S- and S+ otherwise.

        Raises OutsideSetting where the paper's setting is not this run's.
        """
        self.require_ours()
        if not self.prediction.assumptions.orthogonal_inputs:
            raise OutsideSetting("inputs are not orthogonal (Assumption 1)")
        if not self.prediction.assumptions.labels:
            raise OutsideSetting("Assumption 2 fails")
        found = ordered(self.prediction.groups)
        if found is None:
            raise OutsideSetting("S+ or S- is empty (Assumption 3)")
        if not self.imbalance <= BALANCED:
            raise OutsideSetting("the start is not balanced (Eq. 4)")
        for group in found:
            norms = self.data.norms[group.sign * self.data.y > 0]
            if float(norms.max() / norms.min()) - 1 > EQUAL:
                raise OutsideSetting("inputs of one sign differ in norm")
        if self.scale >= 1:
            raise OutsideSetting("lambda is not below 1")
        return found

    @property
    def saddle(self) -> Neurons:
        """theta_S (Fact 1); raises NotApplicable as `groups` does."""
        _ = self.groups
        return self.prediction.saddles[0].neurons

    @property
    def first(self) -> Group:
        """The group fitted first: the paper's S+."""
        return self.groups[0]

    @property
    def second(self) -> Group:
        """The group fitted second: the paper's S-."""
        return self.groups[1]

    @property
    def r(self) -> float:
        """||D+||/||D-|| > 1, of the paper's roles."""
        return self.first.rate / self.second.rate

    @property
    def c(self) -> float:
        """max_j ||w_j(0)|| / lambda (Section 4.1)."""
        return float(self.start.neurons.norms.max()) / self.scale

    @property
    def others(self) -> Tensor:
        """Neurons outside S+ and S-, boolean (m,)."""
        return ~(self.first.members | self.second.members)

    def power(self, exponent: float) -> float:
        """lambda^exponent."""
        return self.scale**exponent

    @cached_property
    def milestones(self) -> dict[str, Milestone]:
        """The theory's times; raises NotApplicable as `groups` does, and where the data admit no epsilon."""
        _ = self.groups
        if math.isnan(self.epsilon):
            raise NotApplicable("B.2 admits no epsilon")
        return milestones(self.prediction, self.epsilon)

    def iteration(self, name: str) -> int:
        """The iteration that stands for the milestone."""
        return self.milestones[name].iteration(self.lr, self.descent)

    def at(self, name: str) -> Snapshot:
        """The frame at the milestone; raises NotApplicable where the run ended before it or recorded none near it."""
        wanted = self.iteration(name)
        if wanted > self.end.iteration:
            raise NotApplicable(f"the run ended before {name}, iteration {wanted:,}")
        found = min(self.snapshots, key=lambda s: abs(s.iteration - wanted))
        if abs(found.iteration - wanted) > NEAREST * wanted:
            raise NotApplicable(f"no frame near {name}, iteration {wanted:,} (nearest {found.iteration:,})")
        return found

    def between(self, begin: str, end: str) -> list[Snapshot]:
        """The frames between two milestones, both included; raises NotApplicable as `at` does."""
        # descent's clock lags more for the faster rate: times that coincide can stand for iterations out of order
        low, high = sorted((self.at(begin).iteration, self.at(end).iteration))
        return [s for s in self.snapshots if low <= s.iteration <= high]

    @cached_property
    def t2(self) -> PhaseEnd:
        """The end of the second phase (Eq. 17)."""
        group = self.first

        def ended(s: Snapshot) -> bool:
            return (
                largest(s.neurons.norms[~group.members]) >= 2 * self.c * self.power(self.epsilon)
                or deficit(group, s) <= self.power(self.epsilon / 5)
                or misalignment(group, s) >= self.power(self.epsilon / 2)
            )

        return self._first("t2", self.at("t+1").iteration, ended)

    @cached_property
    def t3(self) -> PhaseEnd:
        """The end of the third phase (Eq. 23)."""
        group, t2 = self.second, self.t2.at.iteration

        def ended(s: Snapshot) -> bool:
            return (
                largest(s.neurons.norms[self.others]) >= 3 * self.c * self.power(self.epsilon)
                or deficit(group, s) <= self.power(self.epsilon / 29)
                or misalignment(group, s) >= self.power(self.epsilon / 14)
                or (s.iteration >= t2 and residual_norm(self.first, s) >= self.power(self.epsilon / 14))
            )

        return self._first("t3", self.at("t1").iteration, ended)

    def _first(self, name: str, begin: int, ended: Callable[[Snapshot], bool]) -> PhaseEnd:
        before = self.start
        for s in self.snapshots:
            if s.iteration >= begin and ended(s):
                return PhaseEnd(before, s)
            before = s
        raise NotApplicable(f"the run ended before {name}")


def largest(values: Tensor) -> float:
    """The maximum; 0 for an empty tensor: a bound on all neurons of an empty group is true."""
    return float(values.max()) if values.numel() else 0.0


def deficit(group: Group, s: Snapshot) -> float:
    """n||D+|| - sum over S+ of ||w_j||^2, or the same for S-; with ||beta|| for n||D|| where inputs are not unit."""
    return group.mass_limit - float(s.neurons.norms[group.members].square().sum())


def misalignment(group: Group, s: Snapshot) -> float:
    """||D+|| - min over S+ of <w_j/||w_j||, D+>, or the same for S- with -D-.

    For unit vectors 1 - <v, u> = ||v - u||^2 / 2, which rounding disturbs at 1e-31 only; below that it is 0.
    """
    apart = float((s.neurons.directions[group.members] - group.direction).norm(dim=1).max())
    return group.rate * apart**2 / 2 if apart > ROUNDING else 0.0


def residual_norm(group: Group, s: Snapshot) -> float:
    """||D+^t|| (B.1): D+ with the residuals in place of the labels, or the same for D-."""
    data = s.training_set
    mine = group.sign * data.y > 0
    return float((s.residuals[mine] @ data.x[mine]).norm()) / data.n
