"""A block: several leaps one after another, whose frames are then judged and measured together, which costs far less
than one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gfflow.errors import Interrupted
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Frames
from gfflow.solvers.base import Solver

if TYPE_CHECKING:
    from gfflow.training.module import GradientFlowModule

LEAPS = 400  # in a block at most: training goes on to the last of them before a reason to stop is seen
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
    parts: list[tuple[Tensor, Tensor]] = []
    passed, began = 0, time.perf_counter()
    while passed < len(stops) and (not parts or time.perf_counter() - began < seconds):
        ahead = module.within_a_stride(stops[passed:])
        if (found := module.leap_through(ahead)) is not None:
            parts.append(found)
            passed += len(ahead)
            continue
        try:
            module.leap(stops[passed])
        except Interrupted:
            if not parts:
                raise
            break
        neurons = module.network.neurons()
        parts.append((neurons.w[None], neurons.a[None]))
        passed += 1
    w, a = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    neurons = Neurons(w, a, module.network.activation, module.network.frozen)
    times = tuple(module.solver.lr * stop for stop in stops[:passed])
    return Frames(neurons, module.training_set, iterations=tuple(stops[:passed]), times=times)


def judge(module: GradientFlowModule, frames: Frames) -> Frames:
    """Sets the module's stop_reason, and goes back to the first frame at which training ends, if it does; returns the
    frames until there, without one that is not finite."""
    for i in torch.nonzero(module.may_stop(frames)).flatten().tolist():
        if frames.iterations[i] == 0:
            continue
        if i > 0:
            module.last_finite = frames.at(i - 1)
        now = frames.at(i)
        module.judge(now)
        if module.stop_reason is not None:
            module.go_back(now)
            return frames.until(i + module.measurable())
    module.last_finite = frames.at(len(frames.iterations) - 1)
    return frames
