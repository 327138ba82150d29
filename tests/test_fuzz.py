"""Random configurations, good and bad: each ends in success or in the one-line error, never in a traceback, and no
record holds a NaN; a run that was stopped and resumed on the way has the records of one that was not."""

import itertools
import json
import math
import os
import random
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from gfflow.config import RunConfig
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.motion.flow import integrator
from gfflow.records.run import Run
from gfflow.run import train
from gfflow.training.module import GradientFlowModule

NUMBERS = range(
    *map(int, os.environ.get("GFFLOW_FUZZ", "40").split(":"))
)  # 2000 for a long search, 2000:4000 for more
LABELS = (1.0, -1.0, 0.5, -0.3, 2.0, 1e-3, -1e3, 1e-30, 1e30)
BATCHES = (None, None, 1, 2, 9)
STEPS = 3000  # of the flow at most, after which it stalls: time 1e100 would take a million
SWITCHES = ("alignment", "masses", "saddle", "limit", "invariants", "gradient", "structure", "histograms")


def some_labels(rng: random.Random) -> list[float]:
    usual = [rng.choice((-1, 1)) * rng.uniform(0.1, 2) for _ in range(rng.randint(1, 6))]
    return usual if rng.random() < 0.5 else [rng.choice(LABELS) for _ in range(rng.randint(1, 6))]


def some_csv(rng: random.Random, path: Path) -> dict:
    """Samples of one's own: inputs twice, more samples than dimensions, one sign of label; sometimes no good file."""
    n, d, size = rng.randint(1, 9), rng.randint(1, 3), 10 ** rng.choice([0, 0, 0, -5, 5, -160, 160])
    rows = [[repr(size * rng.gauss(0, 1)) for _ in range(d)] + [repr(rng.gauss(0, 1))] for _ in range(n)]
    rows += [list(rng.choice(rows)) for _ in range(rng.choice([0, 0, 2]))]
    header = [f"x{i}" for i in range(1, d + 1)] + ["y"]
    if rng.random() < 0.2:
        rows = [[*row[:-1], row[-1].lstrip("-")] for row in rows]
    if rng.random() < 0.2:
        rng.choice(rows)[rng.randrange(d + 1)] = rng.choice(["nan", "", "1e999", "word", "0", "-0.0", "1e-320"])
    if rng.random() < 0.05:
        header[0] = rng.choice(["", "y", "x2", "z"])
    lines = [",".join(row) for row in [header, *rows]]
    path.write_text(rng.choice(["\n", "\r\n"]).join(lines) + rng.choice(["\n", "", "\n\n"]), encoding="utf-8")
    return {"name": "csv", "path": str(path), "bias": rng.random() < 0.5}


def some_data(rng: random.Random, folder: Path) -> dict:
    kind = rng.choice(["orthogonal_pair", "five_points", "orthonormal", "gaussian_teacher", "csv"])
    if kind == "orthonormal":
        labels = some_labels(rng) + ([0.0] if rng.random() < 0.03 else [])
        norms = [10 ** rng.uniform(-3, 3) for _ in labels]
        return {
            "name": kind,
            "labels": labels,
            "d": rng.choice([None, len(labels), len(labels) + (rng.randint(-1, 4) if rng.random() < 0.3 else 2)]),
            "norms": rng.choice([None, norms, norms if rng.random() < 0.8 else norms[1:]]),
            "rotation": rng.choice([None, None, 3]),
        }
    if kind == "gaussian_teacher":
        return {"name": kind, "n": rng.randint(1, 8), "d": rng.randint(1, 6), "teacher_width": rng.randint(0, 3)}
    return some_csv(rng, folder / "samples.csv") if kind == "csv" else {"name": kind}


def some_solver(rng: random.Random) -> dict:
    name = rng.choice(
        ["auto", "fused", "sgd", "sgd", "flow", "flow", *(["captured", "no"] if rng.random() < 0.1 else [])]
    )
    return {
        "name": name,
        "lr": rng.choice([2e-3, 2e-3, 10 ** rng.uniform(-6, 1), 10 ** rng.uniform(-6, 3), 1e-300, 1e100]),
        "iterations": rng.randint(1, 40) if rng.random() < 0.97 else rng.choice([0, -1, 2.5]),
        "stop_loss": rng.choice([None, None, 1e-3, 1.0]),
        "batch_size": rng.choice(BATCHES) if name == "sgd" or rng.random() < 0.1 else None,
        "rtol": rng.choice([1e-6, 1e-3, *([1e-13, 0.1, 0.0] if rng.random() < 0.1 else [])]),
        "method": rng.choice(["auto", "auto", "runge_kutta", "splitting"]),
    }


