"""Training sets: the inputs x, the labels y, and the makers of the paper's examples."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.model.data_sets import GaussianTeacher, Orthonormal, RandomPoints
from gfflow.model.losses import SQUARE, Loss
from gfflow.model.neurons import Neurons
from gfflow.model.numbers import as_numbers
from gfflow.model.numbers import generator as seeded

SIZES = (1e-50, 1e50)  # of an input's largest coordinate and of a label other than 0


class ZeroLabel(UserWarning):
    """Some label is zero."""


@dataclass(frozen=True, eq=False)
class TestSet:
    """Samples that are not trained on: inputs x (n', d) and labels y (n',), float64, copied. Raises InvalidInput for
    wrong shapes and numbers that are not finite."""

    __test__ = False  # to pytest: no test

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        _check_samples(self, "test data")


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """n samples: inputs x (n, d) and labels y (n,), float64, copied; and the loss by which they are fitted.

    `test`: samples to test on, and `teacher`: the network that made the labels, before any noise; None without.

    A bias is an input coordinate equal to 1. Raises InvalidInput for wrong shapes, numbers that are not
    finite, inputs that are zero, and samples too small or too large for float64 to hold their squares and products;
    labels equal to zero only warn (Assumption 2 then fails).
    """

    x: Tensor
    y: Tensor
    loss: Loss = SQUARE
    test: TestSet | None = None
    teacher: Neurons | None = None

    def __post_init__(self) -> None:
        x, y = _check_samples(self, "data")
        others = {
            "test data": None if self.test is None else self.test.x,
            "data teacher": None if self.teacher is None else self.teacher.w,
        }
        for name, other in others.items():
            if other is not None and other.shape[1] != x.shape[1]:
                raise InvalidInput(name, f"{other.shape[1]} input coordinates", f"{x.shape[1]}, as in training")
        if bool((x == 0).all(dim=1).any()):
            k = int((x == 0).all(dim=1).nonzero()[0])
            raise InvalidInput(
                "data inputs",
                f"sample {k} equal to zero",
                "non-zero inputs: a constant input makes them so (of a file: data.bias=true)",
            )
        low, high = SIZES
        for name, values in (("inputs", x.abs().amax(dim=1)), ("labels", y[y != 0].abs())):
            odd = values[(values < low) | (values > high)]
            if len(odd):
                raise InvalidInput(f"data {name}", f"size {odd[0].item():g}", f"sizes from {low:g} to {high:g}")
        self.loss.check_labels(y)
        if self.test is not None:
            self.loss.check_labels(self.test.y)
        if bool((y == 0).any()):
            k = int((y == 0).nonzero()[0])
            warnings.warn(f"data labels: y[{k}] = 0, so Assumption 2 fails", ZeroLabel, stacklevel=2)

    @property
    def n(self) -> int:
        """The number of samples."""
        return self.x.shape[0]

    @property
    def d(self) -> int:
        """The number of input coordinates, the bias's included."""
        return self.x.shape[1]

    @cached_property
    def gram(self) -> Tensor:
        """G = x x^T, shape (n, n)."""
        return self.x @ self.x.T

    @cached_property
    def norms(self) -> Tensor:
        """||x_k||, shape (n,)."""
        return self.x.norm(dim=1)

    @cached_property
    def pulls(self) -> Tensor:
        """r_k at h = 0, shape (n,): the residuals of a network that is small; y_k for the square loss."""
        return self.loss.residual(torch.zeros_like(self.y), self.y)

    @cached_property
    def loss_at_zero(self) -> float:
        """The training loss at h = 0, of a network that is small."""
        return float(self.loss.value(torch.zeros_like(self.y), self.y).mean())

    @cached_property
    def field_scale(self) -> float:
        """(1/n) sum_k |r_k| ||x_k|| at h = 0: the size that a field D_j can have while the network is small."""
        return float((self.pulls.abs() * self.norms).mean())

    @cached_property
    def orthogonality_defect(self) -> float:
        """max |<x_k, x_l>| / (||x_k|| ||x_l||) over k != l; 0 for a single sample."""
        cosines = self.gram / (self.norms[:, None] * self.norms[None, :])
        return float((cosines - torch.diag(torch.diag(cosines))).abs().max())

    @property
    def digest(self) -> str:
        """SHA-256 of the samples, in hexadecimal: equal for equal data."""
        arrays = [self.x, self.y] if self.test is None else [self.x, self.y, self.test.x, self.test.y]
        return hashlib.sha256(b"".join(values.contiguous().numpy().tobytes() for values in arrays)).hexdigest()

    @cached_property
    def one_dimensional(self) -> bool:
        """Whether the inputs are numbers with a bias: d = 2, second coordinate equal to 1."""
        return self.d == 2 and bool((self.x[:, 1] == 1).all())


