"""Whole processes: how long a command takes from start to end, and the most memory it held."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

IMPORTS = "import lightning.pytorch, hydra, torch.utils.tensorboard"
TRAIN = "from gfflow.main import main; main()"
FIGURE_4_RUN = ("data=five_points", "name=fig4", "init.scale=1e-4", "solver.iterations=300000", "figures=false")


def process(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds of wall time and MiB of peak resident memory of `python -c code arguments`; raises if it fails."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=folder, stdout=subprocess.DEVNULL, env=_environment()
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"python -c {code!r} {' '.join(arguments)} ended with status {child.returncode}")
    return seconds, usage.ru_maxrss / 1024


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
