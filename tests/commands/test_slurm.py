"""Sweeps on a real SLURM: its controller and its daemon, started on this machine for the test and ended by it.

Skips where they are not installed. On Debian and Ubuntu: `apt-get install slurm-wlm`, and pip's extra `sweep`; no
account, no munge and no configuration is needed. It takes about ten minutes on two cores.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gfflow.commands.slurm import has_ended, states
from gfflow.records.folder import read_checkpoint
from gfflow.records.run import Run
from gfflow.run import train

ROOT = Path(__file__).parents[2]
DAEMONS = [f"/usr/sbin/{name}" for name in ("slurmctld", "slurmd")]
CONFIGURATION = """
ClusterName=gfflow
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=10
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1,requeue_delay=1
NodeName={host} CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not all(shutil.which(name) for name in DAEMONS), reason="slurmctld and slurmd: slurm-wlm"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment of a command that is to see the test's own SLURM."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    folder = tmp_path_factory.mktemp("slurm")
    sockets = [socket.create_server(("", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    for name in ("state", "spool"):
        (folder / name).mkdir()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    values = {"host": socket.gethostname().partition(".")[0], "ports": ports, "user": user, "folder": folder}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PYTHONPATH", str(ROOT))
        logs = [open(folder / f"{Path(name).name}.log", "w") for name in DAEMONS]  # noqa: SIM115
        daemons = [
            subprocess.Popen([name, "-D"], stdout=log, stderr=subprocess.STDOUT)
            for name, log in zip(DAEMONS, logs, strict=True)
        ]
        try:
            wait_for(lambda: "idle" in asked("sinfo", "-h"), 60)
            yield dict(os.environ)
        finally:
            subprocess.run(["scancel", "--user", user], capture_output=True)
            time.sleep(1)
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait(30)
            for log in logs:
                log.close()


@pytest.fixture(autouse=True)
def nothing_left(request) -> Iterator[None]:
    """No test leaves jobs, or commands that wait for them, to the next one."""
    yield
    for command in COMMANDS:
        command.kill()
        command.communicate()
    COMMANDS.clear()
    if "slurm" in request.fixturenames:
        subprocess.run(["scancel", "--user", str(os.getuid())], capture_output=True)
        wait_for(lambda: not asked("squeue", "-h"), 60)


COMMANDS: list[subprocess.Popen] = []


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def wait_for(happens, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.2)


QUICK, CANCELLED, REQUEUED, LONG = (5, 6, 7, 8, 9, 10, 11, 12), 60, 61, 150  # widths, a million iterations for each
WIDTHS = (0, CANCELLED, REQUEUED, LONG, *QUICK)
SWEEP = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=9", "hydra.launcher.max_num_timeout=2"]
SWEEP += ["hydra.sweep.dir=sweep", "figures=false", "callbacks.histograms=false"]
SWEEP += [f"network.width={','.join(map(str, WIDTHS))}", "solver.iterations='${steps:${network.width},1e-6}'"]


def sweep(folder: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *SWEEP, *more]
    COMMANDS.append(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return COMMANDS[-1]


def training(folder: Path, width: int) -> bool:
    """Whether the job has begun to train, and has something to go on from."""
    metrics = folder / "sweep" / str(WIDTHS.index(width)) / "metrics.csv"
    return metrics.exists() and metrics.stat().st_size > 1000


def reached(folder: Path, width: int) -> int:
    """The last iteration in the job's table; -1 where there is none."""
    metrics = folder / "sweep" / str(WIDTHS.index(width)) / "metrics.csv"
    rows = metrics.read_text().splitlines() if metrics.exists() else []
    return int(rows[-1].partition(",")[0]) if len(rows) > 1 else -1


def checkpointed(folder: Path, width: int) -> int:
    """The iteration that the job would go on from."""
    checkpoint = read_checkpoint(folder / "sweep" / str(WIDTHS.index(width)))
    return -1 if checkpoint is None else checkpoint["gfflow"]["iteration"]


def test_jobs_that_fail_are_cancelled_requeued_or_out_of_time_spoil_nothing(slurm, tmp_path) -> None:
    """Twelve jobs: one of width 0, one cancelled, one requeued, one whose time is up twice. The first command lists
    two failures, the resumed one the first of them alone; the other eleven equal single runs bit for bit."""
    first = sweep(tmp_path)
    (array,) = _array_of(first)
    assert asked("squeue", "-h", "-o", "%j").startswith("gfflow-fig2-sweep")
    wait_for(lambda: training(tmp_path, CANCELLED), 120)
    subprocess.run(["scancel", f"{array}_{WIDTHS.index(CANCELLED)}"], check=True)
    wait_for(lambda: training(tmp_path, REQUEUED), 120)
    subprocess.run(["scontrol", "requeue", f"{array}_{WIDTHS.index(REQUEUED)}"], check=True)
    iteration = -1
    for _ in range(2):  # what SLURM does two minutes before the limit
        wait_for(lambda before=iteration: reached(tmp_path, LONG) > before, 200)
        long = f"{array}_{WIDTHS.index(LONG)}"
        with suppress(subprocess.TimeoutExpired):  # left alone, scancel repeats it while the job is in the queue
            subprocess.run(["scancel", "--signal=USR2", long], capture_output=True, timeout=3)
        wait_for(lambda job=long: states([job])[job] == "PENDING", 60)  # submitit has had it queued again
        assert checkpointed(tmp_path, LONG) > iteration
        iteration = reached(tmp_path, LONG)
    told = first.communicate(timeout=600)[1]
    assert first.returncode == 2 and "Traceback" not in told
    assert "2 job(s) of the sweep failed" in told and "CANCELLED" in told and "network.width: received 0" in told
    assert states([f"{array}_0"]) == {f"{array}_0": "FAILED"}  # to SLURM too
    logs = (tmp_path / "sweep" / ".submitit").rglob(f"*_{WIDTHS.index(LONG)}_*.err")
    log = "".join(path.read_text() for path in logs)
    assert log.count("this job is timed-out") == 2
    times = Run.read(tmp_path / "sweep" / str(WIDTHS.index(LONG))).summary["timing"]
    assert times["train_seconds"] > 0 and times["measure_seconds"] > 0

    second = sweep(tmp_path, "resume=true")
    told = second.communicate(timeout=300)[1]
    assert second.returncode == 2 and "1 job(s) of the sweep failed" in told and "network.width: received 0" in told
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == len(WIDTHS) - 1
    assert [path.parent.name for path in (tmp_path / "sweep").glob("*/error.txt")] == ["0"]
    for width in WIDTHS[1:]:
        job, single = tmp_path / "sweep" / str(WIDTHS.index(width)), tmp_path / f"single{width}"
        config = json.loads((job / "summary.json").read_text())["config"]
        train({**config, "resume": None}, single)
        assert (job / "metrics.csv").read_bytes() == (single / "metrics.csv").read_bytes()
        ended, expected = (json.loads((place / "summary.json").read_text()) for place in (job, single))
        for summary in (ended, expected):
            del summary["timing"], summary["config"]["resume"]
        assert ended == expected
        for name in ("step", "w", "a"):
            frames, those = Run.read(job).trajectory, Run.read(single).trajectory
            assert getattr(frames, name).tobytes() == getattr(those, name).tobytes()


def test_an_interrupted_sweep_names_the_jobs_that_run_on(slurm, tmp_path) -> None:
    begun = sweep(tmp_path)
    (array,) = _array_of(begun)
    wait_for(lambda: training(tmp_path, CANCELLED), 120)
    begun.send_signal(signal.SIGINT)
    told = begun.communicate(timeout=60)[1]
    assert begun.returncode == 130 and "Traceback" not in told
    assert f"scancel {array}; then go on with the same command and resume=true hydra.sweep.dir=sweep" in told
    subprocess.run(["scancel", array], check=True)
    wait_for(lambda: all(map(has_ended, states([f"{array}_{number}" for number in range(3)]).values())), 60)


@pytest.mark.parametrize("tasks", [(), ("--ntasks=2",)])
def test_a_batch_job_that_is_started_again_goes_on(tasks, slurm, tmp_path) -> None:
    """After SIGUSR1, which `sbatch --signal=B:USR1@60` sends before its time is up; also where two tasks are asked
    for: a run is one process, whatever SLURM is asked for."""
    script = tmp_path / "job.sh"
    options = "figures=false verbose=false network.width=60 solver.iterations=400000000 hydra.run.dir=run"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {ROOT}/scripts/train.py {options}\n")
    answer = asked("sbatch", "--parsable", "--requeue", f"--chdir={tmp_path}", "--output=log", *tasks, str(script))
    job, metrics = answer.strip(), tmp_path / "run" / "metrics.csv"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size > 1000, 120)
    subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)
    wait_for(lambda: states([job])[job] == "FAILED", 60)
    assert "interrupted at iteration" in (tmp_path / "log").read_text()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait_for(lambda: states([job])[job] == "COMPLETED", 240)
    assert (tmp_path / "run" / "summary.json").exists()


def _array_of(command: subprocess.Popen) -> set[str]:
    """The number of the array that the command submits."""

    def numbers() -> set[str]:
        assert command.poll() is None, command.communicate()
        return set(asked("squeue", "-h", "-o", "%A %F").split()[1:2])

    wait_for(numbers, 120)
    return {asked("squeue", "-h", "-o", "%F").split()[0]}
