"""Large networks and many samples: what a step costs over a whole run, and what its matrix products alone would."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from gfflow.benchmark.cases import gaussian_set
from gfflow.benchmark.contestants import plain_loop, solver_alone
from gfflow.benchmark.grid import Line
from gfflow.benchmark.timing import Timing, paired
from gfflow.model.data import TrainingSet
from gfflow.model.examples import STEWART_X, STEWART_Y
from gfflow.model.initialization import draw_start

WIDTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
STEPS = 200_000  # over which a step's cost is averaged: the early phase, with all neurons on their way, and after
MANY = (1000, 784, 1000)  # samples, coordinates, neurons


def points_on_a_line(n: int = 40) -> TrainingSet:
    """n uniform inputs on [-1, 1] with bias, labels on a line of eight pieces (after arXiv 2401.10791)."""
    x = np.sort(np.random.default_rng(0).uniform(-1, 1, n))
    y = np.interp(x, STEWART_X, STEWART_Y)
    return TrainingSet(torch.from_numpy(np.stack([x, np.ones(n)], axis=1)), torch.from_numpy(y))


def measure_widths(widths: tuple[int, ...] = WIDTHS, steps: int = STEPS) -> Line:
    """Seconds a step at each width, the same data, scale 1e-3: of the plain loop over a second, of fused over all the
    steps. Each once: the runs are long."""
    data, pairs = points_on_a_line(), []
    for m in widths:
        start = draw_start(m, data.d, 1e-3 / math.sqrt(m), seed=0)
        trial = plain_loop(data, start, 3)
        plain = plain_loop(data, start, max(3, int(1 / trial)))
        fused = solver_alone("fused", data, start, steps)
        case = f"n=40 d=2 m={m:,}, {steps:,} steps"
        pairs.append(
            (Timing(case, "plain loop", (plain,), (1.0,)), Timing(case, "fused", (fused,), (plain / fused,)))
        )
    return Line(f"m at n=40, d=2, over {steps:,} steps", list(widths), pairs, ["grouped"] * len(pairs))


def measure_many(shape: tuple[int, int, int] = MANY, repetitions: int = 3, steps: int = 20) -> list[Timing]:
    """The plain loop, fused, and the products of x w^T and of its gradient, and the one of the Gram matrix, alone."""
    n, d, m = shape
    data, start = gaussian_set(n, d), draw_start(m, d, 1e-2, seed=0)
    gram, push = data.gram, torch.randn(n, m, dtype=torch.float64)

    def two_products() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            torch.mm(data.x, start.w.T)
            torch.mm(push.T, data.x)
        return (time.perf_counter() - began) / steps

    def gram_product() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            torch.mm(gram, push)
        return (time.perf_counter() - began) / steps

    return paired(
        f"n={n} d={d} m={m}",
        {
            "plain loop": lambda: plain_loop(data, start, steps),
            "fused": lambda: solver_alone("fused", data, start, 2 * steps),
            "its two products alone": two_products,
            "the Gram matrix's product alone": gram_product,
        },
        repetitions,
    )
