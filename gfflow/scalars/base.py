"""What a measure is: scalars of a network at one iteration, described once; and the registry of them.

Needs no Lightning, so that the README's table and TensorBoard's charts are made from the registry.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.snapshot import Frames, Snapshot
from gfflow.solvers import Solver
from gfflow.theory import Prediction


@dataclass(frozen=True)
class Setting:
    """What a run knows before its first step, and a measure may need; None and () where it is not known."""

    prediction: Prediction | None = None
    solver: Solver | None = None
    rtol: float = 1e-6  # relative tolerance for a measure that integrates the flow
    training_set: TrainingSet | None = None


class Measure(ABC):
    """Scalars of a network at one iteration. It never changes a weight or a random state.

    A measure that compares with earlier iterations keeps what it needs of them, and hands it out as tensors and plain
    values in `state_dict`, so that a resumed run goes on bit for bit.
    """

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        """The measure for a run; None where none of its scalars would apply."""
        return cls()

    def begin(self, start: Snapshot, times: Sequence[float]) -> None:  # noqa: B027
        """Called when training begins, or goes on after an interruption, with the network as it stands and the flow
        times at which it will be measured; these are empty where iterations have no flow time."""

    @abstractmethod
    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        """The scalars by name. One that does not apply is left out, never NaN."""

    def measure_frames(self, frames: Frames) -> dict[str, NDArray[np.float64]]:
        """The same at several iterations, in their order: each scalar of shape (T,), NaN where it does not apply. The
        network and its solver have gone on to the last of them."""
        found: dict[str, NDArray[np.float64]] = {}
        for i in range(len(frames.iterations)):
            for name, value in self.measure(frames.at(i)).items():
                found.setdefault(name, np.full(len(frames.iterations), np.nan))[i] = value
        return found

    def measure_some(self, frames: Frames, wanted: Container[int] | None) -> dict[str, NDArray[np.float64]]:
        """`measure_frames`, taken at the iterations that are wanted (None: all), and NaN at the others."""
        if wanted is None:
            return self.measure_frames(frames)  # with what other measures have computed of these frames
        due = [i for i, step in enumerate(frames.iterations) if step in wanted]
        if len(due) == len(frames.iterations):
            return self.measure_frames(frames)
        found: dict[str, NDArray[np.float64]] = {}
        for name, values in (self.measure_frames(frames.some(due)) if due else {}).items():
            found[name] = np.full(len(frames.iterations), np.nan)
            found[name][due] = values
        return found

    def state_dict(self) -> dict[str, Any]:
        """The state kept between measurements."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Takes back what state_dict gave."""


class TensorMeasure(Measure):
    """A measure written once for a snapshot and for frames, in tensors whose shape it leaves open."""

    @abstractmethod
    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        """The scalars by name: of a snapshot each (), of frames each (T,), or a number that holds at every frame; NaN
        where it does not apply."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        numbers = {name: float(value) for name, value in self.values(snapshot).items()}
        return {name: value for name, value in numbers.items() if not math.isnan(value)}

    def measure_frames(self, frames: Frames) -> dict[str, NDArray[np.float64]]:
        count = len(frames.iterations)
        return {
            name: value.numpy().astype(np.float64) if isinstance(value, Tensor) else np.full(count, value)
            for name, value in self.values(frames).items()
        }


M = TypeVar("M", bound=type[Measure])


@dataclass(frozen=True)
class Scalars:
    """One or more scalars under their names in metrics.csv and TensorBoard."""

    names: tuple[str, ...]
    meaning: str  # with unit and source, in the README's words
    where: str = "everywhere"  # the runs that have them
    over_log: tuple[str, ...] = ()  # those of them that TensorBoard shows over log10(iteration) too


@dataclass(frozen=True)
class Chart:
    """A custom chart of TensorBoard: `kind` is 'Multiline' (tags are regular expressions) or 'Margin' (three
    names)."""

    section: str
    title: str
    kind: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A measure in the registry."""

    name: str
    scalars: tuple[Scalars, ...]
    make: Callable[[Setting], Measure | None]
    switch: str | None  # the key of the configuration's group `callbacks` that turns it on and off; None: always on
    few: bool  # costly: taken at a few of the scheduled iterations, not at each
    charts: tuple[Chart, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all its scalars."""
        return tuple(name for scalars in self.scalars for name in scalars.names)


MEASURES: dict[str, Entry] = {}  # in the order in which they log


def measure(
    name: str,
    scalars: Iterable[Scalars],
    *,
    switch: str | None = None,
    few: bool = False,
    charts: Iterable[Chart] = (),
) -> Callable[[M], M]:
    """Registers a Measure under a name: every run takes it from then on, unless its switch, a key of the
    configuration's group `callbacks`, is off. `few` is for costly measures: they are taken at a few of the scheduled
    iterations only.

    Raises ValueError for a name, or the name of a scalar, that is taken already.
    """
    scalars = tuple(scalars)

    def register(cls: M) -> M:
        entry = Entry(name, scalars, cls.of, switch, few, tuple(charts))
        taken = {known for other in MEASURES.values() for known in other.names}
        if name in MEASURES or taken & set(entry.names) or len(set(entry.names)) < len(entry.names):
            raise ValueError(f"the measure {name!r} or one of its scalars {entry.names} is registered already")
        MEASURES[name] = entry
        return cls

    return register


def over_log_iteration() -> frozenset[str]:
    """The scalars that TensorBoard shows over log10(iteration) too."""
    return frozenset(name for entry in MEASURES.values() for scalars in entry.scalars for name in scalars.over_log)


def table() -> str:
    """The table of all scalars as Markdown: the README's."""
    lines = ["| scalar | what | where |", "|---|---|---|"]
    for entry in MEASURES.values():
        for row in entry.scalars:
            names = ", ".join(f"`{name}`" for name in row.names)
            meaning, where = (text.replace("|", "\\|") for text in (row.meaning, row.where))
            lines.append(f"| {names} | {meaning} | {where} |")
    return "\n".join(lines)
