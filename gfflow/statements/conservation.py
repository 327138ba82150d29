"""What training keeps: balance (Lemma 1) and closed gates (Lemma 6)."""

from __future__ import annotations

from itertools import pairwise

import torch

from gfflow.measures import balance_drift
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import BALANCED, Case, OutsideSetting

PART = Part("conservation", "what training keeps")


def _both_trained(case: Case) -> None:
    if case.start.neurons.frozen is not None:
        raise OutsideSetting(f"the {case.start.neurons.frozen} layer is frozen")


@PART.statement("Lemma 1", "a_j² - ||w_j||² is kept; by descent to η (L(0) - L(t)), first order in η", epsilon=False)
def balance_kept(case: Case) -> Finding:
    """Along the flow it is constant. A step of descent changes it by lr^2 (<D_j, w_j>^2 - a_j^2 ||D_j||^2), at most
    lr^2 ||grad L||^2, and lr ||grad L||^2 is what the step takes off the loss, to first order in lr."""
    _both_trained(case)
    drifts = [balance_drift(s.neurons, case.start.neurons) for s in case.snapshots]
    squares = max(float(s.neurons.a.abs().max()) ** 2 for s in case.snapshots)
    rounding = len(case.snapshots) * torch.finfo(torch.float64).eps * squares
    taken = case.start.loss - min(s.loss for s in case.snapshots)
    return Finding(max(drifts), "<=", (case.lr * taken if case.descent else 1e-6 * squares) + rounding)


@PART.statement(
    "Lemma 1", "from a balanced start sign(a_j) is kept and a_j, w_j != 0 (neurons that fail)", epsilon=False
)
def signs_kept(case: Case) -> Finding:
    _both_trained(case)
    if not case.imbalance <= BALANCED:
        raise OutsideSetting("the start is not balanced (Eq. 4)")
    failed = torch.zeros_like(case.start.neurons.a, dtype=torch.bool)
    for s in case.snapshots:
        failed |= (s.neurons.signs != case.start.neurons.signs) | (s.neurons.norms == 0)
    return Finding(float(failed.sum()), "<=", 0.0)


@PART.statement(
    "Lemma 1",
    "where |a_j| > ||w_j|| at the start sign(a_j) is kept, whatever the start (neurons that fail)",
    epsilon=False,
)
def dominated_signs_kept(case: Case) -> Finding:
    """a_j^2 = ||w_j||^2 + c_j with c_j > 0 cannot be zero. (Where c_j = 0 it is zero only with the neuron itself.)"""
    _both_trained(case)
    start = case.start.neurons
    dominated = start.a.abs() > (1 + BALANCED) * start.norms
    if not bool(dominated.any()):
        raise OutsideSetting("no neuron has |a_j| > ||w_j|| at the start")
    failed = torch.zeros_like(dominated)
    for s in case.snapshots:
        failed |= dominated & (s.neurons.signs != start.signs)
    return Finding(float(failed.sum()), "<=", 0.0)


@PART.statement("Lemma 6", "<w_j, x_k> < 0 at t implies < 0 ever after (gates that fail)", epsilon=False)
def closed_stays_closed(case: Case) -> Finding:
    if not case.prediction.orthogonal:
        raise OutsideSetting("inputs are not orthogonal (Assumption 1)")
    if case.start.neurons.activation.slope != 0:
        raise OutsideSetting("the activation is the leaky ReLU")
    reopened = torch.zeros_like(case.start.gates)
    for before, after in pairwise(case.snapshots):
        reopened |= (before.preactivations < 0) & (after.preactivations >= 0)
    return Finding(float(reopened.sum()), "<=", 0.0)