Samples = TrainingSet | tuple[Any, Any]  # or x (n, d) and y (n,), as numpy or torch reads them


def as_training_set(samples: Samples) -> TrainingSet:
    """The training set, made of a pair (x, y) where it is one; raises InvalidInput for anything else."""
    if isinstance(samples, TrainingSet):
        return samples
    try:
        x, y = samples
    except (TypeError, ValueError):
        allowed = "a TrainingSet, or a pair (x, y) with x (n, d) and y (n,)"
        raise InvalidInput("data", type(samples).__name__, allowed) from None
    return TrainingSet(x, y)


def _check_samples(samples: TrainingSet | TestSet, name: str) -> tuple[Tensor, Tensor]:
    """x and y as float64 copies, which become the samples' own; raises InvalidInput where they are not samples."""
    x, y = as_numbers(samples.x, f"{name} inputs"), as_numbers(samples.y, f"{name} labels")
    object.__setattr__(samples, "x", x)
    object.__setattr__(samples, "y", y)
    if x.ndim != 2 or y.shape != x.shape[:1] or x.numel() == 0:
        shapes = f"x {tuple(x.shape)}, y {tuple(y.shape)}"
        raise InvalidInput(name, shapes, "inputs of shape (n, d) and labels of shape (n,), n, d >= 1")
    for part, values in (("inputs", x), ("labels", y)):
        if not bool(torch.isfinite(values).all()):
            bad = values[~torch.isfinite(values)][0].item()
            raise InvalidInput(f"{name} {part}", bad, "finite numbers")
    return x, y


def orthogonal_pair() -> TrainingSet:
    """The two orthogonal samples of Figure 2: one negative, one positive label."""
    return TrainingSet(torch.tensor([[-0.5, 1.0], [2.0, 1.0]]), torch.tensor([-1.0, 1.0]))


def five_points() -> TrainingSet:
    """The five points on a line, with bias, of Figures 4 and 5: not orthogonal."""
    x = torch.tensor([-1.5, -1.0, 0.0, 0.25, 2.0], dtype=torch.float64)
    y = torch.tensor([0.7, -0.3, -0.3, 0.4, 0.2], dtype=torch.float64)
    return TrainingSet(torch.stack([x, torch.ones_like(x)], dim=1), y)


def three_points() -> TrainingSet:
    """Three points on a line, with bias, that the flow from a small start does not fit: all neurons align with one
    direction, in which every sample is active, and the network stays linear on the samples.

    The inputs' products are all positive, and so are the labels: every neuron that is active on any sample turns to
    D+ = (1/n) sum_k y_k x_k if a_j > 0, and dies if a_j < 0. Training ends at the line of least squares, h = 1.1, at
    L = 0.01. Boursier and Flammarion (arXiv 2401.10791) show why such alignment can keep a network from fitting.
    """
    x = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64)
    y = torch.tensor([1.0, 1.3, 1.0], dtype=torch.float64)
    return TrainingSet(torch.stack([x, torch.ones_like(x)], dim=1), y)


