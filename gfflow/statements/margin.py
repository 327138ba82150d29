"""Classification: where the weights go that grow for ever. Statements of Lyu and Li (2019), Ji and Telgarsky (2020)
and Phuong and Lampert (2021), with the logistic or the exponential loss. They are limits, approached like 1/ln t: the
bounds here are our own, and say so."""

from __future__ import annotations

from itertools import pairwise

import torch

from gfflow.measures.margin import (
    gradient_cosine,
    is_orthogonally_separable,
    margins,
    max_margin_vector,
    smoothed_margin,
)
from gfflow.statements.base import Finding, Part
from gfflow.statements.case import BALANCED, Case, NotApplicable, OutsideSetting

PART = Part("margin", "margins with the logistic and the exponential loss (Lyu and Li 2019; Phuong and Lampert 2021)")
FALL = 1e-6  # of the margin, relative: the flow's tolerance, and rounding
NEAR = 0.95  # a cosine: the limit is 1
HEAVY = 0.1  # of the largest norm, from which on a neuron counts: the others are those that never grew


def _classification(case: Case) -> None:
    if not case.data.loss.is_classification:
        raise OutsideSetting("the loss is not one of classification")


def _separated(case: Case) -> None:
    _classification(case)
    if not bool((margins(case.end) > 0).all()):
        raise NotApplicable("the samples were not separated")


def _orthogonally_separated(case: Case) -> None:
    _separated(case)
    if not is_orthogonally_separable(case.data):
        raise OutsideSetting("the data is not orthogonally separable")


@PART.statement(
    "Lyu, Li: Theorem 4.1",
    "once L < ℓ(0)/n the smoothed margin, -ln(nL)/||θ||² or -ln(e^(nL) - 1)/||θ||², does not fall (largest relative "
    "fall between two frames)",
    epsilon=False,
)
def margin_does_not_fall(case: Case) -> Finding:
    """It is of the flow with both layers trained, or one: h is then homogeneous in what is trained. Descent with a
    small step follows it up to eta."""
    _classification(case)
    if case.start.neurons.frozen is not None:
        raise OutsideSetting("a layer is frozen: the margin is then normalised by the other alone")
    known = [m for m in (smoothed_margin(s) for s in case.snapshots) if m is not None]
    if len(known) < 2:
        raise NotApplicable("no two frames with a loss below that of one sample on the boundary")
    falls = max((before - after) / before for before, after in pairwise(known))
    note = "the tolerance is ours: that of the flow, or one step of descent"
    return Finding(falls, "<=", case.lr if case.descent else FALL, note=note)


@PART.statement(
    "Lyu, Li: Theorem 4.4",
    "θ/||θ|| tends to a KKT point of min ½||θ||², y_k h(x_k) >= 1: there θ is along -grad L (cosine at the end)",
    epsilon=False,
)
def near_a_kkt_point(case: Case) -> Finding:
    _separated(case)
    if case.start.neurons.frozen is not None:
        raise OutsideSetting("a layer is frozen")
    return Finding(gradient_cosine(case.end), ">=", NEAR, note="the bound is ours: the limit is 1")


@PART.statement(
    "Phuong, Lampert: Theorem 1",
    "orthogonally separable data, balanced start: the neurons of each sign tend to the max-margin vector of their "
    "class (least cosine at the end)",
    epsilon=False,
)
def along_max_margin(case: Case) -> Finding:
    _orthogonally_separated(case)
    data, neurons = case.data, case.end.neurons
    if neurons.activation.slope != 0 or neurons.frozen is not None or not case.imbalance <= BALANCED:
        raise OutsideSetting("it is of balanced ReLU networks with both layers trained")
    least = 1.0
    for sign in (1, -1):
        vector = max_margin_vector(data, sign)
        mine = (neurons.signs == sign) & (neurons.norms > HEAVY * neurons.norms.max())
        if vector is None:
            continue
        if not bool(mine.any()):
            raise NotApplicable("a class has no neuron that has grown")
        least = min(least, float((neurons.directions[mine] @ (vector / vector.norm())).min()))
    return Finding(least, ">=", NEAR, note="the bound is ours: the limit is 1")


@PART.statement(
    "Phuong, Lampert: Theorem 1",
    "and every sample is active on the neurons of its own class alone (samples that fail)",
    epsilon=False,
)
def classes_apart(case: Case) -> Finding:
    _orthogonally_separated(case)
    neurons, gates = case.end.neurons, case.end.gates
    heavy = neurons.norms > HEAVY * neurons.norms.max()
    own = neurons.signs[heavy][:, None] == case.data.y
    return Finding(float((gates[heavy] != own).any(dim=0).to(torch.int64).sum()), "<=", 0.0)
