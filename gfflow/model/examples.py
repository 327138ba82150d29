"""The training sets of the papers that followed, each with its source."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from gfflow.model.data import TestSet, TrainingSet
from gfflow.model.data_sets import (
    CorrelatedTeacher,
    FourKinks,
    NoisyLinear,
    OrthogonallySeparable,
    PiecewiseLinear,
    TwoBlobs,
)
from gfflow.model.neurons import Neurons
from gfflow.model.numbers import generator as seeded

# The interpolant of arXiv 2401.10791's second example, after Stewart et al., as in its authors' code.
STEWART_X = (-1.0, -0.7, -0.55, -0.4, 0.0, 0.5, 0.6, 0.7, 1.0)
STEWART_Y = (0.0, 0.7, 0.5, 1.0, 0.0, 1.0, 0.6, 0.7, 0.0)
FOUR_KINKS = ((-1.0, 1.0, 0.0), (1.0, 2.0, 0.6), (-1.0, 1.5, -0.6), (1.0, 0.5, -0.4))  # a, w, b of each neuron


def early_alignment() -> TrainingSet:
    """The three points on a line, with bias, of arXiv 2401.10791, Section 5: networks of any width fail to fit them
    from a small start."""
    x, y = torch.tensor([[-0.75, -0.5, 0.125], [1.1, 0.1, 0.8]], dtype=torch.float64)
    return _on_a_line(x, y)


def piecewise_linear(n: int = 40, seed: int = 0) -> TrainingSet:
    """n points, uniform on [-1, 1], with bias, on the piecewise linear function of arXiv 2401.10791 (its code names
    it after Stewart et al.). The authors draw theirs without a seed: these are others of the same law."""
    PiecewiseLinear(n, seed)  # checks them
    generator = seeded(seed)
    x = 2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1
    return _on_a_line(x, torch.from_numpy(np.interp(x.numpy(), STEWART_X, STEWART_Y)))


def four_kinks(n: int = 80) -> TrainingSet:
    """An equally spaced grid of n inputs on [-1, 1], with bias, on the example of condensation
    f(x) = -relu(x) + relu(2 (x + 0.3)) - relu(1.5 (x - 0.4)) + relu(0.5 (x - 0.8))."""
    FourKinks(n)  # checks it
    table = torch.tensor(FOUR_KINKS, dtype=torch.float64)
    teacher = Neurons(table[:, 1:].contiguous(), table[:, 0].contiguous())
    x = torch.linspace(-1, 1, n, dtype=torch.float64)
    inputs = torch.stack([x, torch.ones_like(x)], dim=1)
    return TrainingSet(inputs, teacher.outputs(inputs), teacher=teacher)


def noisy_linear(n: int = 200, d: int = 5, noise: float = 0.5, test_n: int = 2000, seed: int = 0) -> TrainingSet:
    """x ~ N(0, I), y = <beta, x> + noise times a standard normal, ||beta|| = 1 (a linear example, as that of arXiv
    2410.02348); test labels carry the same noise. The teacher and the test samples depend on d and the seed alone,
    and the first samples are the same for every n."""
    NoisyLinear(n, d, noise, test_n, seed)  # checks them
    beta, x, test_x, noises, test_noises = _draws(n, d, test_n, seed)
    teacher = linear(beta / beta.norm())
    y = teacher.outputs(x) + noise * noises
    test = _noisy(teacher, test_x, noise * test_noises)
    return TrainingSet(x, y, test=test, teacher=teacher)


def correlated_teacher(
    n: int = 20, d: int = 20, spread: float = 1.0, angle: float = 30.0, test_n: int = 0, seed: int = 0
) -> TrainingSet:
    """Inputs about a unit centre, x = centre + (spread / sqrt(d)) times a standard normal, labelled by one ReLU
    neuron <v, x>, ||v|| = 1, at the angle (degrees) from the centre: the setting of arXiv 2306.06479, where all
    <v, x_k> are positive (a warning says where they are not). The centre, v and the test samples depend on d and the
    seed alone."""
    CorrelatedTeacher(n, d, spread, angle, test_n, seed)  # checks them
    centre, x, test_x, _, test_noises = _draws(n, d, test_n, seed)
    centre = centre / centre.norm()
    aside = torch.randn(d, generator=seeded(seed), dtype=torch.float64).flip(0)
    aside = aside - (aside @ centre) * centre
    v = centre
    if d > 1:
        v = math.cos(math.radians(angle)) * centre + math.sin(math.radians(angle)) * aside / aside.norm()
    x, test_x = (centre + spread / math.sqrt(d) * inputs for inputs in (x, test_x))
    if not bool((x @ v > 0).all()):
        warnings.warn(f"{int((x @ v <= 0).sum())} inputs are not correlated with the teacher", stacklevel=2)
    teacher = Neurons(v[None, :].clone(), torch.ones(1, dtype=torch.float64))
    return TrainingSet(x, teacher.outputs(x), test=_noisy(teacher, test_x, 0 * test_noises), teacher=teacher)


def linear(beta: Tensor) -> Neurons:
    """Two balanced neurons that make the linear function <beta, x>: relu(<b, x>) - relu(-<b, x>)."""
    size = float(beta.norm()) or 1.0
    w = torch.stack([beta, -beta]) / math.sqrt(size)
    return Neurons(w, torch.tensor([1.0, -1.0], dtype=torch.float64) * math.sqrt(size))


def _draws(n: int, d: int, test_n: int, seed: int) -> tuple[Tensor, ...]:
    """A vector (d,), inputs (n, d) and (test_n, d), noises (n,) and (test_n,), all standard normal; each from a
    generator of its own, so that the first samples do not depend on how many there are."""
    seeds = torch.randint(2**62, (5,), generator=seeded(seed)).tolist()
    shapes = ((d,), (n, d), (test_n, d), (n,), (test_n,))
    return tuple(_rows(shape, own) for shape, own in zip(shapes, seeds, strict=True))


def _rows(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal numbers, drawn row by row: torch draws a long tensor in another order than a short one."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return torch.from_numpy(generator.standard_normal(shape))


def _noisy(teacher: Neurons, x: Tensor, noise: Tensor) -> TestSet | None:
    """Test samples with the teacher's labels and the noise; None without inputs."""
    return TestSet(x, teacher.outputs(x) + noise) if len(x) else None


