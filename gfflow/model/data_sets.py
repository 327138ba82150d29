"""The training sets that a configuration can name. A new one is a class here: its options and what it makes."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gfflow.errors import InvalidInput
from gfflow.registry import NUMBERS, Entry, Limit, Registry, at_least, option

if TYPE_CHECKING:
    from gfflow.model.data import TrainingSet  # torch is imported only when a set is made

SEED = Limit("an integer from -2^63 to 2^63 - 1", lambda v: -(2**63) <= v < 2**63)  # what torch's generators take
LABELS = Limit(
    "a non-empty list of finite numbers other than 0",
    lambda values: len(values) > 0 and all(math.isfinite(v) and v != 0 for v in values),
)
NORMS = Limit("a list of positive finite numbers", lambda values: all(math.isfinite(v) and v > 0 for v in values))


@dataclass(frozen=True)
class DataOptions(Entry):
    """A training set, chosen by its name."""

    group: ClassVar[str] = "data"

    @abstractmethod
    def make(self) -> TrainingSet:
        """The training set; raises InvalidInput where there is none for these options."""


DATA_SETS: Registry[DataOptions] = Registry("data")


@DATA_SETS.register("orthogonal_pair")
@dataclass(frozen=True)
class OrthogonalPair(DataOptions):
    """The two orthogonal samples of Figure 2."""

    def make(self) -> TrainingSet:
        from gfflow.model.data import orthogonal_pair

        return orthogonal_pair()


@DATA_SETS.register("five_points")
@dataclass(frozen=True)
class FivePoints(DataOptions):
    """The five points of Figures 4 and 5, on a line with bias: not orthogonal."""

    def make(self) -> TrainingSet:
        from gfflow.model.data import five_points

        return five_points()


@DATA_SETS.register("three_points")
@dataclass(frozen=True)
class ThreePoints(DataOptions):
    """Three points on a line with bias that a small start does not fit, however wide the network."""

    def make(self) -> TrainingSet:
        from gfflow.model.data import three_points

        return three_points()


@DATA_SETS.register("orthonormal")
@dataclass(frozen=True)
class Orthonormal(DataOptions):
    """One sample per label on the coordinate axes of R^d."""

    labels: NUMBERS = option((1.5, 0.8, -0.6, 1.2, -0.9, -0.4), "y, one label per sample", LABELS)
    d: int | None = option(None, "how many coordinates; null: as many as labels", at_least(1), "coordinates")
    norms: NUMBERS | None = option(None, "||x_k||, one per label; null: all 1", NORMS)
    rotation: int | None = option(
        None, "the seed of a random rotation of the axes (orthogonal to 1e-16 only); null: not rotated", SEED
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.labels)
        if self.d is not None and self.d < n:
            raise InvalidInput("data.d", self.d, f"at least the number of labels, {n}, for orthogonal inputs")
        if self.norms is not None and len(self.norms) != n:
            raise InvalidInput("data.norms", list(self.norms), f"null or {n} positive numbers, one per label")

    def make(self) -> TrainingSet:
        from gfflow.model.data import orthonormal

        return orthonormal(self.labels, self.d, self.norms, self.rotation)


@DATA_SETS.register("gaussian_teacher")
@dataclass(frozen=True)
class GaussianTeacher(DataOptions):
    """Gaussian inputs labelled by a random two-layer teacher; the defaults give the paper's Figure 6."""

    n: int = option(75, "how many samples", at_least(1), "samples")
    d: int = option(150, "how many input coordinates", at_least(1), "coordinates")
    teacher_width: int = option(6, "how many hidden neurons the teacher has", at_least(1), "neurons")
    seed: int = option(4, "of the data alone; the network's start has its own", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.data import gaussian_teacher

        return gaussian_teacher(self.n, self.d, self.teacher_width, self.seed)


@DATA_SETS.register("csv")
@dataclass(frozen=True)
class CSV(DataOptions):
    """Your own samples: a CSV file with columns x1, ..., xd and y."""

    path: str | None = option(None, "the file", Limit("the path of a file", lambda v: True), needed=True)
    bias: bool = option(False, "true adds a last input coordinate equal to 1")

    def make(self) -> TrainingSet:
        from gfflow.model.data import from_csv

        if self.path is None:
            raise InvalidInput("data.path", None, "the path of a file: this data needs one")
        return from_csv(self.path, self.bias)


@dataclass(frozen=True)
class Given(DataOptions):
    """A training set that was given to `train` as an object: known by its digest alone, so not registered."""

    name: ClassVar[str] = "given"

    sha256: str = option("", "the digest of its samples")

    def make(self) -> TrainingSet:
        raise InvalidInput("data", "a training set given from Python", "the same one, given to `train` again")
