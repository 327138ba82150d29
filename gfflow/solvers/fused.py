"""The fast solver on CPU: full-batch descent written out and compiled, many steps a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.solvers.base import Solver, never
from gfflow.solvers.grouped import Grouped, may_pay

UNROLLED = 25  # largest n d for which a kernel of its own is compiled: beyond, registers run out
ANCHOR = 10_000  # steps after which pre-activations are computed anew from the weights


def choose_form(n: int, d: int, diagonal: bool) -> str:
    """The cheapest way to do a step: 'unrolled', 'diagonal', 'gram' or 'direct'."""
    if n * d <= UNROLLED and max(n, d) <= 9:
        return "unrolled"
    if diagonal:
        return "diagonal"
    return "gram" if n < 4 * d else "direct"  # by measurement: a BLAS product does four operations in the time of one


@dataclass(frozen=True)
class Law:
    """What a step depends on besides the samples: the loss by its code, the activation by its slope below 0, and the
    layer that stays as it is ('output', 'hidden' or None)."""

    code: int = 0
    slope: float = 0.0
    frozen: str | None = None


class Descent:
    """Gradient descent on L (Eq. 1) with step size lr for one training set x (n, d), y (n,): prepared once, for many
    calls.

    Every call does `steps` steps in place on w (m, d) and a (m,), of the dtype of x and y, float64 or float32.
    Each step is the one of torch.optim.SGD, up to the rounding of sums. The forms 'gram' and 'diagonal' carry the
    pre-activations from step to step and compute them anew from the weights every ANCHOR steps, so that their
    rounding errors stay below ANCHOR units in the last place of a neuron's own size. A leaky ReLU and a frozen layer
    are known to the forms 'unrolled' and 'any'.
    """

    def __init__(
        self, x: NDArray[Any], y: NDArray[Any], lr: float, form: str | None = None, law: Law | None = None
    ) -> None:
        """form None chooses the cheapest, and groups of neurons of equal gates where those are cheaper still;
        'diagonal' is right for exactly orthogonal inputs only."""
        from gfflow.solvers import kernels  # numba is imported only when it is needed

        self.x, self.y, self.rate = x, y, x.dtype.type(lr)
        law = law or Law()
        self.code, usual = law.code, law == Law(law.code)
        n, d = x.shape
        gram = x @ x.T
        squares = np.diag(gram).copy()
        self.form = form or choose_form(n, d, diagonal=bool((gram == np.diag(squares)).all()))
        if not usual and self.form != "unrolled":
            self.form = "any"
        number: Any = x.dtype.type
        layers = law.frozen != "hidden", law.frozen != "output"
        self._kernel, self._products = {
            "unrolled": lambda: (kernels.unrolled(n, d, number, law.code, law.slope, *layers), None),
            "direct": lambda: (kernels.descend_direct, None),
            "gram": lambda: (kernels.descend_gram, gram),
            "diagonal": lambda: (kernels.descend_diagonal, squares),
            "any": lambda: (kernels.descend_any, None),
        }[self.form]()
        # what the kernel takes besides: nothing that it is compiled for
        self._more = {"unrolled": (), "any": (law.code, number(law.slope), *layers)}.get(self.form, (law.code,))
        groups = form is None and usual
        self._grouped = Grouped(x, y, lr, self._neuron_by_neuron, code=law.code) if groups else None
        self._pays = cache(lambda m: self._grouped is not None and may_pay(n, d, m))

    def __call__(self, w: NDArray[Any], a: NDArray[Any], steps: int, stop: Callable[[], bool] = never) -> None:
        if self._grouped is not None and self._pays(len(a)):
            self._grouped(w, a, steps, stop)
        else:
            self._neuron_by_neuron(w, a, steps)

    def through(self, w: NDArray[Any], a: NDArray[Any], leaps: NDArray[np.int64]) -> tuple[Any, Any] | None:
        """Leaps of so many steps each, one after another, in one call: the weights after each of them, (T, m, d) and
        (T, m), to the bit those of a call for each; None, and nothing done, where that is not compiled."""
        if self.form != "unrolled" or self._pays(len(a)):
            return None
        at_w, at_a = np.empty((len(leaps), *w.shape), w.dtype), np.empty((len(leaps), *a.shape), a.dtype)
        self._kernel(w, a, self.x, self.y, self.rate, leaps, at_w, at_a)
        return at_w, at_a

    def _neuron_by_neuron(self, w: NDArray[Any], a: NDArray[Any], steps: int) -> None:
        if self.form == "unrolled":
            nowhere = np.empty((0, *w.shape), w.dtype), np.empty((0, *a.shape), a.dtype)
            self._kernel(w, a, self.x, self.y, self.rate, np.array([steps]), *nowhere)
            return
        if self._products is None:
            self._kernel(w, a, self.x, self.y, self.rate, steps, *self._more)
            return
        from gfflow.solvers.products import LARGE, descend_by_products

        n, m = len(self.y), len(a)
        while steps > 0 and self.form == "gram" and n * n * m >= LARGE:
            descend_by_products(w, a, self.x, self.y, self._products, self.rate, min(steps, ANCHOR), self.code)
            steps -= ANCHOR
        while steps > 0:
            z = np.ascontiguousarray(self.x @ w.T)
            sums = np.zeros_like(z)
            self._kernel(z, a, self._products, self.y, self.rate, min(steps, ANCHOR), self.code, sums)
            w += sums.T @ self.x
            steps -= ANCHOR


def descend(
    w: NDArray[Any],
    a: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    lr: float,
    steps: int,
    form: str | None = None,
    law: Law | None = None,
) -> None:
    """`steps` steps of gradient descent in place on w (m, d) and a (m,): see Descent."""
    Descent(x, y, lr, form, law)(w, a, steps)


class Fused(Solver):
    """Full-batch gradient descent on CPU, equal to `SGD` up to rounding and about a thousand times faster."""

    name: ClassVar[str] = "fused"
    compiles: ClassVar[bool] = True
    compiles_first: ClassVar[bool] = True
    trains_one_layer: ClassVar[bool] = True

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self._key: Any = None
        self._leap: Any = None  # the descent and the arrays that it moves, prepared for the key

    def check(self, network: TwoLayerReLU, training_set: TrainingSet) -> None:
        super().check(network, training_set)
        self.check_device(network)

    def stride(self, network: TwoLayerReLU, training_set: TrainingSet) -> int:
        n, d = training_set.x.shape
        m = len(network.output)
        by_neurons = 10**9 // (4 * n * min(n, d) * m)
        # groups are formed anew after every stride: many steps are to share that
        return max(1, by_neurons, 20_000 if may_pay(n, d, m) else 0)

    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        descent, w, a = self._prepared(network, training_set)
        descent(w, a, stop - start, self.stop_asked)

    def advance_through(
        self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stops: Sequence[int]
    ) -> tuple[Tensor, Tensor] | None:
        if type(self).advance is not Fused.advance:  # a solver of somebody's own that goes on from this one
            return None
        descent, w, a = self._prepared(network, training_set)
        found = descent.through(w, a, np.diff(stops, prepend=start))
        return None if found is None else (torch.from_numpy(found[0]).double(), torch.from_numpy(found[1]).double())

    def _prepared(self, network: TwoLayerReLU, training_set: TrainingSet) -> Any:
        """The descent, and the network's weights as the arrays that it moves: made once."""
        weights: Any = network._parameters  # asking nn.Module for network.hidden costs as much as a few steps
        hidden, output = weights["hidden"], weights["output"]
        key = training_set, hidden.data_ptr(), output.data_ptr()  # the arrays kept in _leap keep these addresses
        if key != self._key:
            self.check(network, training_set)
            w, a = hidden.detach().numpy(), output.detach().numpy()
            x, y = (values.to(hidden.dtype).numpy() for values in (training_set.x, training_set.y))
            law = Law(training_set.loss.code or 0, network.activation.slope, network.frozen)
            self._key, self._leap = key, (Descent(x, y, self.lr, law=law), w, a)
        return self._leap
