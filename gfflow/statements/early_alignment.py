"""Early alignment on any data, and what it costs: statements of Boursier and Flammarion, arXiv 2401.10791, as its
abstract and its Assumption 3 have them. Its constants are not taken over: the bounds here are our own, and say so."""

from __future__ import annotations

import math

from gfflow.measures import Snapshot
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import BALANCED, Case, NotApplicable, OutsideSetting
from gfflow.theory import EarlyPhase, extremal_directions, solve_early_phase, takes_seconds
from gfflow.theory.baselines import least_squares_loss
from gfflow.theory.early_phase import SMALL, early_phase_known
from gfflow.theory.prediction import ALIGNED

PART = Part("early_alignment", "early alignment on any data (arXiv 2401.10791)")
ETA = 1 / 6  # Assumption 3 of that paper holds for some eta below this
MARGIN = 1e-6  # of a loss, relative: rounding, and a run stopped before it has come to rest


def _phase(case: Case) -> EarlyPhase:
    """Which extremal direction each neuron goes to; raises NotApplicable where that says nothing."""
    start = case.start
    if case.prediction.orthogonal:
        raise OutsideSetting("inputs are orthogonal: Lemma 2 says more")
    if case.scale >= 1:
        raise OutsideSetting("lambda is not below 1")
    if not early_phase_known(case.data, start.neurons):
        raise OutsideSetting("a layer is frozen, the loss is one of your own, or relu'(0) is not 0")
    if not takes_seconds(case.data.n, len(start.neurons.a)):
        raise NotApplicable("finding the extremal directions would take minutes")
    phase = solve_early_phase(case.data, start.neurons)
    if not bool((phase.index >= 0).any()):
        raise NotApplicable("no neuron goes to an extremal direction")
    return phase


def _least_cosine(phase: EarlyPhase, s: Snapshot) -> float:
    return float(phase.cosines(s.neurons)[phase.index >= 0].min())


@PART.statement(
    "Theorem 1",
    "neurons align with extremal vectors w = ±D(w)/||D(w)|| while the loss is above 99% of its start (least cosine)",
    epsilon=False,
)
def aligned_while_small(case: Case) -> Finding:
    phase = _phase(case)
    small = [s for s in case.snapshots if s.loss > SMALL * case.start.loss]
    if case.end.loss > SMALL * case.start.loss:
        raise NotApplicable("the run ended while the network was small")
    return Finding(_least_cosine(phase, small[-1]), ">=", ALIGNED, note="the threshold is ours")


@PART.statement(
    "Theorem 1",
    "they do so in a time of order ln(1/λ): by ln(1/λ)/max ||D||, before which no neuron has grown to size 1",
    epsilon=False,
)
def aligned_in_time(case: Case) -> Finding:
    phase = _phase(case)
    bound = -math.log(case.scale) / float(phase.rates.max())
    if case.lr * case.end.iteration < bound:
        raise NotApplicable("the run ended before that time")
    aligned = [s.iteration for s in case.snapshots if _least_cosine(phase, s) >= ALIGNED]
    return Finding(case.lr * aligned[0] if aligned else math.inf, "<=", bound, note="the constant is ours")


@PART.statement(
    "Assumption 3", "three points with bias near (-1, 1), (0, 0), (1, 1): within η < 1/6 of them (the η needed)",
    epsilon=False,
)  # fmt: skip
def three_points(case: Case) -> Finding:
    data = case.data
    if data.n != 3 or not data.one_dimensional:
        raise OutsideSetting("not three points on a line with bias")
    order = data.x[:, 0].argsort()
    (x1, x2, x3), (y1, y2, y3) = data.x[order, 0].tolist(), data.y[order].tolist()
    if not (x1 > -1 and x3 < 1 and y1 >= 1 and y2 > 0 and y3 >= 1):
        return Finding(math.inf, "<", ETA, note="outer labels at least 1, a positive one between, |x| < 1")
    return Finding(max(x1 + 1, abs(x2), 1 - x3, y1 - 1, y2, y3 - 1), "<", ETA)


@PART.statement(
    "Theorem 2",
    "no convergence to zero loss: where every stable extremal vector is active on all samples, and |a_j| >= ||w_j|| "
    "at the start, the loss ends no lower than that of least squares",
    epsilon=False,
)
def not_fitted(case: Case) -> Finding:
    _phase(case)
    case.require_ours()
    data, neurons = case.data, case.start.neurons
    listed = extremal_directions(data.x.numpy(), data.y.numpy())
    if listed is None:
        raise NotApplicable("there are too many extremal vectors to list them")
    if not all(direction.gates.all() for direction in listed if direction.stable):
        raise OutsideSetting("a stable extremal vector is off on some sample")
    if not bool((neurons.a.abs() >= (1 - BALANCED) * neurons.norms).all()):
        raise OutsideSetting("the start has neurons with |a_j| < ||w_j||")
    least = least_squares_loss(data)
    if not least > MARGIN * data.loss_at_zero:
        raise OutsideSetting("a linear function fits the labels")
    return Finding(case.end.loss, ">=", (1 - MARGIN) * least)
