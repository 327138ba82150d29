"""An interrupted run that is resumed ends with the files, bit for bit, of one that was never interrupted."""

import json
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from functools import cache
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
from gfflow.module import GradientFlowModule
from gfflow.run import train
from gfflow.solvers import SGD, Flow, Fused

KILLS = int(os.environ.get("GFFLOW_KILLS", "5"))  # SIGKILLs of each kind; SIGTERM and SIGINT two fifths of it

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


def stopped_run(folder: Path, monkeypatch, kind: str = "unrolled") -> None:
    """A run that a signal stopped half-way."""
    step = GradientFlowModule.training_step

    def signalled(self, leap, number):
        self.signal = signal.SIGTERM if leap[0] > 200 else self.signal
        return step(self, leap, number)

    with monkeypatch.context() as patch:
        patch.setattr(GradientFlowModule, "training_step", signalled)
        with pytest.raises(Interrupted):
            train(config(kind), folder)


def test_flipped_bits_in_a_checkpoint_are_seen(monkeypatch, tmp_path):
    """Bits of the weights themselves: the archive opens, and torch alone would load it."""
    stopped_run(tmp_path, monkeypatch)
    path = tmp_path / "checkpoints" / "last.ckpt"
    content, weight = path.read_bytes(), torch.load(path, weights_only=True)["state_dict"]["network.output"]
    at = content.index(weight.numpy().tobytes())
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"]["network.output"], weight)
    with pytest.raises(InvalidInput, match="checksum"):
        train(config("unrolled"), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["gfflow"].pop("solver"),
        lambda saved: saved["state_dict"].update({"network.output": torch.zeros(3, dtype=torch.float64)}),
        lambda saved: saved["state_dict"].pop("network.output"),
        lambda saved: saved.update(gfflow="text"),
    ],
    ids=["no solver", "other width", "no output", "text"],
)
def test_a_checkpoint_of_something_else_gives_one_line(change, monkeypatch, tmp_path):
    stopped_run(tmp_path, monkeypatch)
    path = tmp_path / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    change(saved)
    torch.save(saved, path)
    with pytest.raises(InvalidInput, match=r"^resume: received .*last\.ckpt; allowed: a .*checkpoint") as told:
        train(config("unrolled"), tmp_path)
    assert "\n" not in str(told.value)


def test_a_table_that_has_lost_a_row_gives_one_line(monkeypatch, tmp_path):
    stopped_run(tmp_path, monkeypatch)
    path = tmp_path / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4] + lines[5:]))
    with pytest.raises(InvalidInput, match=r"^metrics: .* a row of every measurement"):
        train(config("unrolled"), tmp_path)


def test_scalars_lost_from_tensorboard_are_written_anew(monkeypatch, tmp_path):
    train(config("unrolled"), tmp_path / "whole")
    stopped_run(tmp_path / "cut", monkeypatch)
    (path,) = (tmp_path / "cut" / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    train(config("unrolled"), tmp_path / "cut")
    whole, cut = (
        sorted(
            event for event in events(tmp_path / name) if event[0].split("/")[0] not in ("neurons", "configuration")
        )
        for name in ("whole", "cut")
    )
    assert cut == whole


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"config": 3}', "{"])
def test_a_damaged_summary_gives_one_line(text, tmp_path):
    train(config("unrolled"), tmp_path)
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"a whole summary\.json") as told:
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


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_at_once(number, status, tmp_path):
    """As a process of its own; a tenth of a second on an idle machine."""
    script = Path(__file__).parents[1] / "scripts" / "train.py"
    options = ["solver.iterations=3000000000", "figures=false", "verbose=false", f"hydra.run.dir={tmp_path}/run"]
    process = subprocess.Popen([sys.executable, script, *options], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    while not list((tmp_path / "run").glob("tensorboard/events*")):
        time.sleep(0.05)
    time.sleep(2)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait() == status
    assert time.monotonic() - began < 1
    assert "go on with resume=" in process.stderr.read()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    assert not (tmp_path / "run" / "summary.json").exists()


def _child(kind: str, folder: str, fatal: int = 0) -> None:
    """A run in a process of its own, which kills itself half-way through writing the checkpoint of number `fatal`."""
    torch.set_num_threads(1)
    save, saved = torch.save, 0

    def dying(checkpoint, path):
        nonlocal saved
        saved += 1
        save(checkpoint, path)
        if saved == fatal:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = dying
    iterations = 4000 if "sgd" in kind or "batch" in kind else 200_000
    schedule = {"ratio": 1.3, "linear": 40, "frames": 12}
    always = {**KINDS[kind].get("callbacks", {}), "checkpoint_seconds": 1e-9}  # a checkpoint after every leap
    try:
        train(config(kind, iterations, schedule=schedule, callbacks=always), Path(folder))
    except Interrupted as stopped:
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:  # before training or after it
        sys.exit(130)


def _start(kind: str, folder: Path, fatal: int = 0):
    """Forked from a server that has everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gfflow.run", "gfflow.solvers.kernels", "torch.utils.tensorboard"])
    child = context.Process(target=_child, args=(kind, str(folder), fatal))
    child.start()
    return child


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """(folder, seconds) of the uninterrupted run of a kind, made once."""

    @cache
    def run(kind: str) -> tuple[Path, float]:
        folder = tmp_path_factory.mktemp("whole")
        _start(kind, folder / "first").join()  # compiles where nothing is compiled yet
        began = time.monotonic()
        _start(kind, folder / "second").join()
        return folder / "second", time.monotonic() - began

    return run


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["KILL", "TERM", "INT"])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments_loses_nothing(kind, number, uninterrupted, tmp_path):
    """Processes killed again and again at random moments, each going on from what the one before left, until the run
    has come to its end; and the next run, until there were enough kills. Every fourth SIGKILL meets a checkpoint."""
    whole, lasting = uninterrupted(kind)
    rng = random.Random(f"{kind} {number}")
    wanted = KILLS if number == signal.SIGKILL else round(0.4 * KILLS)
    seconds, runs, halves, safe = [], 0, 0, 0
    while len(seconds) < wanted:
        folder = tmp_path / str(runs)
        while True:
            fatal = rng.randint(1, 9) if number == signal.SIGKILL and len(seconds) % 4 == 3 else 0
            child = _start(kind, folder, fatal)
            child.join(timeout=None if fatal or len(seconds) == wanted else rng.uniform(0.0, lasting))
            began = time.monotonic()
            if child.is_alive():
                os.kill(child.pid, number)
                child.join(timeout=30)
                assert not child.is_alive()
            if child.exitcode == 0:
                break
            assert child.exitcode in (-number, 128 + number)
            seconds.append(time.monotonic() - began)
            safe += child.exitcode == 128 + number
            halves += bool(list(folder.rglob("*.part*")))
        assert content(folder) == content(whole)
        assert not list(folder.rglob("*.part*"))
        runs += 1
    print(
        f"{kind}, {number.name}: {len(seconds)} kills over {runs} runs, {halves} in the middle of a file, {safe} at "
        f"a safe point; gone after {statistics.median(seconds):.3f} s (median), {max(seconds):.3f} s (longest)"
    )
