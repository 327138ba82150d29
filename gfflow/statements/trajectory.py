"""From saddle to saddle on any data: what the forecast and the early phase say of a run, and its end point."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.measures import Snapshot, fall, loss_events
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, NotApplicable, OutsideSetting
from gfflow.theory import escape, solve_early_phase, takes_seconds
from gfflow.theory.prediction import INTEGRATED

Array = NDArray[np.float64]
PART = Part("trajectory", "from saddle to saddle, on any data")
MASS = 0.99  # share of the mass whose neurons are looked at
FITTED = 1e-3  # of the loss at the start, below which the labels count as fitted
ON_DIRECTION = 0.99  # cosine from which a neuron counts as on its direction: a finite lambda leaves it below 1
LATE = 0.05  # relative, by which an event may miss its time
SAME_LOSS = 0.01  # of the loss at the start
ROUNDING = 1e-12  # of a rate
ON_GATE = 1e-3  # of ||w_j|| ||x_k||
RESIDUAL = 0.01  # relative, of the conditions at the end
BELOW = 0.05  # relative, by which the norm may lie below the minimum


def _forecast(case: Case) -> None:
    if case.prediction.source != INTEGRATED:
        raise OutsideSetting("no forecast was made (the inputs are orthogonal, or a note says why)")


def _losses(case: Case) -> tuple[Array, Array, Array]:
    """The frames' times, their losses, and those of the forecast then, NaN where it does not reach."""
    course = case.prediction.course
    assert course is not None
    times = np.array([case.lr * s.iteration for s in case.snapshots])
    return times, np.array([s.loss for s in case.snapshots]), np.asarray(course.loss(times))


def _heavy(case: Case, at: int) -> torch.Tensor:
    """Which neurons hold MASS of the mass on that frame, boolean (m,)."""
    squares = case.snapshots[at].neurons.norms.square()
    order = squares.argsort(descending=True)
    count = int((squares[order].cumsum(0) < MASS * squares.sum()).sum()) + 1
    heavy = torch.zeros(len(squares), dtype=torch.bool)
    heavy[order[:count]] = True
    return heavy


@PART.statement(
    "early alignment",
    "when the loss leaves zero, neurons with 99% of the mass are on their extremal directions (least cosine)",
    epsilon=False,
)
def aligned_to_the_assigned(case: Case) -> Finding:
    """On the last frame before the loss leaves its level at zero."""
    _forecast(case)
    span = loss_events(case.prediction.levels, case.prediction.ended)["leaves_zero"]
    if span is None or case.prediction.events["leaves_zero"] is None:
        raise NotApplicable("the run does not start next to the zero network")
    if not takes_seconds(case.data.n, len(case.start.neurons.a)):
        raise NotApplicable("finding the directions would take minutes")
    before = [i for i, s in enumerate(case.snapshots) if s.loss > span.goal]
    phase, at = solve_early_phase(case.data, case.start.neurons), before[-1]
    chosen = _heavy(case, at) & (phase.index >= 0)
    if not bool(chosen.any()):
        raise NotApplicable("none of these neurons has an extremal direction to go to")
    return Finding(float(phase.cosines(case.snapshots[at].neurons)[chosen].min()), ">=", ON_DIRECTION)


@PART.statement(
    "jumps",
    "every event of the loss that is predicted within the run comes, within 5% of its time (largest difference)",
    epsilon=False,
)
def on_time(case: Case) -> Finding:
    """Relative to the time predicted; infinite for an event that does not come. Both times are read off the same
    frames, which may lie far apart."""
    _forecast(case)
    times, losses, course = _losses(case)
    there = np.isfinite(course)
    off = []
    for name, span in loss_events(case.prediction.levels, case.prediction.ended).items():
        predicted, measured = case.prediction.events[name], fall(times, losses, span)
        if predicted is not None and 0 < predicted <= times[-1] / (1 + LATE):  # else it may come after the run
            expected = fall(times[there], course[there], span) or predicted
            off.append(math.inf if measured is None else abs(measured / expected - 1))
    if not off:
        raise NotApplicable("no event is predicted within the run")
    return Finding(max(off), "<=", LATE)


