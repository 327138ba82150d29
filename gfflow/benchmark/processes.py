"""Whole processes: how long a command takes from start to end, and the most memory it held."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time

IMPORTS = "import lightning.pytorch, hydra, torch.utils.tensorboard"
TRAIN = "from gfflow.commands.train import main; main()"
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


def further_job(jobs: int = 8) -> float:
    """Seconds that each further job of a multirun of Figure 2 takes."""
    options = ("-m", "figures=false", "verbose=false")
    one, _ = training(*options, "seed=0")
    many, _ = training(*options, "seed=" + ",".join(str(i) for i in range(jobs)))
    return (many - one) / (jobs - 1)
