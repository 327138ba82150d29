"""The limit lambda -> 0 of gradient flow from lambda times a start, on any data: a staircase of critical points.

With ell = ln(1/lambda) the loss stands at critical points for times proportional to ell, and jumps from one to the
next in a time O(1): the k-th jump is at the time A_k ell + B_k + o(1). At a critical point every dormant neuron, of
vanishing size, moves alone in the frozen field; the first cluster whose log-norm, linear in time, has risen to zero
jumps. On orthogonal data these are the two phases of Theorem 1: A_1 = 1/||D+||, A_2 = 1/||D-||.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gfflow.errors import InvalidInput, Unresolved
from gfflow.model.data import Samples, TrainingSet, as_training_set
from gfflow.model.neurons import Neurons, Start, as_neurons
from gfflow.motion.flow.coordinates import Array, Problem, directions, enter, leave, merged
from gfflow.theory.dormant import (
    RETURN,
    Levels,
    Settled,
    let_return,
    pass_time,
    remember,
    settle,
    start_for,
    turning_times,
)
from gfflow.theory.transition import PASSIVE, SEED, Transition, run

TIE = 1e-9  # relative difference of two times below which they are one
FITTED = 1e-18  # of the loss at zero: a loss below this is zero
MOST_JUMPS = 200
ROOM = 3.0  # a plateau is resolved where it lasts this many times what its neurons need to settle


@dataclass(frozen=True)
class Cluster:
    """Neurons that jump together in one direction, and act as one neuron."""

    members: tuple[int, ...]
    sign: int
    direction: Array  # (d,), unit
    rate: float  # N: their log-norms grow by N a unit of time
    shares: Array  # of each member in the sum of squared norms
    log_amplitude: float  # ln K: before the jump their sum of squared norms is K e^{2 N (t - A ell)}


@dataclass(frozen=True)
class Jump:
    """From the critical point before to the one after: T = A ell + B is when the loss passes the middle of both."""

    A: float
    B: float
    clusters: tuple[Cluster, ...]  # one, unless several grow to size 1 at times that agree to rounding
    settling: float  # time, to a factor of 2, that its neurons need on the plateau before it to settle
    gap: float  # by how many ell the next dormant neuron would jump later, from the same plateau; inf for none
    asleep: tuple[int, ...]  # neurons that acted before it and have fallen to zero after it


@dataclass(frozen=True, eq=False)
class Plateau:
    """A critical point at which the limit stands."""

    loss: float
    residuals: Array  # (n,), of the samples; those that are multiples of each other count as one
    neurons: Neurons  # the dormant ones zero


@dataclass(frozen=True, eq=False)
class Staircase:
    """The limit from one start; B and the amplitudes belong to lambda times this start."""

    critical_points: tuple[Plateau, ...]  # one more than jumps; the first is zero
    jumps: tuple[Jump, ...]
    fits: bool
    end: str  # why there is no further jump
    rates: Array  # (m,), growth of the dormant neurons' log-norms at the end

    @property
    def losses(self) -> list[float]:
        """The loss at each critical point."""
        return [point.loss for point in self.critical_points]

    @property
    def A(self) -> list[float]:
        """The slopes of the jump times over ln(1/lambda)."""
        return [jump.A for jump in self.jumps]

    @property
    def B(self) -> list[float]:
        """The constants of the jump times."""
        return [jump.B for jump in self.jumps]

    def times(self, scale: float) -> list[float]:
        """A_k ln(1/scale) + B_k: flow times of the jumps from `scale` times the start, but for what vanishes as scale
        does."""
        return self.times_at(_ell(scale))

    def times_at(self, ell: float) -> list[float]:
        """The same for ell = ln(1/lambda), of any size."""
        return [jump.A * ell + jump.B for jump in self.jumps]

    def onset(self) -> float:
        """The ell = ln(1/lambda) from which on the lines tell what the flow does: from there every plateau lasts
        ROOM times as long as its neurons need to settle, and the next cluster is still small, e^-ROOM, at each jump.

        An estimate of where the limit begins, not a bound; inf where a plateau has no length.
        """
        onset, before = 0.0, (0.0, 0.0)
        for jump in self.jumps:
            needed = ROOM * jump.settling - (jump.B - before[1])
            onset = max(onset, _over(needed, jump.A - before[0]), _over(ROOM, jump.gap))
            before = (jump.A, jump.B)
        return onset

    def far(self, scale: float) -> str:
        """In words, how far this lambda is from the limit."""
        onset, ell = self.onset(), _ell(scale)
        if not math.isfinite(onset):
            return "no lambda is small enough for all plateaus: two jumps have the same slope"
        limit = f"1e-{math.ceil(onset / math.log(10))}"
        if ell >= onset:
            return f"at scale {scale:g} the limit's plateaus are resolved, as from about {limit} on"
        return f"scale {scale:g} is far from the limit, whose plateaus are resolved from about {limit} on"


def _ell(scale: float) -> float:
    if not 0 < scale < 1:
        raise InvalidInput("scale", scale, "a number between 0 and 1")
    return -math.log(scale)


def _over(needed: float, slope: float) -> float:
    if needed <= 0 or slope == math.inf:
        return 0.0
    return needed / slope if slope > 0 else math.inf


def staircase(training_set: Samples, start: Start, rtol: float = 1e-8) -> Staircase:
    """The limit lambda -> 0 of gradient flow from lambda times the start (w (m, d), a (m,)), on any data.

    Square loss, ReLU with relu'(0) = 0; independent of any lambda. The slopes A and the losses are exact up to
    rounding; the constants B have the accuracy of the flow between critical points, whose tolerance is rtol (at 1e-8
    about 1e-6 to 1e-3). Costs about a second for 60 neurons and 5 samples.

    Raises InvalidInput for another loss or activation, and Unresolved where the limit is not determined by this
    process: a neuron exactly against its field, which may turn to any side; no critical point reached; a neuron that
    is not balanced and shrinks back to its first size.
    """
    training_set, start = as_training_set(training_set), as_neurons(start)
    if not training_set.loss.is_square:
        why = "others have no critical points at which the loss could stand between two jumps"
        raise InvalidInput("loss", training_set.loss.name, f"square, for the limit lambda -> 0: {why}")
    if start.frozen is not None:
        raise InvalidInput("frozen", start.frozen, "no frozen layer, for the limit lambda -> 0")
    if not start.activation.is_relu:
        raise InvalidInput("activation", start.activation, "the ReLU with relu'(0) = 0")
    return _Climb(training_set, start, rtol).to_the_end()


class _Climb:
    """The state of the limit process between two jumps: times are A ell + B, log-norms -level ell + rho."""

    def __init__(self, training_set: TrainingSet, start: Neurons, rtol: float) -> None:
        self.rtol = rtol
        data = merged(training_set)
        self.problem, self.state = enter(data, start)
        m = len(start.a)
        self.levels = Levels.at_start(m)
        self.dormant = np.ones(m, dtype=bool)
        self.r = self.problem.y.copy()
        self.A, self.B = 0.0, 0.0
        at_zero = float(training_set.y.square().mean()) / 2
        # what no network can fit of samples that are multiples of each other
        self.offset = 0.0 if data is training_set else at_zero - self._loss(self.r)
        self.points, self.jumps = [self._point()], list[Jump]()

    def to_the_end(self) -> Staircase:
        while len(self.jumps) < MOST_JUMPS:
            rates = np.zeros(len(self.levels.norm))
            if self._loss(self.r) > FITTED * self._loss(self.problem.y):
                settled = self._settle()
                rates = settled.growth
                if self._next(settled):
                    continue
            loss = self.points[-1].loss
            fits = self.points[-1].loss <= FITTED * self.points[0].loss
            end = "fits the data" if fits else f"no neuron grows: stays at loss {loss:.6g}"
            return Staircase(tuple(self.points), tuple(self.jumps), fits, end, rates)
        raise Unresolved(f"no end after {MOST_JUMPS} jumps")

    def _loss(self, r: Array) -> float:
        return float(r @ r) / (2 * len(r))

    def _seen(self) -> Problem:
        return start_for(self.problem, self.levels)

    def _point(self) -> Plateau:
        start = self.problem.start
        alone = replace(self.problem, start=start._replace(beside=np.full(len(self.dormant), -np.inf)))
        state = self.state._replace(rho=np.where(self.dormant, -PASSIVE, self.state.rho))
        neurons = leave(alone, state)
        return Plateau(max(0.0, self._loss(self.r) + self.offset), self.r.copy(), neurons)

    def _settle(self) -> Settled:
        settled = settle(self._seen(), self.state, self.r, self.dormant)
        remember(self._seen(), self.levels, settled.state, self.levels.norm)
        self.state = settled.state
        return settled

    def _next(self, settled: Settled) -> bool:
        """Lets time pass to the next event, a jump or a neuron that turns round; False where there is none."""
        growing = settled.growth > 0
        jumping = np.full(len(growing), np.inf)
        jumping[growing] = np.maximum(self.levels.norm[growing], 0.0) / settled.growth[growing]
        turning = turning_times(self.levels, settled)
        tau = min(jumping.min(initial=np.inf), turning.min(initial=np.inf))
        if not np.isfinite(tau):
            return False
        if turning.min(initial=np.inf) <= jumping.min(initial=np.inf) * (1 + TIE):
            self._turn(settled, int(turning.argmin()), float(turning.min()))
        else:
            self._jump(settled, jumping, jumping <= tau * (1 + TIE) + 1e-300)
        return True

    def _turn(self, settled: Settled, j: int, tau: float) -> None:
        pass_time(self.levels, settled, tau, self._seen())
        after = (settled.state.rho[j] - self.levels.deep[j] - RETURN) / -settled.growth[j]
        self.state = settled.at(after)
        self.A, self.B = self.A + tau, self.B + after
        let_return(self.levels, self.state, j)

    def _jump(self, settled: Settled, jumping: Array, cluster: np.ndarray) -> None:
        tau = float(jumping[cluster].min())
        clusters = self._clusters(settled, np.flatnonzero(cluster))
        others = jumping[~cluster].min(initial=np.inf) - tau
        pass_time(self.levels, settled, tau, self._seen())
        self.levels.norm[cluster] = 0.0
        after = min((math.log(SEED) - c.log_amplitude / 2) / c.rate for c in clusters) - self.B
        state, before = settled.at(after), self.levels.norm.copy()
        state.omega[cluster & ~np.isnan(self.levels.across)] = -np.inf
        self.dormant = self.dormant & ~cluster
        way = run(self._seen(), state, self.dormant, self.rtol)
        remember(self._seen(), self.levels, way.state, before)
        self._arrive(way, after, tau)
        middle = (self.points[-2].loss + self.points[-1].loss) / 2 - self.offset
        self.jumps.append(
            Jump(
                A=self.A,
                B=self.B - way.duration + way.time_below(middle),
                clusters=clusters,
                settling=float(settled.time[cluster].max()),
                gap=others,
                asleep=tuple(np.flatnonzero(way.asleep).tolist()),
            )
        )

    def _arrive(self, way: Transition, after: float, tau: float) -> None:
        self.state, self.r = way.state, way.residual
        self.dormant = self.dormant | way.asleep
        self.A, self.B = self.A + tau, self.B + after + way.duration
        self.points.append(self._point())

    def _clusters(self, settled: Settled, members: np.ndarray) -> tuple[Cluster, ...]:
        """The jumping neurons by direction and sign."""
        state, left, found = settled.state, list(members.tolist()), []
        while left:
            lead = left[0]
            near = [
                j for j in left if state.a[j] == state.a[lead] and np.abs(state.v[j] - state.v[lead]).max() < 1e-7
            ]
            logs, rate = 2 * state.rho[near], float(settled.growth[lead])
            top = logs.max()
            total = np.exp(logs - top).sum()
            found.append(
                Cluster(
                    members=tuple(near),
                    sign=int(state.a[lead]),
                    direction=directions(self.problem, state)[lead],
                    rate=rate,
                    shares=np.exp(logs - top) / total,
                    log_amplitude=float(top + math.log(total)) - 2 * rate * self.B,
                )
            )
            left = [j for j in left if j not in near]
        return tuple(found)
