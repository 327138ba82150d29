"""Short runs shared by the tests of the statements."""

import dataclasses
from typing import Any

import pytest

from gfflow.config import RunConfig
from gfflow.records.run import Run
from gfflow.run import train
from gfflow.statements.case import Case
from gfflow.statements.verdicts import read_case

QUIET = dict.fromkeys(
    ("alignment", "masses", "saddle", "limit", "invariants", "gradient", "histograms", "checkpoint", "progress"),
    False,
)
# Two orthonormal samples with large labels: at this lambda the bounds are coarser than descent's own error of order
# lr, and every statement of the paper holds, even those with the exponent epsilon / 240.
EPSILON = 0.125  # the largest that B.2 admits here, with the sharp alpha: its times are among the recorded frames
HOLDS = {
    "data": {"name": "orthonormal", "labels": [20.0, -10.0]},
    "init": {"scale": 1e-60},
    "solver": {"lr": 1e-3, "iterations": 60_000},
    "schedule": {"ratio": 1.3, "linear": 60},
}


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Trains a configuration, given as nested values, quietly; returns its records."""

    def make(**values) -> Run:
        folder = tmp_path_factory.mktemp("run")
        train(RunConfig.of({"figures": False, "verbose": False, "callbacks": QUIET, **values}), folder)
        return Run.read(folder)

    return make


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    return HOLDS


@pytest.fixture(scope="session")
def run(make_run) -> Run:
    return make_run(**HOLDS)


@pytest.fixture(scope="session")
def larger(make_run) -> Run:
    """The same start at a larger lambda."""
    return make_run(**{**HOLDS, "init": {"scale": 1e-2}, "solver": {"lr": 1e-3, "iterations": 5000}})


@pytest.fixture(scope="session")
def case(run, make_run) -> Case:
    """The run, with a second one at another lambda, both at EPSILON."""
    second = make_run(**{**HOLDS, "init": {"scale": 1e-40}, "solver": {"lr": 1e-3, "iterations": 45_000}})
    other = dataclasses.replace(read_case(second), epsilon=EPSILON)
    return dataclasses.replace(read_case(run), epsilon=EPSILON, other=other)
