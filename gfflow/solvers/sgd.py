"""The reference solver: torch.optim.SGD on the loss, by autograd through the custom ReLU."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.solvers.base import Solver
from gfflow.solvers.options import SolverOptions


class SGD(Solver):
    """Plain gradient descent with step size lr on L (Eq. 1), on any device.

    With batch_size b each step uses b samples, drawn without replacement until all have been used, then
    reshuffled, by a generator of the solver's own seeded with `seed`; the batch's loss is its mean square
    divided by 2. None means all the samples at every step.
    """

    name: ClassVar[str] = "sgd"
    runs_on: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    takes_batches: ClassVar[bool] = True
    any_activation: ClassVar[bool] = True
    any_loss: ClassVar[bool] = True
    trains_one_layer: ClassVar[bool] = True

    def __init__(self, lr: float, batch_size: int | None = None, seed: int = 0) -> None:
        super().__init__(lr)
        SolverOptions.check(batch_size=batch_size)
        self.batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._queue = torch.empty(0, dtype=torch.int64)  # samples of the running epoch, not yet used

    def check(self, network: TwoLayerReLU, training_set: TrainingSet) -> None:
        if self.batch_size is not None and self.batch_size > training_set.n:
            allowed = f"null or an integer from 1 to the number of samples, {training_set.n}"
            raise InvalidInput("solver.batch_size", self.batch_size, allowed)

    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        optimizer = torch.optim.SGD(network.trained(), lr=self.lr)
        x = training_set.x.to(network.hidden)
        y = training_set.y.to(network.hidden)
        for _ in range(stop - start):
            batch = self._next_batch(training_set.n)
            inputs, labels = (x, y) if batch is None else (x[batch], y[batch])
            network.zero_grad(set_to_none=True)
            loss = training_set.loss.value(network(inputs), labels).mean()
            torch.autograd.backward(loss)
            optimizer.step()
        network.zero_grad(set_to_none=True)

    def _next_batch(self, n: int) -> Tensor | None:
        if self.batch_size is None:
            return None
        if len(self._queue) < self.batch_size:
            self._queue = torch.cat([self._queue, torch.randperm(n, generator=self._generator)])
        batch, self._queue = self._queue[: self.batch_size], self._queue[self.batch_size :]
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "queue": self._queue}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"].cpu())
        self._queue = state["queue"].cpu()
