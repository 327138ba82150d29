"""The predicted course of a training: its loss and its masses at any flow time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gfflow.theory.groups import Group

Array = NDArray[np.float64]
SMALLEST = 1e-300  # of a mass, below which its logarithm is not taken


@dataclass(frozen=True, eq=False)
class Tabulated:
    """A course known at the times of a table (T,), increasing from 0; after the last NaN, or as it was there where
    the labels are then fitted to rounding (`holds`)."""

    times: Array
    losses: Array
    plus: Array  # sum of ||w_j||^2 over the neurons with a_j > 0
    minus: Array  # and with a_j < 0
    holds: bool = False

    @cached_property
    def _curves(self) -> dict[str, Any]:
        from scipy.interpolate import PchipInterpolator

        logs = {side: np.log(np.maximum(getattr(self, side), SMALLEST)) for side in ("plus", "minus")}
        return {name: PchipInterpolator(self.times, v) for name, v in ({"loss": self.losses} | logs).items()}

    def loss(self, time: ArrayLike) -> Array:
        """L at the given flow times, same shape."""
        return self._at("loss", time)

    def mass(self, side: str, time: ArrayLike) -> Array | None:
        """u+ ('plus') or u- ('minus') at the given flow times, same shape."""
        return np.exp(self._at(side, time))

    def _at(self, name: str, time: ArrayLike) -> Array:
        time, last = np.asarray(time, dtype=np.float64), self.times[-1]
        values = self._curves[name](np.minimum(time, last))
        return np.asarray(np.where(self.holds | (time <= last * (1 + 1e-12)), values, np.nan))


@dataclass(frozen=True, eq=False)
class OfGroups:
    """The course on orthogonal inputs: each group fits the labels of its sign, whatever the other does."""

    groups: Sequence[Group]
    shares: tuple[float, ...]  # the loss of each group's samples at h = 0
    rest: float  # the loss of the samples that no group fits

    def loss(self, time: ArrayLike) -> Array:
        """L at the given flow times, same shape."""
        total = np.full(np.shape(time), self.rest)
        for group, share in zip(self.groups, self.shares, strict=True):
            total = total + share * group.curve.loss_share(time)
        return np.asarray(total)

    def mass(self, side: str, time: ArrayLike) -> Array | None:
        """u of the group at the given flow times, same shape; None without such a group."""
        group = next((group for group in self.groups if group.name == side), None)
        return None if group is None else group.mass(time)


Course = Tabulated | OfGroups
