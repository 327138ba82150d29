"""Members trained as one batch on CUDA: each step moves all of them, their weights with a leading axis of members.

What a member's weights were at the iterations of its schedule is kept, and its training is then played back on the
CPU, where it is measured and judged by the pieces that every other training has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gfflow.config import RunConfig
from gfflow.ensemble.member import train_assembled
from gfflow.ensemble.workers import in_parts
from gfflow.errors import InvalidInput
from gfflow.experiment import Experiment, assemble, base_schedule, uses_cuda
from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.records.ensemble import Member
from gfflow.solvers import Captured, Solver
from gfflow.solvers.captured import Recording

MOST = 256  # members in a batch
NUMBERS = 2**26  # weights kept at once, of all members at all their iterations


class Played(Solver):
    """Moves a network to where it has been found to come: its weights at the iterations of its schedule."""

    name: ClassVar[str] = Captured.name
    any_activation: ClassVar[bool] = True
    trains_one_layer: ClassVar[bool] = True

    def __init__(self, lr: float, steps: Sequence[int], w: Tensor, a: Tensor) -> None:
        """w (T, m, d) and a (T, m) are the weights at the T iterations `steps`."""
        super().__init__(lr)
        self._place = {step: i for i, step in enumerate(steps)}
        self._w, self._a = w, a

    def stride(self, network: TwoLayerReLU, training_set: TrainingSet) -> int:
        """Without end: nothing is computed."""
        return 2**62

    @torch.no_grad()
    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        network.hidden.copy_(self._w[self._place[stop]])
        network.output.copy_(self._a[self._place[stop]])

    def advance_through(
        self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stops: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        self.advance(network, training_set, start, stops[-1])
        places = [self._place[stop] for stop in stops]
        return self._w[places].double(), self._a[places].double()


def can_train_together(config: RunConfig, solver: Solver) -> bool:
    """Whether members make one batch: on CUDA, by full-batch descent, on the same data."""
    return uses_cuda(config) and isinstance(solver, Captured) and config.ensemble.data == "same"


def batches(config: RunConfig, indices: Sequence[int], d: int) -> list[list[int]]:
    """The members, in as many batches as memory asks for."""
    weights = len(base_schedule(config)) * config.network.width * (d + 1)
    return in_parts(indices, max(1, min(MOST, NUMBERS // weights)))


def train_together(
    config: RunConfig,
    indices: Sequence[int],
    data: TrainingSet,
    stop: Callable[[], bool],
    device: torch.device | str = "cuda",
) -> list[Member]:
    """The members of those indices on that data, as `train_member` gives them one by one on CUDA, up to rounding:
    products of many networks are summed in another order. Ends early, with none or the first of them, once `stop`
    says so."""
    made: dict[int, Experiment] = {}
    refused: dict[int, Member] = {}
    for index in indices:
        if stop():
            return []
        own = config.member(index)
        try:
            made[index] = assemble(own, data)
        except InvalidInput as error:
            refused[index] = Member(own.seed, failure=str(error))
    if made and not _descend(list(made.values()), data, stop, device):
        return []
    members: list[Member] = []
    for index in indices:
        if stop():
            break
        members.append(refused[index] if index in refused else train_assembled(config, index, made[index]))
    return members


@torch.no_grad()
def _descend(
    experiments: Sequence[Experiment], data: TrainingSet, stop: Callable[[], bool], device: torch.device | str
) -> bool:
    """Moves all networks to the end of their schedules at once, and gives each experiment a solver that plays back
    what its own has come to. False where `stop` has said so meanwhile."""
    networks = [experiment.module.network for experiment in experiments]
    w = torch.stack([network.hidden.detach() for network in networks]).to(device)
    a = torch.stack([network.output.detach() for network in networks]).to(device)
    lr = experiments[0].module.solver.lr
    law = data.loss, networks[0].activation, networks[0].frozen
    recording = Recording(w, a, data, lr, law)
    wanted: dict[int, list[int]] = {}
    for row, experiment in enumerate(experiments):
        for step in experiment.module.schedule:
            wanted.setdefault(step, []).append(row)
    frames: list[list[tuple[Tensor, Tensor]]] = [[] for _ in experiments]
    iteration = 0
    for step in sorted(wanted):
        if stop():
            return False
        recording.advance(step - iteration)
        iteration, rows = step, wanted[step]
        for row, *found in zip(rows, w[rows].cpu(), a[rows].cpu(), strict=True):
            frames[row].append((found[0], found[1]))
    for experiment, weights in zip(experiments, frames, strict=True):
        played = (torch.stack(tensors) for tensors in zip(*weights, strict=True))
        experiment.module.solver = Played(lr, tuple(experiment.module.schedule), *played)
    return True
