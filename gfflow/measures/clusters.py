"""Clusters: in how few directions a network's neurons point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfflow.model.neurons import Neurons

Array = NDArray[np.float64]
FEW = 512  # neurons up to which all pairs are compared at once
PAIRS = 2**20  # compared at once


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

    Each leader is compared with the neurons left, in the plane with those at similar angles alone, until no cluster
    yet to come can be among the heaviest: memory is linear in m, and time too in the plane or with few directions.
    """
    directions, signs, masses = _weighed(neurons)
    leaders, carried = _gathered(directions, signs, masses, angle, share * float(masses.sum()))
    shares = np.array(carried, dtype=np.float64) / (float(masses.sum()) or 1.0)
    heaviest = np.argsort(-shares, kind="stable")
    shares = shares[heaviest]
    chosen = np.array(leaders, dtype=np.int64)[heaviest[: _needed(shares, share)]]
    towards = signs[chosen, None] * directions[chosen]
    return Clusters(torch.from_numpy(towards), torch.from_numpy(shares[: len(chosen)]))


def cluster_counts(neurons: Neurons, share: float = 0.99, angle: float = math.radians(5)) -> Tensor:
    """How many `clusters` each network has, shape (...)."""
    if neurons.w.ndim == 2:
        return torch.tensor(len(clusters(neurons, share, angle)))
    together = max(1, PAIRS // neurons.a.shape[-1] ** 2)
    if neurons.a.shape[-1] > FEW:
        return torch.tensor([len(clusters(neurons.at(i), share, angle)) for i in range(len(neurons.a))])
    found = []
    for first in range(0, len(neurons.a), together):
        directions, signs, masses = _weighed(neurons.at(slice(first, first + together)))
        _, carried = _all_at_once(directions, signs, masses, angle)
        whole = masses.sum(axis=-1, keepdims=True)
        shares = -np.sort(-carried / np.where(whole == 0, 1.0, whole), axis=-1)
        found.append(_needed(shares, share))
    return torch.from_numpy(np.concatenate(found))


def _weighed(neurons: Neurons) -> tuple[Array, Array, Array]:
    """Directions (..., m, d), signs and masses (..., m); masses relative to the largest of their network: no square
    underflows but those that do not matter."""
    largest = neurons.norms.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(neurons.w.dtype).tiny)
    return neurons.directions.numpy(), neurons.signs.numpy(), (neurons.norms / largest).square().numpy()


def _needed(shares: Array, share: float) -> Any:
    """How many of the shares (..., C), the largest first, it takes to carry `share`: shape (...)."""
    return np.where((shares > 0).any(axis=-1), (shares.cumsum(axis=-1) < share).sum(axis=-1) + 1, 0)


def _gathered(
    directions: Array, signs: Array, masses: Array, angle: float, wanted: float
) -> tuple[list[int], list[float]]:
    """The leaders, the heaviest first, and the masses of their clusters; at least those that carry what is wanted."""
    if len(masses) <= FEW:
        order, of_leaders = _all_at_once(directions[None], signs[None], masses[None], angle)
        lead = of_leaders[0] > 0
        return order[0][lead].tolist(), of_leaders[0][lead].tolist()
    leaders: list[int] = []
    carried: list[float] = []
    left = float(masses.sum())
    gather = _in_plane if directions.shape[1] == 2 else _in_space
    for leader, mass in gather(directions, signs, masses, angle):
        leaders.append(leader)
        carried.append(mass)
        left -= mass
        if _settled(carried, left, wanted):
            break
    return leaders, carried


def _all_at_once(directions: Array, signs: Array, masses: Array, angle: float) -> tuple[NDArray[np.int64], Array]:
    """All clusters of T networks of a few neurons, directions (T, m, d), signs and masses (T, m): the neurons from
    the heaviest on, and the mass of the cluster that each of them leads, 0 for one that leads none; both (T, m)."""
    order = np.argsort(-masses, axis=1, kind="stable")
    networks = np.arange(len(order))
    directions, signs, masses = (part[networks[:, None], order] for part in (directions, signs, masses))
    near = np.stack([part @ part.T for part in directions]) >= math.cos(angle)
    near &= signs[:, :, None] == signs[:, None, :]
    near[:, range(masses.shape[1]), range(masses.shape[1])] = True
    left, carried = masses > 0, np.zeros(masses.shape)
    while left.any():
        leader = left.argmax(axis=1)
        mine = near[networks, leader] & left
        carried[networks, leader] += (mine * masses).sum(axis=1)  # 0 where none was left
        left ^= mine
    return order, carried


def _settled(carried: list[float], left: float, wanted: float) -> bool:
    """Whether the heaviest clusters carry what is wanted, each at least as heavy as all that is left."""
    total = 0.0
    for mass in sorted(carried, reverse=True):
        if mass < left:
            return False
        total += mass
        if total >= wanted:
            return True
    return False


def _in_space(directions: Array, signs: Array, masses: Array, angle: float) -> Iterator[tuple[int, float]]:
    """Each leader and the mass of its cluster, from the heaviest leader on."""
    order = np.argsort(-masses, kind="stable")
    order = order[masses[order] > 0]
    directions, signs, masses = directions[order], signs[order], masses[order]
    while len(order):
        mine = (directions @ directions[0] >= math.cos(angle)) & (signs == signs[0])
        mine[0] = True
        yield int(order[0]), float(masses[mine].sum())
        order, directions, signs, masses = (part[~mine] for part in (order, directions, signs, masses))


def _in_plane(directions: Array, signs: Array, masses: Array, angle: float) -> Iterator[tuple[int, float]]:
    """_in_space, with neurons sorted by their angle, so that a leader meets those near it alone."""
    angles = np.arctan2(directions[:, 1], directions[:, 0])
    sides = {}
    for sign in np.unique(signs):
        members = np.flatnonzero(signs == sign)
        members = members[np.argsort(angles[members], kind="stable")]
        members = members[masses[members] > 0]
        sides[sign] = members, angles[members]
    taken = masses <= 0
    reach = angle + 1e-9  # the cosine decides; angles only say who may be near
    order, begin = np.argsort(-masses, kind="stable"), 0
    while begin < len(order):
        free = ~taken[order[begin : begin + 512]]
        if not free.any():
            begin += 512
            continue
        begin += int(free.argmax())
        leader = order[begin]
        members, sorted_angles = sides[signs[leader]]
        at = angles[leader]
        around = [
            members[np.searchsorted(sorted_angles, low) : np.searchsorted(sorted_angles, low + 2 * reach, "right")]
            for low in (at - reach - 2 * math.pi, at - reach, at - reach + 2 * math.pi)
        ]
        near = np.unique(np.concatenate(around)) if reach >= math.pi else np.concatenate(around)
        near = near[~taken[near]]
        mine = near[(directions[near] @ directions[leader] >= math.cos(angle)) | (near == leader)]
        taken[mine] = True
        yield int(leader), float(masses[mine].sum())
