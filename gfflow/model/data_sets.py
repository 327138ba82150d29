"""The training sets that a configuration can name. A new one is a class here: its options and what it makes."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gfflow.errors import InvalidInput
from gfflow.registry import NUMBERS, POSITIVE, WORDS, Entry, Limit, Registry, at_least, between, option

if TYPE_CHECKING:
    from gfflow.model.data import TrainingSet  # torch is imported only when a set is made

SEED = Limit("an integer from -2^63 to 2^63 - 1", lambda v: -(2**63) <= v < 2**63)  # what torch's generators take
NOISE = Limit("a finite number of at least 0", lambda v: 0 <= v < math.inf)
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


@DATA_SETS.register("random_points")
@dataclass(frozen=True)
class RandomPoints(DataOptions):
    """Random points on a line with bias, and random labels."""

    n: int = option(5, "how many samples", at_least(1), "samples")
    seed: int = option(0, "of the data alone; the network's start has its own", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.data import random_points

        return random_points(self.n, self.seed)


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
    noise: float = option(0.0, "deviation of the noise on the labels, those of the test set too", NOISE, "labels")
    test_n: int = option(0, "how many test samples", at_least(0), "samples")

    def make(self) -> TrainingSet:
        from gfflow.model.data import gaussian_teacher

        return gaussian_teacher(self.n, self.d, self.teacher_width, self.seed, self.noise, self.test_n)


@DATA_SETS.register("early_alignment")
@dataclass(frozen=True)
class EarlyAlignment(DataOptions):
    """The three points of arXiv 2401.10791, on a line with bias, that no width fits from a small start."""

    def make(self) -> TrainingSet:
        from gfflow.model.examples import early_alignment

        return early_alignment()


@DATA_SETS.register("piecewise_linear")
@dataclass(frozen=True)
class PiecewiseLinear(DataOptions):
    """Uniform inputs on [-1, 1] with bias, on the piecewise linear function of arXiv 2401.10791's larger example."""

    n: int = option(40, "how many samples", at_least(1), "samples")
    seed: int = option(0, "of the data alone", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.examples import piecewise_linear

        return piecewise_linear(self.n, self.seed)


@DATA_SETS.register("noisy_linear")
@dataclass(frozen=True)
class NoisyLinear(DataOptions):
    """Gaussian inputs, labels <beta, x> with ||beta|| = 1 and noise (arXiv 2410.02348)."""

    n: int = option(200, "how many samples", at_least(1), "samples")
    d: int = option(5, "how many input coordinates", at_least(1), "coordinates")
    noise: float = option(0.5, "deviation of the noise on the labels, those of the test set too", NOISE, "labels")
    test_n: int = option(2000, "how many test samples", at_least(0), "samples")
    seed: int = option(0, "of the data alone", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.examples import noisy_linear

        return noisy_linear(self.n, self.d, self.noise, self.test_n, self.seed)


@DATA_SETS.register("correlated_teacher")
@dataclass(frozen=True)
class CorrelatedTeacher(DataOptions):
    """Inputs about a unit centre, labelled by one ReLU neuron that they are correlated with (arXiv 2306.06479)."""

    n: int = option(20, "how many samples", at_least(1), "samples")
    d: int = option(20, "how many input coordinates", at_least(1), "coordinates")
    spread: float = option(1.0, "the inputs' noise about the centre is spread/sqrt(d) in each coordinate", POSITIVE)
    angle: float = option(30.0, "between the centre and the teacher's weights", between(0, 90), "degrees")
    test_n: int = option(0, "how many test samples", at_least(0), "samples")
    seed: int = option(0, "of the data alone", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.examples import correlated_teacher

        return correlated_teacher(self.n, self.d, self.spread, self.angle, self.test_n, self.seed)


@DATA_SETS.register("four_kinks")
@dataclass(frozen=True)
class FourKinks(DataOptions):
    """A grid on [-1, 1] with bias, on -relu(x) + relu(2(x + 0.3)) - relu(1.5(x - 0.4)) + relu(0.5(x - 0.8))."""

    n: int = option(80, "how many samples", at_least(2), "samples")

    def make(self) -> TrainingSet:
        from gfflow.model.examples import four_kinks

        return four_kinks(self.n)


@DATA_SETS.register("orthogonally_separable")
@dataclass(frozen=True)
class OrthogonallySeparable(DataOptions):
    """Labels +1 in the positive orthant and -1 in the negative one, to be separated (Phuong and Lampert 2021)."""

    n: int = option(8, "how many samples, of each label in turn", at_least(2), "samples")
    d: int = option(3, "how many input coordinates", at_least(1), "coordinates")
    seed: int = option(0, "of the data alone", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.examples import orthogonally_separable

        return orthogonally_separable(self.n, self.d, self.seed)


@DATA_SETS.register("two_blobs")
@dataclass(frozen=True)
class TwoBlobs(DataOptions):
    """Two Gaussian blobs in the plane, with bias, labelled +1 and -1."""

    n: int = option(40, "how many samples, of each label in turn", at_least(2), "samples")
    distance: float = option(2.5, "between the centres", POSITIVE)
    spread: float = option(0.5, "the deviation of each coordinate about its centre", POSITIVE)
    seed: int = option(0, "of the data alone", SEED)

    def make(self) -> TrainingSet:
        from gfflow.model.examples import two_blobs

        return two_blobs(self.n, self.distance, self.spread, self.seed)


@DATA_SETS.register("csv")
@dataclass(frozen=True)
class CSV(DataOptions):
    """Your own samples: a CSV file with columns x1, ..., xd and y."""

    path: str | None = option(None, "the file", Limit("the path of a file", lambda v: True), needed=True)
    bias: bool = option(False, "true adds a last input coordinate equal to 1")
    test_path: str | None = option(None, "a file of test samples", Limit("the path of a file", lambda v: True))
    columns: WORDS | None = option(
        None,
        "of a CSV file: the names of the input columns, in order; null: x1, ..., xd",
        Limit("a non-empty list of different names", lambda v: 0 < len(v) == len(set(v))),
    )
    label: str = option("y", "of a CSV file: the name of the label's column; other columns are not used")

    def make(self) -> TrainingSet:
        from gfflow.model.files import from_file

        if not self.path:
            raise InvalidInput("data.path", self.path or "", "the path of a file: this data needs one")
        return from_file(self.path, self.bias, self.test_path, self.columns, self.label)


@DATA_SETS.register("file")
@dataclass(frozen=True)
class SampleFile(CSV):
    """Your own samples: .npz or .pt with x (n, d) and y (n,), .npy or .pt of an array (n, d + 1) with y last; CSV."""


@dataclass(frozen=True)
class Given(DataOptions):
    """A training set that was given to `train` as an object: known by its digest alone, so not registered."""

    name: ClassVar[str] = "given"

    sha256: str = option("", "the digest of its samples")

    def make(self) -> TrainingSet:
        raise InvalidInput("data", "a training set given from Python", "the same one, given to `train` again")