@PART.statement(
    "jumps",
    "the loss is the predicted one on every frame that the forecast reaches, to 1% of L(0) (largest difference)",
    epsilon=False,
)
def loss_as_predicted(case: Case) -> Finding:
    _forecast(case)
    _, losses, predicted = _losses(case)
    there = np.isfinite(predicted)
    return Finding(float(np.abs(losses - predicted)[there].max()) / case.start.loss, "<=", SAME_LOSS)


@PART.statement(
    "saddles",
    "every predicted saddle is strict: a small neuron leaves it (least rate, relative to (1/n) Σ |y_k| ||x_k||)",
    epsilon=False,
)
def strict(case: Case) -> Finding:
    """At each saddle the rate max over unit w of |(1/n) sum_k r_k relu(<w, x_k>)|, from its network."""
    _forecast(case)
    if not case.prediction.saddles:
        raise NotApplicable("no saddle is predicted")
    x, scale, rates = case.data.x.numpy(), case.data.field_scale, []
    for saddle in case.prediction.saddles:
        residuals = Snapshot(saddle.neurons, case.data).residuals
        rates.append(escape(x, residuals.numpy()).rate / scale)
    return Finding(min(rates), ">", ROUNDING)


@PART.statement(
    "end point",
    "w_j = a_j Σ λ_k x_k, a_j = Σ λ_k <w_j, x_k> over open gates, one λ: KKT point of minimum norm, to 1% (residual)",
    epsilon=False,
)
def kkt(case: Case) -> Finding:
    """At the end, for the neurons with 99% of the mass: of min 1/2||theta||^2 subject to h(x_k) = y_k. There a sample
    on a gate may take part with any share of its multiplier in [0, 1]; here gates within ON_GATE of a neuron's length
    and the sample's are left to the fit by a multiplier of their own, which is necessary only."""
    case.require_ours()
    end, data = case.end, case.data
    if not end.loss <= FITTED * case.start.loss:
        raise NotApplicable("the labels are not fitted at the end")
    heavy = _heavy(case, -1).nonzero().flatten().tolist()
    x, n = data.x.numpy(), data.n
    w, a, z = end.neurons.w.numpy(), end.neurons.a.numpy(), end.preactivations.numpy()
    on_gate = np.abs(z) <= ON_GATE * np.linalg.norm(w, axis=1)[:, None] * data.norms.numpy()
    rows, right, at = [], [], n
    for j in heavy:
        pulls = np.vstack([a[j] * x.T, z[j]])  # of each sample's multiplier, on w_j and on a_j: (d + 1, n)
        own = np.flatnonzero(on_gate[j])
        row = np.zeros((len(pulls), n + int(on_gate[heavy].sum())))
        row[:, :n] = np.where(end.gates[j].numpy() & ~on_gate[j], pulls, 0.0)
        row[:, at : at + len(own)] = pulls[:, own]
        at += len(own)
        rows.append(row)
        right.append(np.append(w[j], a[j]))
    matrix, wanted = np.concatenate(rows), np.concatenate(right)
    residual = matrix @ np.linalg.lstsq(matrix, wanted, rcond=None)[0] - wanted
    return Finding(float(np.linalg.norm(residual) / np.linalg.norm(wanted)), "<=", RESIDUAL)


@PART.statement("end point", "1/2||θ||² is not below its minimum at zero loss, to 5% (ratio)", epsilon=False)
def above_the_minimum(case: Case) -> Finding:
    """Needs the minimum: closed on orthogonal inputs, else callbacks.minimum_norm=true. Labels that are fitted only
    nearly need a little less."""
    case.require_ours()
    minimum = case.prediction.min_half_norm
    if not minimum:
        raise NotApplicable("the minimum norm is not known")
    if not case.end.loss <= FITTED * case.start.loss:
        raise NotApplicable("the labels are not fitted at the end")
    return Finding(case.end.neurons.half_norm_squared / minimum, ">=", 1 - BELOW)
