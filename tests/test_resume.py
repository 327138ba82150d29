"""An interrupted run that is resumed ends with the files, bit for bit, of one that was never interrupted."""

import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from resumed_runs import KINDS, config, content, events, plant, stop_after

from gfflow.commands import train as command
from gfflow.errors import Interrupted, InvalidInput
from gfflow.records import files
from gfflow.records.folder import claimed, read_checkpoint
from gfflow.records.run import read_table
from gfflow.run import train
from gfflow.solvers import SGD, Flow, Fused
from gfflow.training.module import GradientFlowModule

KILLS = int(os.environ.get("GFFLOW_KILLS", "5"))  # SIGKILLs of each kind; SIGTERM and SIGINT two fifths of it


@pytest.mark.parametrize(
    ("kind", "pause"),
    [*((kind, 39) for kind in KINDS), *((kind, pause) for kind in ("unrolled", "flow") for pause in (1, 173, 400))],
)
def test_interrupted_and_resumed_equals_uninterrupted(kind, pause, monkeypatch, tmp_path):
    solver = {"sgd": SGD, "flow": Flow}.get(config(kind).solver.name, Fused)
    monkeypatch.setattr(solver, "stride", lambda *_: 13)  # so that the run stops in the middle of leaps
    train(config(kind), tmp_path / "whole")
    with monkeypatch.context() as patch:
        plant(patch, solver, lambda start, stop: start < pause <= stop, signal.SIGTERM)
        with pytest.raises(Interrupted) as stopped:
            train(config(kind), tmp_path / "cut")
    assert stopped.value.signal == signal.SIGTERM
    assert not (tmp_path / "cut" / "summary.json").exists()
    train(config(kind), tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert not list((tmp_path / "cut").rglob("*.part*"))


def test_stopped_before_the_first_step(monkeypatch, tmp_path):
    train(config("unrolled"), tmp_path / "whole")
    step = GradientFlowModule.training_step

    def signalled(self, block, number):
        self.signal = signal.SIGTERM
        return step(self, block, number)

    with monkeypatch.context() as patch:
        patch.setattr(GradientFlowModule, "training_step", signalled)
        with pytest.raises(Interrupted):
            train(config("unrolled"), tmp_path / "cut")
    train(config("unrolled"), tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


@pytest.mark.slow
def test_dead_between_the_closing_table_and_the_summary(monkeypatch, tmp_path):
    for name in ("whole", "cut"):
        with monkeypatch.context() as patch:
            if name == "cut":
                patch.setattr("gfflow.ending.write_summary", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError) if name == "cut" else nullcontext():
                train(config("unrolled", figures=True, verify=True), tmp_path / name)
    train(config("unrolled", figures=True, verify=True), tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hook", ["setup", "on_fit_start"])
def test_a_signal_before_training_begins_is_not_lost(hook, number, monkeypatch, tmp_path):
    """Between the beginning of `fit`, where Lightning sets handlers of its own, and the first leap."""
    train(config("unrolled"), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(GradientFlowModule, hook, lambda *_, **__: os.kill(os.getpid(), number))
        with pytest.raises(Interrupted) as stopped:
            train(config("unrolled"), tmp_path / "cut")
    assert stopped.value.signal == number
    train(config("unrolled"), tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_schedulers_signal_reaches_its_handler_once_the_state_is_saved(number, monkeypatch, tmp_path):
    """As submitit's, which queues the job again and ends the process; a default handler leaves it at Interrupted."""
    train(config("unrolled"), tmp_path / "whole")
    saved = []

    def requeue(received, _):
        saved.append((received, read_checkpoint(tmp_path / "cut")["gfflow"]["iteration"]))
        raise SystemExit(3)

    monkeypatch.setattr(Fused, "stride", lambda *_: 13)
    for handler, ends in ((requeue, SystemExit), (signal.SIG_DFL, Interrupted)):
        folder, before = tmp_path / ("cut" if callable(handler) else "other"), signal.signal(number, handler)
        try:
            with monkeypatch.context() as patch:
                later = signal.SIGTERM  # which schedulers send soon after it
                plant(patch, Fused, lambda start, stop: start < 100 <= stop, number, later)
                with pytest.raises(ends):
                    train(config("unrolled"), folder)
            assert signal.getsignal(number) == handler
        finally:
            signal.signal(number, before)
        reached = read_checkpoint(folder)["gfflow"]["iteration"]
        assert 100 <= reached <= 104  # 8 x 13
        train(config("unrolled"), folder)
        assert content(folder) == content(tmp_path / "whole")
    assert saved == [(number, reached)]


def test_seconds_of_training_and_of_measuring_are_those_of_all_processes(monkeypatch, tmp_path):
    """Before and after the interruption each leap takes 0.01 s at least, and each snapshot as long again."""
    for owner, name in ((Fused, "advance"), (GradientFlowModule, "snapshot")):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, function=function: (time.sleep(0.01), function(*given))[1])
    stop_after(100, config("unrolled"), tmp_path, monkeypatch)
    measured = len(read_table(tmp_path / "metrics.csv")["step"])
    assert measured > 5
    earlier = read_checkpoint(tmp_path)["gfflow"]
    timing = train(config("unrolled"), tmp_path)["timing"]
    assert timing["train_seconds"] > earlier["train_seconds"] > 0.01 * (measured - 1)
    before = earlier["fit_seconds"] - earlier["train_seconds"]
    assert timing["measure_seconds"] > before > 0.01 * (measured - 1)


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(config("unrolled"), tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_finished_run_is_left_alone(tmp_path):
    first = train(config("unrolled"), tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert train(config("unrolled"), tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == times


@pytest.mark.parametrize("kind", ["unrolled", "direct", "sgd", "mini-batch", "gram", "diagonal", "flow"])
def test_a_run_that_has_ended_goes_on_to_where_one_long_run_ends(kind, tmp_path):
    """The same bits where a solver keeps nothing between its calls but the weights; 'gram' and 'diagonal' carry
    pre-activations and the flow its step through a leap, which the shorter schedule cuts in other places: the weights
    then agree to rounding (400 steps of 1e-16) and to the flow's tolerance (1e-6 a step)."""
    train(config(kind, 700), tmp_path / "whole")
    assert train(config(kind, 400), tmp_path / "grown")["iterations"] == 400
    with np.load(tmp_path / "grown" / "trajectory.npz") as file:
        first = file["step"]
    summary = train(config(kind, 700), tmp_path / "grown")
    assert summary["iterations"] == 700 and summary["config"]["solver"]["iterations"] == 700
    long, grown = (content(tmp_path / name)["weights"] for name in ("whole", "grown"))
    if kind in ("gram", "diagonal", "flow"):
        for name in ("network.hidden", "network.output"):
            one, other = (np.frombuffer(weights[name]) for weights in (long, grown))
            np.testing.assert_allclose(other, one, atol=1e-4 if kind == "flow" else 1e-12, rtol=0)
    else:
        assert grown == long
    tables = [read_table(tmp_path / name / "metrics.csv") for name in ("whole", "grown")]
    assert set(tables[0]["step"]) | {400.0} <= set(tables[1]["step"]) | set(
        tables[0]["step"][tables[0]["step"] < 400]
    )
    with np.load(tmp_path / "grown" / "trajectory.npz") as file:
        assert set(first) <= set(file["step"]) and file["step"][-1] == 700
    layout = ("custom_scalars__config__", 0)  # written when training begins, and of what was logged when it ends
    told = Counter((tag, step) for tag, step, _ in events(tmp_path / "grown"))
    assert {event: times for event, times in told.items() if times != 1} == {layout: 2}
    assert train(config(kind, 700), tmp_path / "grown") == summary  # ended once more, and left alone


def test_a_run_may_go_on_to_a_smaller_loss_and_not_back(tmp_path):
    train(config("unrolled", 3000, solver={"stop_loss": 1e-2}), tmp_path / "grown")
    train(config("unrolled", 3000, solver={"stop_loss": 1e-3}), tmp_path / "whole")
    summary = train(config("unrolled", 3000, solver={"stop_loss": 1e-3}), tmp_path / "grown")
    assert content(tmp_path / "grown")["weights"] == content(tmp_path / "whole")["weights"]
    assert (
        content(tmp_path / "grown")["metrics"] == content(tmp_path / "whole")["metrics"]
    )  # the schedule is the same
    assert summary["stop_reason"] == "loss"
    with pytest.raises(InvalidInput, match=r"solver\.iterations: received 10; allowed: at least"):
        train(config("unrolled", 10, solver={"stop_loss": 1e-3}), tmp_path / "grown")
    with pytest.raises(InvalidInput, match="solver"):
        train(config("unrolled", 4000, solver={"stop_loss": 1e-3, "lr": 1e-3}), tmp_path / "grown")


def test_a_run_that_goes_further_is_interrupted_as_any_other(monkeypatch, tmp_path):
    train(config("unrolled", 400), tmp_path / "whole")
    train(config("unrolled", 700), tmp_path / "whole")
    train(config("unrolled", 400), tmp_path / "cut")
    stop_after(550, config("unrolled", 700), tmp_path / "cut", monkeypatch)
    assert not (tmp_path / "cut" / "summary.json").exists()
    train(config("unrolled", 700), tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


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


def test_full_disk_leaves_the_last_good_checkpoint(monkeypatch, tmp_path):
    """The write fails half-way, as on a full disk: the previous file stays, and the run can go on later."""
    train(config("unrolled"), tmp_path / "whole")
    calls = []

    def failing(path):
        calls.extend([path] if path.name.startswith("last") else [])
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    often = {"checkpoint_seconds": 1e-9}
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", failing)
        with pytest.raises(OSError, match="No space left"):
            train(config("unrolled", callbacks=often), tmp_path / "cut")
    saved = torch.load(tmp_path / "cut" / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < saved["gfflow"]["iteration"] < 400
    train(config("unrolled", callbacks=often), tmp_path / "cut")
    assert content(tmp_path / "cut")["metrics"] == content(tmp_path / "whole")["metrics"]


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_told_in_one_line_with_status_4(tmp_path):
    """A real failing write, in a process that may write no file larger than 70 kB: TensorBoard's, or the
    checkpoint's, as it grows."""
    script = Path(__file__).parents[1] / "scripts" / "train.py"
    options = ["figures=false", "verbose=false", "callbacks.checkpoint_seconds=1e-9", f"hydra.run.dir={tmp_path}/run"]
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000)); "
    run = f"sys.argv = {[str(script), *options]!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", limit + run], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 4
    told = f"gfflow: a file in {tmp_path}/run/tensorboard: cannot be written (File too large)\n"
    assert ended.stderr in (told, told.replace("a file in ", "").replace("tensorboard", "checkpoints/last.ckpt"))
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < saved["gfflow"]["iteration"] < 20_000
    assert not list((tmp_path / "run" / "checkpoints").glob("*.part*"))


def test_command_line_resumes_a_folder(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Fused, "stride", lambda *_: 13)
    quick = ["figures=false", "verbose=false", "solver.iterations=400", "schedule.linear=10", "schedule.ratio=2"]

    def run(*overrides: str) -> int:
        monkeypatch.setattr(sys, "argv", ["gfflow-train", *overrides])
        try:
            command.main()
        except SystemExit as ended:
            return int(ended.code)
        return 0

    assert run(*quick, "hydra.run.dir=whole") == 0
    with monkeypatch.context() as patch:
        plant(patch, Fused, lambda start, stop: start < 200 <= stop, signal.SIGINT)
        assert run(*quick, "hydra.run.dir=cut") == 130
    assert "resume=" in capfd.readouterr().err
    assert run("resume=cut", "seed=3") == 2
    assert "resume=RUN_DIR alone" in capfd.readouterr().err
    assert run("resume=nowhere") == 2
    assert run("resume=cut") == 0
    assert (tmp_path / "cut" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_at_once(number, status, tmp_path):
    """As a process of its own; a tenth of a second on an idle machine."""
    script = Path(__file__).parents[1] / "scripts" / "train.py"
    options = ["solver.iterations=3000000000", "figures=false", "verbose=false", f"hydra.run.dir={tmp_path}/run"]
    process = subprocess.Popen([sys.executable, script, *options], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    while not list((tmp_path / "run").rglob("events.out*")):
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
    written = 0

    def dying(path):
        nonlocal written
        checkpoint = path.name.startswith("last.part")
        written += checkpoint
        if checkpoint and written == fatal:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    files.sync = dying
    iterations = 4000 if "sgd" in kind or "batch" in kind else 200_000
    schedule = {"ratio": 1.3, "linear": 40, "frames": 12}
    always = {**KINDS[kind].get("callbacks", {}), "checkpoint_seconds": 1e-9}  # a checkpoint after every leap
    try:
        train(config(kind, iterations, schedule=schedule, callbacks=always), Path(folder))
    except Interrupted as stopped:
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:  # before training or after it
        sys.exit(130)


def _process(target, *arguments):
    """Forked from a server that has everything imported and no threads (pytest's own process has some, whose locks a
    fork of it would take along)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gfflow.run", "gfflow.solvers.kernels", "torch.utils.tensorboard"])
    child = context.Process(target=target, args=arguments)
    child.start()
    return child


def _start(kind: str, folder: Path, fatal: int = 0):
    return _process(_child, kind, str(folder), fatal)


def _killed_at_the_trajectory(folder: str) -> None:
    np.savez = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    train(config("unrolled", callbacks={"checkpoint_seconds": 1e-9}), Path(folder))


@pytest.mark.slow
def test_killed_between_the_last_leap_and_the_trajectory(tmp_path):
    wanted = config("unrolled", callbacks={"checkpoint_seconds": 1e-9})
    train(wanted, tmp_path / "whole")
    child = _process(_killed_at_the_trajectory, str(tmp_path / "cut"))
    child.join()
    assert child.exitcode == -signal.SIGKILL and not (tmp_path / "cut" / "trajectory.npz").exists()
    train(wanted, tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


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
            # 1: SIGINT in multiprocessing's own code, before the run or after it
            assert child.exitcode in (-number, 128 + number, *([1] if number == signal.SIGINT else []))
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
