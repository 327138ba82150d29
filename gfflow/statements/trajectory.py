"""From saddle to saddle on any data: what the forecast and the early phase say of a run, and its end point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import lsq_linear

from gfflow.measures import fall, loss_events
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import Case, NotApplicable, OutsideSetting
from gfflow.theory import solve_early_phase, takes_seconds
from gfflow.theory.prediction import INTEGRATED

PART = Part("trajectory", "from saddle to saddle, on any data")
MASS = 0.99  # share of the mass whose neurons are looked at
SMALL = 1e-3  # of the loss at the start, below which the labels count as fitted


def _forecast(case: Case) -> None:
    if case.prediction.source != INTEGRATED:
        raise OutsideSetting("no forecast was made (the inputs are orthogonal, or a note says why)")


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
    """The last frame before the loss leaves its level at zero; finite lambda leaves the cosine below 1."""
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
    return Finding(float(phase.cosines(case.snapshots[at].neurons)[chosen].min()), ">=", 0.99)


@PART.statement("jumps", "the events of the loss come in the order predicted (events out of order)", epsilon=False)
def in_order(case: Case) -> Finding:
    _forecast(case)
    times = [time for time in _measured(case).values() if time is not None]
    return Finding(float(sum(b < a for a, b in pairwise(times))), "<=", 0.0)


@PART.statement("jumps", "the loss on every frame is the predicted one (largest difference over L(0))", epsilon=False)
def loss_as_predicted(case: Case) -> Finding:
    _forecast(case)
    course = case.prediction.course
    assert course is not None
    times = np.array([case.lr * s.iteration for s in case.snapshots])
    losses, predicted = np.array([s.loss for s in case.snapshots]), course.loss(times)
    there = np.isfinite(predicted)
    return Finding(float(np.abs(losses - predicted)[there].max()) / case.start.loss, "<=", 0.01)


@PART.statement("saddles", "every predicted saddle is strict (least escape rate)", epsilon=False)
def strict(case: Case) -> Finding:
    _forecast(case)
    if not case.prediction.saddles:
        raise NotApplicable("no saddle is predicted")
    return Finding(min(saddle.escape_rate for saddle in case.prediction.saddles), ">", 0.0)


@PART.statement(
    "end point",
    "at the end w_j = a_j Σ λ_k x_k over open gates, λ free: a KKT point of minimum norm (relative residual)",
    epsilon=False,
)
def kkt(case: Case) -> Finding:
    """Of min 1/2||theta||^2 subject to h(x_k) = y_k. A sample on a gate may take part with any share in [0, 1]; here
    gates within 1e-3 of a neuron's length and the sample's are left to the fit by a multiplier of their own."""
    end, data = case.end, case.data
    if not end.loss <= SMALL * case.start.loss:
        raise NotApplicable("the labels are not fitted at the end")
    heavy = _heavy(case, -1).nonzero().flatten().tolist()
    x, n = data.x.numpy(), data.n
    w, a = end.neurons.w.numpy(), end.neurons.a.numpy()
    lengths = np.linalg.norm(w, axis=1)[:, None] * data.norms.numpy()
    on_gate = np.abs(end.preactivations.numpy()) <= 1e-3 * lengths
    rows, right, free = [], [], int(on_gate[heavy].sum())
    at = n
    for j in heavy:
        row = np.zeros((x.shape[1], n + free))
        gates = end.gates[j].numpy() & ~on_gate[j]
        row[:, :n] = a[j] * (gates[:, None] * x).T
        for k in np.flatnonzero(on_gate[j]):
            row[:, at] = a[j] * x[k]
            at += 1
        rows.append(row)
        right.append(w[j])
    found = lsq_linear(np.concatenate(rows), np.concatenate(right))
    residual = np.concatenate(rows) @ found.x - np.concatenate(right)
    return Finding(float(np.linalg.norm(residual) / np.linalg.norm(np.concatenate(right))), "<=", 0.01)


@PART.statement("end point", "1/2||θ||² is not below its minimum at zero loss (ratio)", epsilon=False)
def above_the_minimum(case: Case) -> Finding:
    """Needs the minimum: closed on orthogonal inputs, else callbacks.minimum_norm=true."""
    minimum = case.prediction.min_half_norm
    if not minimum:
        raise NotApplicable("the minimum norm is not known")
    if not case.end.loss <= SMALL * case.start.loss:
        raise NotApplicable("the labels are not fitted at the end")
    return Finding(case.end.neurons.half_norm_squared / minimum, ">=", 0.95)


def _measured(case: Case) -> dict[str, float | None]:
    """The flow times of the loss events, from the frames."""
    times = np.array([case.lr * s.iteration for s in case.snapshots])
    losses = np.array([s.loss for s in case.snapshots])
    spans = loss_events(case.prediction.levels, case.prediction.ended)
    return {name: fall(times, losses, span) for name, span in spans.items()}
