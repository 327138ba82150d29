"""How near a network is to the one that made its labels."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons


def nearest_teacher(neurons: Neurons, teacher: Neurons) -> Tensor:
    """(m,): for each neuron the teacher's neuron of the nearest direction, which shares most of its gates."""
    return (neurons.directions @ teacher.directions.T).argmax(dim=1)


def teacher_angle(neurons: Neurons, teacher: Neurons) -> float:
    """The mean angle, in radians, of w_j with its nearest teacher neuron's, weighted by |a_j| ||w_j||; 0 where all
    weights are zero."""
    share = neurons.a.abs() * neurons.norms
    if float(share.sum()) == 0:
        return 0.0
    target = teacher.directions[nearest_teacher(neurons, teacher)]
    # 2 atan2(|u - v|, |u + v|) is accurate at small angles, where the arc cosine is not
    apart = (neurons.directions - target).norm(dim=1)
    angles = 2 * torch.atan2(apart, (neurons.directions + target).norm(dim=1))
    return float((share / share.max() * angles).sum() / (share / share.max()).sum())


def teacher_distance(neurons: Neurons, teacher: Neurons) -> float:
    """The distance from the teacher, relative to its size: a neuron is a vector a_j w_j, those next to one teacher
    neuron are added up, and the differences from its a w are taken together. 0 only where the function is the
    teacher's, 1 for a network that is zero."""
    ours = torch.zeros_like(teacher.w).index_add_(
        0, nearest_teacher(neurons, teacher), neurons.a[:, None] * neurons.w
    )
    theirs = teacher.a[:, None] * teacher.w
    return float((ours - theirs).norm() / theirs.norm())
