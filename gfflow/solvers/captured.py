"""Full-batch descent on CUDA: the update written out in torch, recorded once as a CUDA graph and replayed."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gfflow.model.activations import RELU, Activation
from gfflow.model.data import TrainingSet
from gfflow.model.losses import SQUARE, Loss
from gfflow.model.network import TwoLayerReLU
from gfflow.solvers.base import Solver

BLOCK = 100  # steps recorded in the longer of the two graphs; the other has one
WARM_UP = 3  # steps run on a side stream before recording, as torch.cuda.graph asks for


def descend_step(
    w: Tensor,
    a: Tensor,
    x: Tensor,
    y: Tensor,
    lr: float,
    loss: Loss = SQUARE,
    activation: Activation = RELU,
    frozen: str | None = None,
) -> None:
    """One step of gradient descent on L (Eq. 1), in place on w (..., m, d) and a (..., m), of one network or of many
    with leading axes; x (n, d), y (n,).

    Written out, without autograd, from the old weights throughout: w_j moves by lr a_j D_j and a_j by
    lr <D_j, w_j> (Eq. 3), relu'(0) = 0. No shape, branch or number depends on values, so it can be recorded.
    """
    z = x @ w.mT
    outputs = activation.value(z)
    errors = (lr / len(y)) * loss.residual((outputs @ a.unsqueeze(-1)).squeeze(-1), y)
    pushes = activation.derivative(z) * errors.unsqueeze(-1)
    turn = (errors.unsqueeze(-2) @ outputs).squeeze(-2)
    if frozen != "hidden":
        w.addcmul_(pushes.mT @ x, a.unsqueeze(-1))
    if frozen != "output":
        a.add_(turn)


Law = tuple[Loss, Activation, str | None]


class Recording:
    """Steps of w and a in place: on CUDA from two recorded graphs, elsewhere step by step."""

    def __init__(self, w: Tensor, a: Tensor, training_set: TrainingSet, lr: float, law: Law) -> None:
        """w (..., m, d) and a (..., m) are moved where they lie in memory. Recording moves nothing."""
        self.training_set, self.law, self.lr = training_set, law, lr
        self._w, self._a = w, a
        self._x, self._y = training_set.x.to(w), training_set.y.to(w)
        self._graphs = {count: self._graph(count) for count in (BLOCK, 1)} if w.is_cuda else {}

    def moves(self, w: Tensor, a: Tensor, training_set: TrainingSet, law: Law) -> bool:
        """Whether it moves these very weights by that law."""
        same_memory = self._w.data_ptr() == w.data_ptr() and self._a.data_ptr() == a.data_ptr()
        same_samples = self.training_set.x is training_set.x and self.training_set.y is training_set.y
        return same_memory and same_samples and self.law == law

    def advance(self, steps: int) -> None:
        """Makes so many steps."""
        if not self._graphs:
            self._steps(steps)
            return
        blocks, rest = divmod(steps, BLOCK)
        for count, times in ((BLOCK, blocks), (1, rest)):
            for _ in range(times):
                self._graphs[count].replay()

    def _steps(self, count: int) -> None:
        for _ in range(count):
            descend_step(self._w, self._a, self._x, self._y, self.lr, *self.law)

    def _graph(self, count: int) -> torch.cuda.CUDAGraph:
        """A graph of so many steps. The warm-up steps do run, and are undone."""
        kept, device = (self._w.clone(), self._a.clone()), self._w.device
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            self._steps(WARM_UP)
        torch.cuda.current_stream(device).wait_stream(side)
        self._w.copy_(kept[0])
        self._a.copy_(kept[1])
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._steps(count)
        return graph


class Captured(Solver):
    """Full-batch gradient descent on CUDA, equal to `SGD` up to rounding: BLOCK steps a graph replay, the rest of a
    leap in replays of one."""

    name: ClassVar[str] = "captured"
    runs_on: ClassVar[tuple[str, ...]] = ("cuda",)
    any_activation: ClassVar[bool] = True
    trains_one_layer: ClassVar[bool] = True

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self._recording: Recording | None = None

    @torch.no_grad()
    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        w, a = network.hidden.detach(), network.output.detach()
        self.check_device(network)
        law = training_set.loss, network.activation, network.frozen
        if self._recording is None or not self._recording.moves(w, a, training_set, law):
            self._recording = Recording(w, a, training_set, self.lr, law)
        self._recording.advance(stop - start)
