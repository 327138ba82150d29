"""Whole processes: how long a command takes from start to end, and the most memory it held."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IMPORTS = "import lightning.pytorch, hydra, torch.utils.tensorboard"
TRAIN = "from gfflow.commands.train import command; command()"  # what scripts/train.py does
FIGURE_4_RUN = ("data=five_points", "name=fig4", "init.scale=1e-4", "solver.iterations=300000", "figures=false")


# The kernel's high-water mark of the process itself, read at its end. (ru_maxrss of a child will not do: on Linux it
# begins with what the parent held when it forked.)
TELL_MEMORY = "import atexit, os; atexit.register(lambda: os.write({}, open('/proc/self/status', 'rb').read()))\n"


def process(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds of wall time and MiB of peak resident memory of `python -c code arguments`; raises if it fails.

    Memory is NaN where there is no /proc.
    """
    reading, writing = os.pipe()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [sys.executable, "-c", TELL_MEMORY.format(writing) + code, *arguments],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=[writing],
        )
        child.wait()
        seconds = time.perf_counter() - began
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        peaks = [line.split()[1] for line in pipe if line.startswith("VmHWM:")]  # in KiB
    if child.returncode != 0:
        raise RuntimeError(f"python -c {code!r} {' '.join(arguments)} ended with status {child.returncode}")
    return seconds, float(peaks[-1]) / 1024 if peaks else math.nan


def _environment() -> dict[str, str]:
    """This process's environment, with relative entries of PYTHONPATH made absolute: the child runs elsewhere."""
    path = [os.path.abspath(entry) for entry in sys.path if entry]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def training(*overrides: str) -> tuple[float, float]:
    """Wall time and peak memory of one call of the training command."""
    return process(TRAIN, *overrides)


def typed_run(*overrides: str) -> dict[str, Any]:
    """The summary of one run of the training command, without figures."""
    with tempfile.TemporaryDirectory() as folder:
        training(*overrides, "figures=false", "verbose=false", f"hydra.run.dir={folder}/run")
        summary: dict[str, Any] = json.loads((Path(folder) / "run" / "summary.json").read_text(encoding="utf-8"))
    return summary


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Ends by itself when its parent has gone, or after the given seconds.
BUSY = "import os, sys, time\nends = time.time() + float(sys.argv[1])\nparent = os.getppid()\n" + (
    "while time.time() < ends and os.getppid() == parent:\n    sum(range(100_000))"
)


@contextmanager
def busy_processes(count: int, seconds: float = 600.0) -> Iterator[list[int]]:
    """Inside, so many other processes compute without a pause, none for longer than `seconds`; gives their ids."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY, str(seconds)]) for _ in range(count)]
    try:
        yield [child.pid for child in started]
    finally:
        for child in started:
            child.kill()
        for child in started:
            child.wait()


def seconds_of(*overrides: str) -> float:
    """What a run's summary says that training and measuring took."""
    timing = typed_run(*overrides)["timing"]
    return float(timing["train_seconds"] + timing["measure_seconds"])


def beside_busy(*overrides: str, repetitions: int = 3) -> tuple[int, float, float]:
    """How many processes were busy, two for each core, and the seconds of a run alone and beside them: each the least
    of the repetitions, since other load can only add to it."""
    count, alone, beside = 2 * cores(), math.inf, math.inf
    for _ in range(repetitions):
        alone = min(alone, seconds_of(*overrides))
        with busy_processes(count):
            beside = min(beside, seconds_of(*overrides))
    return count, alone, beside


def further_job(jobs: int = 8) -> float:
    """Seconds that each further job of a multirun of Figure 2 takes."""
    options = ("-m", "figures=false", "verbose=false")
    one, _ = training(*options, "seed=0")
    many, _ = training(*options, "seed=" + ",".join(str(i) for i in range(jobs)))
    return (many - one) / (jobs - 1)
