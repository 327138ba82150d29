"""The fast solver on CPU: full-batch descent written out and compiled, many steps a call."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.data import TrainingSet
from gfflow.errors import InvalidInput
from gfflow.network import TwoLayerReLU
from gfflow.solvers.base import Solver

UNROLLED = 25  # largest n d for which a kernel of its own is compiled: beyond, registers run out
ANCHOR = 10_000  # steps after which pre-activations are computed anew from the weights


def choose_form(n: int, d: int, diagonal: bool) -> str:
    """The cheapest way to do a step, by operations: 'unrolled', 'diagonal', 'gram' or 'direct'."""
    if n * d <= UNROLLED and max(n, d) <= 9:
        return "unrolled"
    if diagonal:
        return "diagonal"
    return "gram" if n < 2 * d else "direct"


def descend(
    w: NDArray[Any],
    a: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    lr: float,
    steps: int,
    form: str | None = None,
) -> None:
    """`steps` steps of gradient descent on L (Eq. 1), in place on w (m, d) and a (m,); x (n, d), y (n,).

    All arrays are of one dtype, float64 or float32. Each step is the one of torch.optim.SGD with lr, up to the
    rounding of sums over neurons. The forms 'gram' and 'diagonal' carry the pre-activations from step to step and
    compute them anew from the weights every ANCHOR steps, so that their rounding errors stay below ANCHOR units in
    the last place of a neuron's own size.
    """
    from gfflow.solvers import kernels  # numba is imported only when it is needed

    gram = x @ x.T
    squares = np.diag(gram).copy()
    n, d = x.shape
    form = form or choose_form(n, d, diagonal=bool((gram == np.diag(squares)).all()))
    rate = w.dtype.type(lr)
    if form in ("unrolled", "direct"):
        columns = np.ascontiguousarray(w.T)
        number: Any = w.dtype.type
        kernel = kernels.unrolled(n, d, number) if form == "unrolled" else kernels.descend_direct
        kernel(columns, a, x, y, rate, steps)
        w[:] = columns.T
        return
    kernel, inputs = {
        "gram": (kernels.descend_gram, gram),
        "diagonal": (kernels.descend_diagonal, squares),
    }[form]
    while steps > 0:
        z = np.ascontiguousarray(x @ w.T)
        sums = np.zeros_like(z)
        kernel(z, a, inputs, y, rate, min(steps, ANCHOR), sums)
        w += sums.T @ x
        steps -= ANCHOR


class Fused(Solver):
    """Full-batch gradient descent on CPU, equal to `SGD` up to rounding and about a thousand times faster."""

    name: ClassVar[str] = "fused"

    def check(self, network: TwoLayerReLU, training_set: TrainingSet) -> None:
        if network.hidden.device.type != "cpu":
            raise InvalidInput("solver", self.name, "on a CPU; solver=captured on CUDA, solver=sgd on any device")
        if network.relu_derivative_at_zero != 0:
            raise InvalidInput("solver", self.name, "with network.relu_derivative_at_zero=0; solver=sgd for others")

    def stride(self, network: TwoLayerReLU, training_set: TrainingSet) -> int:
        n, d = training_set.x.shape
        return max(1, 10**9 // (4 * n * min(n, d) * len(network.output)))

    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        self.check(network, training_set)
        w, a = network.hidden.detach(), network.output.detach()
        x, y = training_set.x.to(w.dtype), training_set.y.to(w.dtype)
        with torch.no_grad():
            descend(w.numpy(), a.numpy(), x.numpy(), y.numpy(), self.lr, stop - start)
