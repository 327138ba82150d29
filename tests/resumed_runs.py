"""Short runs of every kind, and what of them must not differ after an interruption."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from gfflow.config import RunConfig
from gfflow.errors import Interrupted
from gfflow.records.folder import events_folder
from gfflow.run import train
from gfflow.solvers import Solver
from gfflow.training.module import GradientFlowModule

KINDS = {
    "unrolled": {"data": {"name": "orthogonal_pair"}},
    "direct": {"data": {"name": "gaussian_teacher", "n": 30, "d": 4}},
    "gram": {"data": {"name": "gaussian_teacher", "n": 12, "d": 10}},
    "diagonal": {"data": {"name": "orthonormal", "labels": [1.5, 0.8, -0.6, 1.2, -0.9, -0.4], "d": 8}},
    "sgd": {"solver": {"name": "sgd"}},
    "flow": {"data": {"name": "five_points"}, "solver": {"name": "flow"}},
    "beside the flow": {"data": {"name": "five_points"}, "callbacks": {"flow": True}},
    "mini-batch": {"data": {"name": "five_points"}, "solver": {"name": "sgd", "batch_size": 2}},
}


def config(kind: str, iterations: int = 400, **values) -> RunConfig:
    chosen = {"init": {"scale": 1e-2}, "network": {"width": 20}, **KINDS[kind], **values}
    chosen["solver"] = {"iterations": iterations, "lr": 1e-2, **chosen.get("solver", {})}
    chosen.setdefault("schedule", {"ratio": 1.3, "linear": 9, "frames": 12})
    return RunConfig.of({"figures": False, "verbose": False, "resume": "auto", **chosen})


def content(folder: Path) -> dict:
    """All that must not differ: everything but clock times."""
    with np.load(folder / "trajectory.npz", allow_pickle=False) as file:
        frames = {name: file[name].tobytes() for name in file}
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    summary = json.loads((folder / "summary.json").read_text())
    del summary["timing"]
    return {
        "metrics": (folder / "metrics.csv").read_bytes(),
        "frames": frames,
        "weights": {name: tensor.numpy().tobytes() for name, tensor in saved["state_dict"].items()},
        "summary": summary,
        "events": sorted(events(folder)),
    }


def events(folder: Path) -> list[tuple]:
    """(tag, step, value) of everything in TensorBoard but clock times."""
    found = []
    for path in events_folder(folder).glob("events.*"):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                value.ClearField("metadata")
                if value.tag != "_hparams_/session_end_info":
                    found.append((value.tag, event.step, value.SerializeToString()))
    return found


def stop_after(iteration: int, asked: RunConfig, folder: Path, monkeypatch) -> None:
    """Runs the configuration, with a signal that comes in the first leap begun after the iteration."""
    leap = GradientFlowModule.leap

    def signalled(self, stop):
        self.signal = signal.SIGTERM if self.iteration > iteration else self.signal
        return leap(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(GradientFlowModule, "leap", signalled)
        patch.setattr(GradientFlowModule, "leap_through", lambda *_: None)
        with pytest.raises(Interrupted):
            train(asked, folder)


def stopped_run(folder: Path, monkeypatch, kind: str = "unrolled") -> None:
    """A run that a signal stopped half-way."""
    stop_after(200, config(kind), folder, monkeypatch)


def plant(monkeypatch, solver: type[Solver], due: Callable[[int, int], bool], *numbers: int) -> None:
    """Lets the solver send the signals to its own process each time that `due(start, stop)` says so of a way that it
    has gone, in one leap or in several at once."""
    advance, advance_through = solver.advance, solver.advance_through

    def signals(start, stop):
        for number in numbers if due(start, stop) else ():
            os.kill(os.getpid(), number)

    def leap(self, network, training_set, start, stop):
        advance(self, network, training_set, start, stop)
        signals(start, stop)

    def leaps(self, network, training_set, start, stops):
        found = advance_through(self, network, training_set, start, stops)
        if found is not None:
            signals(start, stops[-1])
        return found

    monkeypatch.setattr(solver, "advance", leap)
    monkeypatch.setattr(solver, "advance_through", leaps)