def some_configuration(rng: random.Random, folder: Path) -> dict:
    """Any mixture of keys, mostly within their ranges, sometimes at or beyond their edges."""
    solver = some_solver(rng)
    odd = rng.random() < 0.1  # else what is refused would hide what comes after it
    half = rng.choice([0.5, 1.0]) if solver["name"] in ("auto", "sgd") or odd else 0.0
    return {
        "seed": rng.choice([0, 1, 2**40, rng.randint(-1 if odd else 0, 10**6)]),
        "data": some_data(rng, folder),
        "network": {
            "width": rng.choice([1, 2, 3, 17, 60, 60, 0 if odd else 5]),
            "relu_derivative_at_zero": rng.choice([0.0, 0.0, 0.0, half]),
        },
        "init": {
            "scale": rng.choice([10 ** rng.uniform(-300, 1), 1e-6, 1e-2, 1.0, 10.0, 1e-308 if odd else 1e-300]),
            "normalization": rng.choice(["width", "width_dim", "none"]),
            "balanced": rng.random() < 0.8,
        },
        "solver": solver,
        "schedule": {"ratio": rng.choice([None, 1.05, 3.0]), "linear": rng.choice([0, 5, 100]), "frames": 5},
        "callbacks": {
            **{name: rng.random() < 0.9 for name in SWITCHES},
            "trajectory": rng.random() < 0.9,
            "checkpoint": rng.random() < 0.9,
            "checkpoint_seconds": rng.choice([30.0, 1e-9]),
            "flow": solver["name"] != "flow" and rng.random() < 0.1,
        },
        "trainer": {"accelerator": rng.choice(["cpu", "cpu", "cpu", "gpu" if odd else "auto"])},
        "precision": rng.choice(["float64", "float64", "float32"]),
        "figures": rng.random() < 0.02,
        "verify": rng.random() < 0.1,
        "verbose": False,
        "resume": rng.choice([None, "auto"]),
    }


def finite(tree) -> bool:
    """Whether every number in nested lists and dictionaries is one."""
    if isinstance(tree, dict):
        return all(finite(branch) for branch in tree.values())
    if isinstance(tree, list):
        return all(finite(branch) for branch in tree)
    return not isinstance(tree, float) or math.isfinite(tree)


def check_records(folder: Path) -> None:
    """Everything that a run left can be read back and is finite."""
    run = Run.read(folder)
    assert finite(run.summary)
    with open(folder / "metrics.csv") as file:
        assert all(
            cell == "" or math.isfinite(float(cell)) for line in [*file][1:] for cell in line.strip().split(",")
        )
    if run.trajectory is not None:
        assert np.isfinite(run.trajectory.w).all() and np.isfinite(run.trajectory.a).all()
    if (folder / "verification.json").exists():
        assert finite(json.loads((folder / "verification.json").read_text()))


def outcome(values: dict, folder: Path) -> str:
    """Trains; the error's line, or nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            train(RunConfig.of(values), folder)
        except InvalidInput as error:
            assert "allowed" in str(error)
            assert not (folder / "summary.json").exists() and not (folder / "metrics.csv").exists()
            return str(error)
        except Diverged as error:
            return str(error)
    assert (folder / "summary.json").exists()
    return ""


def stopped_and_resumed(values: dict, folder: Path, leap: int) -> str:
    """As `outcome`, with a signal at the given leap, after which the run is resumed."""
    move, count = GradientFlowModule.leap, itertools.count()

    def signalled(self, stop):
        self.signal = signal.SIGTERM if next(count) == leap else self.signal
        return move(self, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GradientFlowModule, "leap", signalled)
        patch.setattr(GradientFlowModule, "leap_through", lambda *_: None)
        try:
            return outcome(values, folder)
        except Interrupted:
            assert not (folder / "summary.json").exists()
    return outcome({**values, "resume": "auto"}, folder)


@pytest.mark.parametrize("number", NUMBERS)
def test_any_configuration_ends_well_or_says_why_in_one_line(number, tmp_path, monkeypatch):
    monkeypatch.setattr(integrator, "MOST_STEPS", STEPS)
    rng = random.Random(number)
    values = some_configuration(rng, tmp_path)
    line = outcome(values, tmp_path / "run")
    assert "\n" not in line
    if (tmp_path / "run" / "metrics.csv").exists():
        check_records(tmp_path / "run")
        if rng.random() < 0.2:
            assert stopped_and_resumed(values, tmp_path / "cut", rng.randint(0, 5)) == line
            whole, cut = (tmp_path / name / "metrics.csv" for name in ("run", "cut"))
            assert whole.read_bytes() == cut.read_bytes()
    shutil.rmtree(tmp_path)
