"""A block: several leaps one after another, whose frames are then judged and measured together, which costs far less
than one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from gfflow.errors import Interrupted
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Frames
from gfflow.solvers.base import Solver

if TYPE_CHECKING:
    from gfflow.training.module import GradientFlowModule

LEAPS = 200  # in a block at most: training goes on to the last of them before a reason to stop is seen
LEAPS_TO_A_LOSS = 40  # the same where training is to end at a loss
NUMBERS = 2**20  # held at once, of weights or of pre-activations


def largest_block(module: GradientFlowModule) -> int:
    """How many leaps may make a block, at least 1: as many as memory allows, unless the solver must be asked where it
    stands."""
    solver = module.solver
    if type(solver).at_rest is not Solver.at_rest or type(solver).scalars is not Solver.scalars:
        return 1
    if module.stop_loss is not None and type(solver).state_dict is not Solver.state_dict:
        return 1  # a run that ends at a loss may go further from there, and the solver cannot go back
    m, d = module.network.hidden.shape
    most = LEAPS if module.stop_loss is None else LEAPS_TO_A_LOSS
    return min(most, max(1, NUMBERS // (m * (max(d, module.training_set.n) + 1))))


def move(module: GradientFlowModule, stops: Sequence[int], seconds: float = math.inf) -> Frames:
    """The network moved to each of the iterations in turn, for about so many seconds, and its weights there.

    A signal ends the block where it comes, so that what has passed by then can be measured; it raises Interrupted
    where nothing has.
    """
    hidden, output = module.network.hidden.detach(), module.network.output.detach()
    w = torch.empty(len(stops), *hidden.shape, dtype=torch.float64)
    a = torch.empty(len(stops), *output.shape, dtype=torch.float64)
    count, began = 0, time.perf_counter()
    for stop, hidden_there, output_there in zip(stops, w.unbind(), a.unbind(), strict=True):
        try:
            if stop > module.iteration:
                module.leap(stop)
        except Interrupted:
            if count == 0:
                raise
            break
        hidden_there.copy_(hidden)
        output_there.copy_(output)
        count += 1
        if time.perf_counter() - began > seconds:
            break
    neurons = Neurons(w[:count], a[:count], module.network.activation, module.network.frozen)
    passed = tuple(stops[:count])
    return Frames(neurons, module.training_set, iterations=passed, times=tuple(module.solver.lr * i for i in passed))


def judge(module: GradientFlowModule, frames: Frames) -> Frames:
    """Sets the module's stop_reason, and goes back to the first frame at which training ends, if it does; returns the
    frames until there, without one that is not finite."""
    for i in torch.nonzero(module.may_stop(frames)).flatten().tolist():
        if frames.iterations[i] == 0:
            continue
        if i > 0:
            module.last_finite = frames.at(i - 1)
        module.judge(frames.at(i))
        if module.stop_reason is not None:
            if module.iteration != frames.iterations[i]:
                module.go_back(frames.at(i))
            return frames.until(i + module.measurable())
    module.last_finite = frames.at(len(frames.iterations) - 1)
    return frames
