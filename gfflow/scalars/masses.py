"""The masses u+ and u-, and what the theory says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gfflow.measures.masses import largest_norms, masses
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Chart, Measure, Scalars, Setting, TensorMeasure, measure
from gfflow.scalars.foretold import Foretold
from gfflow.theory import Group, Prediction
from gfflow.theory.groups import NAMES

_SECTION = "theory beside measurement"


@measure(
    "masses",
    [
        Scalars(
            ("mass/u_plus", "mass/u_minus"),
            "sum of ||w_j||^2 over S+ and over S-; where the theory names no such group, over all neurons "
            "with a_j > 0 or a_j < 0",
            over_log=("mass/u_plus", "mass/u_minus"),
        ),
        Scalars(("mass/other_max",), "largest ||w_j|| outside S+ and S-", "orthogonal inputs"),
        Scalars(
            ("theory/u_plus", "theory/u_minus"),
            "the same masses, predicted before training",
            "orthogonal inputs, the group not empty; elsewhere where there is a forecast",
            over_log=("theory/u_plus", "theory/u_minus"),
        ),
        Scalars(
            ("theory/u_plus_error", "theory/u_minus_error"),
            "the masses minus their predictions",
            "where they are predicted",
            over_log=("theory/u_plus_error", "theory/u_minus_error"),
        ),
    ],
    switch="masses",
    charts=[
        Chart(_SECTION, "u+ and its prediction", "Multiline", ("^mass/u_plus$", "^theory/u_plus$")),
        Chart(_SECTION, "u- and its prediction", "Multiline", ("^mass/u_minus$", "^theory/u_minus$")),
        Chart(
            _SECTION,
            "u+, u- and their predictions over 1000 log10(iteration)",
            "Multiline",
            ("^log10_iteration/(mass|theory)/u_(plus|minus)$",),
        ),
        Chart("measured minus predicted", "u+ and u-", "Multiline", ("^theory/u_(plus|minus)_error$",)),
        Chart(
            "measured minus predicted",
            "u+ and u- over 1000 log10(iteration)",
            "Multiline",
            ("^log10_iteration/theory/u_(plus|minus)_error$",),
        ),
    ],
)
class GroupMasses(TensorMeasure):
    """`mass/u_plus`, `mass/u_minus`: sum of ||w_j||^2 over S+ and S-, each where the theory of orthogonal inputs
    names it, over all neurons with a_j > 0 or a_j < 0 elsewhere; `theory/u_plus`, `theory/u_minus`: the predicted
    mass of S+ and S- at the same flow time, if there is one, and `theory/u_plus_error`, `theory/u_minus_error` the
    measured mass minus that; `mass/other_max`: the largest ||w_j|| outside both.
    """

    def __init__(self, prediction: Prediction | None = None) -> None:
        self.groups: dict[str, Group | None] = dict.fromkeys(NAMES.values())
        self.course = None if prediction is None else prediction.course
        if prediction is not None:
            self.groups |= {group.name: group for group in prediction.groups}
        self._predicted = {side: Foretold(self._curve(side, group)) for side, group in self.groups.items()}

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        return cls(setting.prediction)

    def begin(self, start: Snapshot, times: Sequence[float]) -> None:
        for curve in self._predicted.values():
            curve.prepare(times)

    def _curve(self, side: str, group: Group | None) -> Callable[[list[float]], NDArray[np.float64] | None]:
        """The predicted mass of that side at flow times."""
        if group is not None:
            return group.mass
        course = self.course
        return lambda times: None if course is None else course.mass(side, times)

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        neurons = snapshot.neurons
        found: dict[str, Tensor | float] = {}
        predicted: dict[str, Tensor | float] = {}
        grouped = None
        for sign, (side, group) in zip(NAMES, self.groups.items(), strict=True):
            members = sign * neurons.signs > 0 if group is None else group.members
            found[f"mass/u_{side}"] = masses(neurons, members)
            grouped = members if grouped is None else grouped | members
            if snapshot.moments is not None:
                there = snapshot.numbers(self._predicted[side].at(snapshot.moments))
                predicted[f"theory/u_{side}"] = there
                predicted[f"theory/u_{side}_error"] = found[f"mass/u_{side}"] - there
        if any(self.groups.values()) and grouped is not None:
            found["mass/other_max"] = largest_norms(neurons, ~grouped)
        return found | predicted
