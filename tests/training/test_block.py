"""Blocks of leaps: what a run leaves is what it leaves leap by leap."""

import lightning.pytorch as pl
import numpy as np
import pytest
from lightning.pytorch.loggers.logger import Logger

import gfflow
from gfflow import callbacks as cb
from gfflow.errors import Diverged
from gfflow.training import block

CASES = {
    "fused": {},
    "mini-batches": {"solver": {"name": "sgd", "batch_size": 1, "iterations": 150}},
    "ends at a loss": {"init": {"scale": 1e-2}, "solver": {"lr": 1e-2, "stop_loss": 0.3}},
    "mini-batches that end at a loss": {
        "init": {"scale": 0.3},
        "solver": {"name": "sgd", "batch_size": 1, "lr": 1e-2, "iterations": 300, "stop_loss": 0.3},
    },
    "diverges": {"init": {"scale": 1.0}, "solver": {"lr": 5.0}},
    "comes to rest": {
        "data": {"name": "three_points"},
        "init": {"scale": 0.1},
        "solver": {"lr": 0.2, "iterations": 9000},
    },
    "flow": {"solver": {"name": "flow", "iterations": 2000}},
    "float32": {"precision": "float32"},
}


class LeapByLeap(pl.Callback):
    """A callback that knows nothing of blocks."""

    def __init__(self):
        self.iterations = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        assert pl_module.frames is None
        self.iterations.append(pl_module.iteration)


class Rows(Logger):
    name, version = "rows", ""

    def __init__(self):
        super().__init__()
        self.steps = []

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, metrics, step=None):
        self.steps.append(step)


def config(case: str) -> dict:
    values = {"figures": False, "verbose": False, "network": {"width": 12}, **CASES[case]}
    return values | {"solver": {"iterations": 3000, "lr": 1e-2} | values.get("solver", {})}


def content(folder) -> dict:
    trajectory = np.load(folder / "trajectory.npz")
    return {"metrics": (folder / "metrics.csv").read_text()} | {
        name: trajectory[name].tobytes() for name in trajectory
    }


@pytest.mark.parametrize("case", CASES)
def test_a_run_in_blocks_leaves_what_it_leaves_leap_by_leap(case, tmp_path, monkeypatch):
    one = LeapByLeap()
    results = []
    for folder, callbacks in (("blocks", []), ("leaps", [one])):
        try:
            results.append(gfflow.train(config(case), tmp_path / folder, callbacks=callbacks))
        except Diverged as error:
            results.append({"diverged": str(error)})
    assert content(tmp_path / "blocks") == content(tmp_path / "leaps")
    for result in results:
        for varying in ("timing", "versions", "created"):
            result.pop(varying, None)
    assert results[0] == results[1]
    schedule = gfflow.build(config(case)).module.schedule
    assert one.iterations == list(schedule.iterations[1 : len(one.iterations) + 1])


def test_a_measurement_that_looks_on_by_itself_sees_every_leap(tmp_path):
    class Looking(cb.Measurement):
        iterations = ()

        def measure(self, snapshot):
            return {}

        def on_train_batch_end(self, trainer, pl_module, *rest):
            self.iterations += (pl_module.iteration,)

    looking = Looking()
    gfflow.train(config("fused"), tmp_path, callbacks=[looking])
    assert looking.iterations == gfflow.build(config("fused")).module.schedule.iterations[1:]


@pytest.mark.parametrize("seconds", [0.0, 1e-3])
def test_however_short_a_block_may_be(seconds, tmp_path, monkeypatch):
    gfflow.train(config("fused"), tmp_path / "usual")
    monkeypatch.setattr("gfflow.training.module.SECONDS", seconds)
    gfflow.train(config("fused"), tmp_path / "short")
    assert content(tmp_path / "short") == content(tmp_path / "usual")


def test_a_logger_gets_one_row_an_iteration_in_their_order(tmp_path):
    rows = Rows()
    gfflow.train(config("fused"), tmp_path, loggers=[rows])
    first = rows.steps.count(0)  # measured before there is a block, each measure by itself
    assert rows.steps[first:] == sorted(set(rows.steps) - {0})
    assert set(rows.steps) == set(gfflow.build(config("fused")).module.schedule)


def test_a_block_is_as_large_as_memory_allows_where_nobody_must_be_asked():
    def largest(case, **more):
        module = gfflow.build({**config(case), **more}).module
        return block.largest_block(module)

    assert largest("fused") == block.LEAPS
    assert largest("ends at a loss") == block.LEAPS_TO_A_LOSS
    assert largest("mini-batches that end at a loss") == 1  # it may go further, and the batches cannot go back
    assert largest("flow") == 1
    assert largest("fused", network={"width": 2**20}) == 1
    assert largest("fused", network={"width": 2**15}) == 2**20 // (3 * 2**15)
