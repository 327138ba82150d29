"""The ways to descend that are compared; each gives its seconds per step."""

from __future__ import annotations

import time

import torch
from torch import nn

from gfflow.benchmark.cases import LR, Case
from gfflow.benchmark.processes import typed_run
from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.solvers import make_solver


def plain_loop(data: TrainingSet, start: Neurons, steps: int) -> float:
    """What one writes by hand: nn.Linear, nn.ReLU, nn.MSELoss, torch.optim.SGD, the loss appended to a list.

    The mean square is 2L, so half the step size makes the same descent.
    """
    m, d = start.w.shape
    hidden, output = nn.Linear(d, m, bias=False).double(), nn.Linear(m, 1, bias=False).double()
    with torch.no_grad():
        hidden.weight.copy_(start.w)
        output.weight.copy_(start.a.unsqueeze(0))
    model = nn.Sequential(hidden, nn.ReLU(), output)
    x, y = data.x, data.y.unsqueeze(1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR / 2)
    losses = []
    began = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return (time.perf_counter() - began) / steps


def solver_alone(name: str, data: TrainingSet, start: Neurons, steps: int) -> float:
    """A solver of gfflow called once for all the steps, compiled beforehand."""
    solver, network = make_solver(name, LR), TwoLayerReLU(start)
    solver.advance(network, data, 0, 1)
    began = time.perf_counter()
    solver.advance(network, data, 1, steps + 1)
    return (time.perf_counter() - began) / steps


def as_typed(case: Case, iterations: int, *overrides: str) -> float:
    """The training command in a process of its own, all measurements and loggers on at the default schedule; their
    time is not counted. It gets the environment that the benchmark was started in, nothing added."""
    timing = typed_run(f"experiment={case.experiment}", f"solver.iterations={iterations}", *overrides)["timing"]
    return 1 / timing["steps_per_second"]


def steps_for(seconds: float, data: TrainingSet, start: Neurons) -> int:
    """How many steps of the fused solver take about that long; at least 10."""
    trial = solver_alone("fused", data, start, 10)
    trial = solver_alone("fused", data, start, max(10, int(1e-3 / trial)))
    return max(10, int(seconds / trial))
