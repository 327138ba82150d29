"""An interrupted run that is resumed ends with the files, bit for bit, of one that was never interrupted."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from gfflow import main as command
from gfflow.config import RunConfig
from gfflow.errors import Interrupted, InvalidInput
from gfflow.folder import claimed
from gfflow.run import train
from gfflow.solvers import SGD, Flow, Fused

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
    schedule = {"ratio": 1.3, "linear": 9, "frames": 12}
    return RunConfig.of({"figures": False, "verbose": False, "schedule": schedule, "resume": "auto", **chosen})


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
    for path in (folder / "tensorboard").glob("events.*"):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                value.ClearField("metadata")
                if value.tag != "_hparams_/session_end_info":
                    found.append((value.tag, event.step, value.SerializeToString()))
    return found


@pytest.mark.parametrize(
    ("kind", "pause"),
    [*((kind, 39) for kind in KINDS), *((kind, pause) for kind in ("unrolled", "flow") for pause in (1, 173, 400))],
)
def test_interrupted_and_resumed_equals_uninterrupted(kind, pause, monkeypatch, tmp_path):
    solver = {"sgd": SGD, "flow": Flow}.get(config(kind).solver.name, Fused)
    advance = solver.advance
    monkeypatch.setattr(solver, "stride", lambda *_: 13)  # so that the run stops in the middle of leaps
    train(config(kind), tmp_path / "whole")

    def interrupting(self, network, training_set, start, stop):
        advance(self, network, training_set, start, stop)
        if start < pause <= stop:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(solver, "advance", interrupting)
    with pytest.raises(Interrupted) as stopped:
        train(config(kind), tmp_path / "cut")
    assert stopped.value.signal == signal.SIGTERM
    assert not (tmp_path / "cut" / "summary.json").exists()
    monkeypatch.setattr(solver, "advance", advance)
    train(config(kind), tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert not list((tmp_path / "cut").rglob("*.part*"))


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(config("unrolled"), tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_finished_run_is_left_alone(tmp_path):
    first = train(config("unrolled"), tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert train(config("unrolled"), tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == times


def test_a_run_is_never_overwritten_nor_changed(tmp_path):
    train(config("unrolled"), tmp_path)
    with pytest.raises(InvalidInput, match="resume=auto"):
        train(config("unrolled", resume=None), tmp_path)
    with pytest.raises(InvalidInput, match="seed"):
        train(config("unrolled", seed=1), tmp_path)


def test_two_processes_never_write_one_folder(tmp_path):
    with claimed(tmp_path), pytest.raises(InvalidInput, match="no other process"):
        train(config("unrolled"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"not a checkpoint",
        lambda data: data[100:],
    ],
    ids=["truncated", "empty", "text", "beheaded"],
)
def test_a_damaged_checkpoint_gives_one_line(damage, tmp_path):
    train(config("unrolled"), tmp_path)
    (tmp_path / "summary.json").unlink()
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInput, match=r"a whole checkpoint") as told:
        train(config("unrolled"), tmp_path)
    assert "\n" not in str(told.value)


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "run by the checkpoint"),))

    train(config("unrolled"), tmp_path)
    (tmp_path / "summary.json").unlink()
    torch.save({"gfflow": Evil(), "state_dict": {}}, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(InvalidInput, match="a whole checkpoint"):
        train(config("unrolled"), tmp_path)
    assert not (tmp_path / "run by the checkpoint").exists()


def test_full_disk_leaves_the_last_good_checkpoint(monkeypatch, tmp_path):
    """The write fails half-way, as on a full disk: the previous file stays, and the run can go on later."""
    train(config("unrolled"), tmp_path / "whole")
    save, calls = torch.save, []

    def failing(checkpoint, path):
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        save(checkpoint, path)

    often = {"checkpoint_seconds": 1e-9}
    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(OSError, match="No space left"):
        train(config("unrolled", callbacks=often), tmp_path / "cut")
    saved = torch.load(tmp_path / "cut" / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < saved["gfflow"]["iteration"] < 400
    monkeypatch.setattr(torch, "save", save)
    train(config("unrolled", callbacks=often), tmp_path / "cut")
    assert content(tmp_path / "cut")["metrics"] == content(tmp_path / "whole")["metrics"]


def test_command_line_resumes_a_folder(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    quick = ["figures=false", "verbose=false", "solver.iterations=400", "schedule.linear=10", "schedule.ratio=2"]

    def run(*overrides: str) -> int:
        monkeypatch.setattr(sys, "argv", ["gfflow-train", *overrides])
        try:
            command.main()
        except SystemExit as ended:
            return int(ended.code)
        return 0

    advance = Fused.advance

    def interrupting(self, network, training_set, start, stop):
        advance(self, network, training_set, start, stop)
        if stop > 200:
            os.kill(os.getpid(), signal.SIGINT)

    assert run(*quick, "hydra.run.dir=whole") == 0
    monkeypatch.setattr(Fused, "advance", interrupting)
    assert run(*quick, "hydra.run.dir=cut") == 130
    assert "resume=" in capfd.readouterr().err
    monkeypatch.setattr(Fused, "advance", advance)
    assert run("resume=cut", "seed=3") == 2
    assert "resume=RUN_DIR alone" in capfd.readouterr().err
    assert run("resume=nowhere") == 2
    assert run("resume=cut") == 0
    assert (tmp_path / "cut" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert not (tmp_path / "outputs").exists()


def _child(kind: str, folder: str, iterations: int) -> None:
    torch.set_num_threads(1)
    train(config(kind, iterations, callbacks={"checkpoint_seconds": 0.02}), Path(folder))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["KILL", "TERM", "INT"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments_loses_nothing(kind, number, tmp_path):
    """Processes killed again and again at random moments, each going on from what the one before left."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gfflow.run", "gfflow.solvers.kernels", "torch.utils.tensorboard"])
    rng = random.Random(f"{kind} {number}")
    iterations = 4000 if "sgd" in kind or "batch" in kind else 200_000
    _child(kind, str(tmp_path / "whole"), iterations)
    kills = 0
    while True:
        child = context.Process(target=_child, args=(kind, str(tmp_path / "cut"), iterations))
        child.start()
        child.join(timeout=rng.uniform(0.0, 2.0 if kills else 0.3))  # short runs are killed once at least
        if child.is_alive() and kills < (9 if number == signal.SIGKILL else 4):
            os.kill(child.pid, number)
            kills += 1
            began = time.monotonic()
            child.join(timeout=30)
            assert not child.is_alive()
            print(f"{kind}: signal {number}, gone after {time.monotonic() - began:.2f} s")
            continue
        child.join()
        assert child.exitcode == 0
        break
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert kills >= 1