def _on_a_line(x: Tensor, y: Tensor) -> TrainingSet:
    return TrainingSet(torch.stack([x, torch.ones_like(x)], dim=1), y)


def orthogonally_separable(n: int = 8, d: int = 3, seed: int = 0) -> TrainingSet:
    """n samples y_k v_k, v_k uniform in [0.1, 1.1]^d, labels +1 and -1 in turn: <x_k, x_l> > 0 for equal labels and
    < 0 for different ones, which Phuong and Lampert (2021) call orthogonally separable."""
    OrthogonallySeparable(n, d, seed)  # checks them
    generator = seeded(seed)
    y = _in_turn(n)
    return TrainingSet(y[:, None] * (0.1 + torch.rand(n, d, generator=generator, dtype=torch.float64)), y)


def two_blobs(n: int = 40, distance: float = 2.5, spread: float = 0.5, seed: int = 0) -> TrainingSet:
    """n points of the plane, with bias, labels +1 and -1 in turn: normal with deviation `spread` about two centres
    at (+-distance / 2, 0)."""
    TwoBlobs(n, distance, spread, seed)  # checks them
    generator = seeded(seed)
    y, x = _in_turn(n), spread * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    x[:, 0] += y * distance / 2
    return TrainingSet(torch.cat([x, torch.ones(n, 1, dtype=torch.float64)], dim=1), y)


def _in_turn(n: int) -> Tensor:
    return 1.0 - 2.0 * (torch.arange(n, dtype=torch.float64) % 2)
