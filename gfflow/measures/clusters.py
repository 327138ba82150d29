"""Clusters: in how few directions a network's neurons point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gfflow.model.neurons import Neurons


@dataclass(frozen=True, eq=False)
class Clusters:
    """Directions that carry most of the mass, the heaviest first: each s_j w_j / ||w_j|| of the heaviest neuron
    of its cluster, (C, d), with the cluster's share of sum_j ||w_j||^2, (C,)."""

    directions: Tensor
    shares: Tensor

    def __len__(self) -> int:
        return len(self.shares)


def clusters(neurons: Neurons, share: float = 0.99, angle: float = math.radians(5)) -> Clusters:
    """The fewest clusters of neurons of one sign and one direction that carry `share` of the mass.

    From the heaviest neuron to the lightest, each joins the first cluster of its sign whose heaviest neuron lies
    within `angle` (radians) of it, or else begins one. A network that has become one of C neurons has C clusters.
    Zero neurons count nowhere; without any other there is no cluster.
    """
    norms = neurons.norms / neurons.norms.max().clamp(min=torch.finfo(neurons.w.dtype).tiny)
    masses = norms.square()  # relative to the largest, so that no square underflows but those that do not matter
    order = masses.argsort(descending=True)
    unassigned = order[masses[order] > 0]
    near = neurons.directions @ neurons.directions.T >= math.cos(angle)
    alike = near & (neurons.signs[:, None] == neurons.signs)
    leaders: list[int] = []
    carried: list[float] = []
    while len(unassigned):  # the heaviest that is left begins a cluster and takes all that are like it
        leader = int(unassigned[0])
        mine = alike[leader, unassigned]
        mine[0] = True
        leaders.append(leader)
        carried.append(float(masses[unassigned[mine]].sum()))
        unassigned = unassigned[~mine]
    shares, heaviest = (torch.tensor(carried, dtype=masses.dtype) / masses.sum()).sort(descending=True)
    count = int((shares.cumsum(0) < share).sum()) + 1 if leaders else 0
    chosen = torch.tensor(leaders, dtype=torch.long)[heaviest[:count]]
    return Clusters((neurons.signs[:, None] * neurons.directions)[chosen], shares[:count])
