"""The ways to descend that are compared; each gives its seconds per step."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from gfflow.benchmark.cases import LR, Case
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


def solver_in_fit(name: str, case: Case, iterations: int, lr: float = LR) -> float:
    """A solver inside trainer.fit: measurements and loggers on at the default schedule, their time not counted."""
    from gfflow.run import train

    with tempfile.TemporaryDirectory() as folder:
        summary = train(case.config(name, iterations, lr), Path(folder))
    return summary["timing"]["train_seconds"] / summary["iterations"]


def steps_for(seconds: float, data: TrainingSet, start: Neurons) -> int:
    """How many steps of the fused solver take about that long; at least 10."""
    trial = solver_alone("fused", data, start, 10)
    trial = solver_alone("fused", data, start, max(10, int(1e-3 / trial)))
    return max(10, int(seconds / trial))
