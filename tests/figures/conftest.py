"""Short real runs, trained once for all tests of what is drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gfflow.config import RunConfig
from gfflow.records.run import Run
from gfflow.run import train

SHORT: dict[str, dict[str, Any]] = {
    "pair": {"network": {"width": 30}, "init": {"scale": 1e-3}, "solver": {"iterations": 10000}},
    "points": {
        "data": {"name": "five_points"},
        "network": {"width": 20},
        "init": {"scale": 0.1},
        "solver": {"iterations": 60000},
    },
    "teacher": {
        "data": {"name": "gaussian_teacher", "n": 6, "d": 9, "teacher_width": 3},
        "network": {"width": 12},
        "init": {"scale": 1e-3, "normalization": "width_dim"},
        "solver": {"iterations": 4000},
    },
    "beside": {
        "callbacks": {"flow": True},
        "network": {"width": 20},
        "init": {"scale": 1e-2},
        "solver": {"iterations": 3000, "lr": 1e-2},
    },
    "sliding": {
        "data": {"name": "five_points"},
        "network": {"width": 20},
        "init": {"scale": 1e-2},
        "solver": {"name": "flow", "iterations": 3000, "lr": 1e-2},
    },
    "blobs": {
        "data": {"name": "two_blobs", "n": 12},
        "loss": "logistic",
        "network": {"width": 12},
        "init": {"scale": 1e-2},
        "solver": {"iterations": 4000, "lr": 2e-2},
    },
    "long": {  # over fifteen decades of iterations, of which all but the first few are a slow approach
        "data": {"name": "orthogonally_separable"},
        "loss": "logistic",
        "network": {"width": 8},
        "init": {"scale": 1e-3},
        "solver": {"name": "flow", "iterations": 10**16, "lr": 0.1},
    },
    "large": {"init": {"scale": 3.0}, "solver": {"iterations": 500}},  # events at once and out of turn
    "tiny": {"init": {"scale": 1e-250}, "network": {"width": 9}, "solver": {"iterations": 50}},  # masses underflow
    "dead": {"init": {"scale": 1.0}, "solver": {"lr": 6.0, "iterations": 400}},  # ends with every neuron off
    "bare": {
        "callbacks": {"trajectory": False, "masses": False, "alignment": False, "saddle": False, "limit": False},
        "network": {"width": 10},
        "solver": {"iterations": 50},
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """The run of the given name in SHORT, trained on first use."""
    done: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in done:
            folder: Path = tmp_path_factory.mktemp(name)
            small = {"schedule": {"ratio": 1.3, "linear": 60, "frames": 60}, "figures": False, "verbose": False}
            train(RunConfig.of({"name": name, "seed": 0, **small, **SHORT[name]}), folder)
            done[name] = Run.read(folder)
        return done[name]

    return get
