"""Random configurations, good and bad: each ends in success or in the one-line error, never in a traceback, and no
summary holds a NaN."""

import json
import math
import os
import random
import warnings

import pytest

from gfflow.config import RunConfig
from gfflow.errors import Diverged, InvalidInput
from gfflow.run import train

COUNT = int(os.environ.get("GFFLOW_FUZZ", "40"))  # GFFLOW_FUZZ=2000 for a long search


def some_labels(rng: random.Random) -> list[float]:
    values = [1.0, -1.0, 0.5, -0.3, 2.0, 1e-3, -1e3, 1e-30, 1e30]
    return [rng.choice(values) for _ in range(rng.randint(1, 6))]


def some_data(rng: random.Random) -> dict:
    kind = rng.choice(["orthogonal_pair", "five_points", "orthonormal", "gaussian_teacher"])
    if kind == "orthonormal":
        labels = some_labels(rng) + ([0.0] if rng.random() < 0.05 else [])
        norms = [10 ** rng.uniform(-3, 3) for _ in labels]
        return {
            "name": kind,
            "labels": labels,
            "d": rng.choice([None, len(labels), len(labels) + rng.randint(-1, 4)]),
            "norms": rng.choice([None, norms, norms[1:]]),
            "rotation": rng.choice([None, None, 3]),
        }
    if kind == "gaussian_teacher":
        return {"name": kind, "n": rng.randint(0, 8), "d": rng.randint(1, 6), "teacher_width": rng.randint(1, 3)}
    return {"name": kind}


def some_configuration(rng: random.Random) -> dict:
    """Any mixture of keys, mostly within their ranges, sometimes at or beyond their edges."""
    solver = rng.choice(["auto", "fused", "sgd", "flow", "auto", "auto", "captured", "nothing"])
    return {
        "seed": rng.choice([0, 1, 2**40, rng.randint(-1, 10**6)]),
        "data": some_data(rng),
        "network": {
            "width": rng.choice([1, 2, 3, 17, 60, 60, 0]),
            "relu_derivative_at_zero": rng.choice([0.0, 0.0, 0.0, 0.5]),
        },
        "init": {
            "scale": rng.choice([10 ** rng.uniform(-300, 3), 1e-6, 1e-308, 1.0, 10.0]),
            "normalization": rng.choice(["width", "width_dim", "none"]),
            "balanced": rng.random() < 0.8,
        },
        "solver": {
            "name": solver,
            "lr": rng.choice([2e-3, 10 ** rng.uniform(-6, 3), 1e100]),
            "iterations": rng.randint(1, 40),
            "stop_loss": rng.choice([None, None, 1e-3, 1.0]),
            "batch_size": rng.choice([None, None, None, 1, 2, 9]),
            "rtol": rng.choice([1e-6, 1e-3]),
        },
        "schedule": {"ratio": rng.choice([None, 1.05, 3.0]), "linear": rng.choice([0, 5, 100]), "frames": 5},
        "precision": rng.choice(["float64", "float64", "float32"]),
        "figures": rng.random() < 0.1,
        "verbose": False,
    }


def no_nan(tree) -> bool:
    if isinstance(tree, dict):
        return all(no_nan(branch) for branch in tree.values())
    if isinstance(tree, list):
        return all(no_nan(branch) for branch in tree)
    return not isinstance(tree, float) or math.isfinite(tree)


@pytest.mark.parametrize("number", range(COUNT))
def test_any_configuration_ends_well_or_says_why_in_one_line(number, tmp_path):
    values = some_configuration(random.Random(number))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            train(RunConfig.of(values), tmp_path)
        except InvalidInput as error:
            assert "\n" not in str(error) and "allowed" in str(error)
            assert not (tmp_path / "summary.json").exists() and not (tmp_path / "metrics.csv").exists()
            return
        except Diverged as error:
            assert "\n" not in str(error)
    if (tmp_path / "summary.json").exists():
        assert no_nan(json.loads((tmp_path / "summary.json").read_text()))
        with open(tmp_path / "metrics.csv") as file:
            assert all(
                cell == "" or math.isfinite(float(cell))
                for line in list(file)[1:]
                for cell in line.strip().split(",")
            )
