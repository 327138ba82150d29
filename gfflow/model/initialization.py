"""Starts: the balanced one of Eq. 4, the unbalanced one of Section 3.2, and those of other papers."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.numbers import generator as seeded
from gfflow.model.options import NetworkOptions
from gfflow.model.starts import StartOptions


def initialization_scale(scale: float, normalization: str, width: int, d: int) -> float:
    """lambda of Eq. 4: scale / sqrt(m) ('width'), scale / sqrt(m d) ('width_dim') or scale ('none').

    The paper's experiments use the first for inputs on a line and the second in high dimension.
    """
    StartOptions.check(normalization=normalization, scale=scale)
    NetworkOptions.check(width=width)
    return scale / math.sqrt({"width": width, "width_dim": width * d, "none": 1}[normalization])


def draw_start(width: int, d: int, scale: float, seed: int, balanced: bool = True) -> Neurons:
    """Draws the start at scale lambda: w_j = lambda g_j with g_j standard normal in R^d, m = width neurons.

    Balanced (Eq. 4): a_j = s_j ||w_j|| with s_j = +-1 equally likely, exact to one rounding at every scale
    (math.hypot squares no tiny number). Unbalanced: a_j = lambda times a standard normal. The draw depends on
    the seed alone: the same seed gives the same g_j and s_j at every scale. Raises InvalidInput where a
    weight underflows to zero, since a zero neuron never moves.
    """
    StartOptions.check(scale=scale)
    if not (isinstance(width, Integral) and isinstance(d, Integral) and min(width, d) >= 1):
        raise InvalidInput("network.width", f"{width}, of {d} inputs", "integers of at least 1")
    generator = seeded(seed)
    w = scale * torch.randn(width, d, generator=generator, dtype=torch.float64)
    if balanced:
        signs = 2.0 * torch.randint(2, (width,), generator=generator) - 1.0
        a = signs * torch.tensor([math.hypot(*row) for row in w.tolist()], dtype=torch.float64)
    else:
        a = scale * torch.randn(width, generator=generator, dtype=torch.float64)
    return _alive(w, a, scale)


def draw_dominated(width: int, d: int, scale: float, seed: int) -> Neurons:
    """Entries of w_j uniform in [-lambda, lambda], a_j = s_j lambda sqrt(d) with s_j = +-1 equally likely, lambda =
    scale: |a_j| >= ||w_j||, which the flow keeps, so that no a_j changes its sign (Lemma 1). As the code of arXiv
    2401.10791 draws it. The same seed gives the same draw at every scale; raises InvalidInput as draw_start does."""
    generator = seeded(seed)
    w = scale * (2 * torch.rand(width, d, generator=generator, dtype=torch.float64) - 1)
    signs = 2.0 * torch.randint(2, (width,), generator=generator, dtype=torch.float64) - 1.0
    return _alive(w, signs * scale * math.sqrt(d), scale)


def draw_gaussian(width: int, d: int, output: float, hidden: float, seed: int) -> Neurons:
    """a_j ~ N(0, output^2) and w_j ~ N(0, hidden^2 I), all independent (arXiv 2007.07497); raises InvalidInput as
    draw_start does."""
    generator = seeded(seed)
    w = hidden * torch.randn(width, d, generator=generator, dtype=torch.float64)
    return _alive(w, output * torch.randn(width, generator=generator, dtype=torch.float64), min(output, hidden))


def mirrored(half: Neurons) -> Neurons:
    """Twice the neurons: those given, then the same w with -a, so that the output is zero everywhere."""
    return Neurons(torch.cat([half.w, half.w]), torch.cat([half.a, -half.a]), half.activation)


def _alive(w: Tensor, a: Tensor, scale: float) -> Neurons:
    if bool((a == 0).any()) or bool((w == 0).all(dim=1).any()):
        raise InvalidInput("init.scale", scale, "a scale at which no neuron is zero (1e-300 or larger)")
    return Neurons(w, a)


def check_alive(start: Neurons, training_set: TrainingSet) -> None:
    """Raises InvalidInput where a neuron is zero, or where every neuron is dead: off on all the samples."""
    zero = (start.norms == 0) | (start.a == 0)
    if bool(zero.any()):
        j = int(zero.nonzero()[0])
        raise InvalidInput("neurons", f"neuron {j} equal to zero", "non-zero hidden and output weights")
    if not bool((start.directions @ training_set.x.T > 0).any()):
        raise InvalidInput(
            "neurons",
            "no neuron active on any sample",
            "a neuron with <w_j, x_k> > 0 (another seed, more width)",
        )
