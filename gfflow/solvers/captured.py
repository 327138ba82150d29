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

BLOCK = 100  # steps recorded in one graph
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
    """One step of gradient descent on L (Eq. 1), in place on w (m, d) and a (m,); x (n, d), y (n,).

    Written out, without autograd, from the old weights throughout: w_j moves by lr a_j D_j and a_j by
    lr <D_j, w_j> (Eq. 3), relu'(0) = 0. No shape, branch or number depends on values, so it can be recorded.
    """
    z = x @ w.T
    outputs = activation.value(z)
    errors = (lr / len(y)) * loss.residual(outputs @ a, y)
    pushes = activation.derivative(z) * errors.unsqueeze(1)
    turn = errors @ outputs
    if frozen != "hidden":
        w.addcmul_(pushes.T @ x, a.unsqueeze(1))
    if frozen != "output":
        a.add_(turn)


class Captured(Solver):
    """Full-batch gradient descent on CUDA, equal to `SGD` up to rounding: BLOCK steps a graph replay, the rest of a
    leap step by step."""

    name: ClassVar[str] = "captured"
    runs_on: ClassVar[tuple[str, ...]] = ("cuda",)
    any_activation: ClassVar[bool] = True
    trains_one_layer: ClassVar[bool] = True

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._law: tuple[Loss, Activation, str | None] = (SQUARE, RELU, None)
        self._recorded: tuple[Tensor, ...] = ()  # what the graph reads and writes; kept alive with it

    @torch.no_grad()
    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        w, a = network.hidden.detach(), network.output.detach()
        self.check_device(network)
        law = training_set.loss, network.activation, network.frozen
        if not self._is_recorded(w, a, training_set) or self._law != law:
            self._law = law
            self._record(w, a, training_set)
        assert self._graph is not None
        x, y = self._recorded[2], self._recorded[3]
        blocks, rest = divmod(stop - start, BLOCK)
        for _ in range(blocks):
            self._graph.replay()
        for _ in range(rest):
            descend_step(w, a, x, y, self.lr, *self._law)

    def _is_recorded(self, w: Tensor, a: Tensor, training_set: TrainingSet) -> bool:
        if not self._recorded:
            return False
        same_memory = all(old.data_ptr() == new.data_ptr() for old, new in zip(self._recorded, (w, a), strict=False))
        return same_memory and self._recorded[4] is training_set.x and self._recorded[5] is training_set.y

    def _record(self, w: Tensor, a: Tensor, training_set: TrainingSet) -> None:
        """Records BLOCK steps. Recording runs nothing; the warm-up steps do, and are undone."""
        x, y = training_set.x.to(w), training_set.y.to(w)
        kept = w.clone(), a.clone()
        side = torch.cuda.Stream(w.device)
        side.wait_stream(torch.cuda.current_stream(w.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                descend_step(w, a, x, y, self.lr, *self._law)
        torch.cuda.current_stream(w.device).wait_stream(side)
        w.copy_(kept[0])
        a.copy_(kept[1])
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            for _ in range(BLOCK):
                descend_step(w, a, x, y, self.lr, *self._law)
        self._recorded = (w, a, x, y, training_set.x, training_set.y)
