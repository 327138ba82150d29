"""The groups of neurons that grow as one on orthogonal inputs: S+ and S-, their shares and their masses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.theory.curves import Logistic, MassCurve, SingleNeuron
from gfflow.theory.directions import EQUAL
from gfflow.theory.limit_process import LimitProcess

NAMES = {1: "plus", -1: "minus"}


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons that align with one direction and grow as one: S+ ('plus') and S- ('minus') on orthogonal inputs.

    The members are those that the limit process brings to the direction: from a balanced start the cone of Eq. 5.
    """

    name: str
    sign: int  # of a_j
    members: Tensor  # (m,), boolean
    direction: Tensor  # (d,), unit: D+/||D+|| or -D-/||D-||
    rate: float  # ||D+|| or ||D-||
    kappa: Tensor  # (m,), kappa_j; NaN outside the group
    shares: Tensor  # (m,), e^{2 kappa_j} / K: the share of the group's mass (Lemma 12); 0 outside
    fit: Tensor  # (d,), beta = sum over the sign's samples of y_k x_k / ||x_k||^2
    mass_limit: float  # u* = ||beta||
    curve: MassCurve

    @property
    def log_amplitude(self) -> float:
        """ln(lambda^2 K), K = sum of e^{2 kappa_j}."""
        return self.curve.log_amplitude

    def mass(self, time: ArrayLike) -> NDArray[np.float64]:
        """u(t) = sum of ||w_j||^2 over the group at the given flow times, same shape."""
        return self.curve.mass(time)

    def time_of_fraction(self, fraction: float) -> float:
        """The flow time at which u reaches the fraction (between 0 and 1) of its limit."""
        return self.curve.time_of_fraction(fraction)

    def fitted(self) -> Neurons:
        """The group's neurons when its labels are fitted, all others zero: norms sqrt(u* share_j) along the fit."""
        norms = (self.mass_limit * self.shares).sqrt()
        w = norms[:, None] * (self.sign * self.fit / self.mass_limit)
        return Neurons(w, self.sign * norms)


def fit_of(training_set: TrainingSet, sign: int) -> Tensor:
    """beta+ or beta-: the sum over the sign's samples of y_k x_k / ||x_k||^2, shape (d,)."""
    y = (sign * training_set.y).clamp(min=0) * sign
    return (y / training_set.norms**2) @ training_set.x


def make_group(
    sign: int, training_set: TrainingSet, process: LimitProcess, attractor: Tensor, scale: float
) -> Group | None:
    """The group of that sign, which the limit process brings to its attractor, D+ or D-, from a start whose lambda is
    `scale`; None where no neuron, or no label, is of it."""
    mine = sign * training_set.y > 0
    members = torch.from_numpy(process.members(sign, mine.numpy()))
    if not (bool(members.any()) and bool(mine.any())):
        return None
    logs = torch.where(members, torch.from_numpy(process.log_amplitude), -torch.inf)
    total = torch.logsumexp(2 * logs, dim=0)
    beta = fit_of(training_set, sign)
    rate, limit = float(attractor.norm()), float(beta.norm())
    norms = training_set.norms[mine]
    curve: MassCurve
    if bool(((norms - norms[0]).abs() <= EQUAL * norms[0]).all()):
        curve = Logistic(float(total), rate, limit)
    else:
        x, y = training_set.x[mine].numpy(), training_set.y[mine].numpy()
        curve = SingleNeuron(float(total), rate, limit, x, y, training_set.n)
    return Group(
        name=NAMES[sign],
        sign=sign,
        members=members,
        direction=sign * attractor / rate,
        rate=rate,
        kappa=torch.where(members, logs - math.log(scale), torch.nan),
        shares=torch.exp(2 * logs - total),
        fit=beta,
        mass_limit=limit,
        curve=curve,
    )


def ordered(groups: tuple[Group, ...]) -> tuple[Group, Group] | None:
    """The groups (first, second) by the order in which their labels are fitted; None where a group is missing or
    ||D+|| = ||D-||."""
    if len(groups) < 2:
        return None
    first, second = sorted(groups, key=lambda group: -group.rate)
    return None if math.isclose(first.rate, second.rate, rel_tol=EQUAL) else (first, second)