def random_points(n: int = 5, seed: int = 0) -> TrainingSet:
    """n points on a line, with bias: standard normal places and labels 0.7 times standard normal, from the seed."""
    RandomPoints(n, seed)  # checks them
    x, y = torch.randn(2, n, generator=seeded(seed), dtype=torch.float64)
    return TrainingSet(torch.stack([x, torch.ones_like(x)], dim=1), 0.7 * y)


def orthonormal(
    labels: Sequence[float],
    d: int | None = None,
    norms: Sequence[float] | None = None,
    rotation: int | None = None,
) -> TrainingSet:
    """One sample per label on the coordinate axes of R^d, x_k = norms[k] e_k.

    d defaults to the number of labels and norms to 1. rotation is a seed: the axes are then turned by a
    random rotation drawn from it, and are orthogonal to rounding (1e-16) only, which is not enough for scales
    below about 1e-16 (a gate that closed is opened again). Raises InvalidInput for a label equal to 0, which
    the theory of orthogonal inputs excludes (Assumption 2).
    """
    if not isinstance(labels, Iterable):
        raise InvalidInput("data.labels", labels, "a list of labels")
    Orthonormal(tuple(labels), d, None if norms is None else tuple(norms), rotation)  # checks them
    n = len(labels)
    d = n if d is None else d
    x = torch.eye(n, d, dtype=torch.float64)
    if norms is not None:
        x = x * torch.tensor(norms, dtype=torch.float64)[:, None]
    if rotation is not None:
        generator = seeded(rotation)
        q, upper = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
        q = q * torch.diag(upper).sign()  # uniform over the orthogonal group
        q[:, 0] *= torch.linalg.det(q).sign()
        x = x @ q
    return TrainingSet(x, torch.tensor(labels, dtype=torch.float64))


def gaussian_teacher(
    n: int = 75, d: int = 150, teacher_width: int = 6, seed: int = 4, noise: float = 0.0, test_n: int = 0
) -> TrainingSet:
    """Gaussian inputs labelled by a random two-layer teacher without bias, as in Figure 6.

    The defaults give the paper's own data: its code seeds torch with 4, constructs each torch.nn.Linear with
    its usual start, redraws the weights, and then draws the inputs, all in float32. The same draws are made
    here, in the same order, from a generator of our own. Noise, normal with that deviation on training and test
    labels alike, and test_n test samples are drawn after them, and change nothing of them.
    """
    GaussianTeacher(n, d, teacher_width, seed, noise, test_n)  # checks them
    generator = seeded(seed)

    def layer(inputs: int, outputs: int, deviation: float) -> Tensor:
        weight = torch.empty(outputs, inputs, dtype=torch.float32)
        weight.uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)  # Linear's start
        return weight.normal_(0.0, deviation, generator=generator)

    hidden = layer(d, teacher_width, 1 / math.sqrt(teacher_width * d))
    output = layer(teacher_width, 1, 1 / math.sqrt(teacher_width))
    x = torch.randn(n, d, generator=generator, dtype=torch.float32)
    y = (torch.relu(x @ hidden.T) @ output.T).squeeze(1)
    y = y + noise * torch.randn(n, generator=generator, dtype=torch.float64) if noise else y
    teacher = Neurons(hidden.to(torch.float64), output.squeeze(0).to(torch.float64))
    test_x = torch.randn(test_n, d, generator=generator, dtype=torch.float64)
    return TrainingSet(x, y, test=_tested(teacher, test_x, noise, generator), teacher=teacher)


def _tested(teacher: Neurons, x: Tensor, noise: float, generator: torch.Generator) -> TestSet | None:
    """Test samples with the teacher's labels, and the noise of the training labels; None without inputs."""
    if not len(x):
        return None
    return TestSet(x, teacher.outputs(x) + noise * torch.randn(len(x), generator=generator, dtype=torch.float64))
