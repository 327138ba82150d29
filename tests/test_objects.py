"""Objects in the place of configuration: data, solver, callbacks, loggers; and the trackers that it can ask for."""

import json
import logging
import os
import time
import warnings
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger

import gfflow
from gfflow import callbacks as cb
from gfflow import scalars
from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.experiment import with_given
from gfflow.model.data import five_points
from gfflow.run import train
from gfflow.solvers import SGD, Fused

BRIEF = {
    "figures": False,
    "verbose": False,
    "network": {"width": 10},
    "init": {"scale": 1e-2},
    "schedule": {"ratio": 2.0, "linear": 5},
    "solver": {"iterations": 100},
}


def records(folder: Path) -> tuple[bytes, list[bytes]]:
    with np.load(folder / "trajectory.npz") as file:
        return (folder / "metrics.csv").read_bytes(), [file[name].tobytes() for name in sorted(file)]


def test_plain_values_and_a_pair_give_the_run_of_the_typed_objects(tmp_path):
    data = five_points()
    first = train(RunConfig.of(BRIEF), tmp_path / "typed", data)
    second = train(BRIEF, tmp_path / "plain", (data.x.numpy(), data.y.tolist()))
    assert records(tmp_path / "plain") == records(tmp_path / "typed")
    assert first["config"] == second["config"] and first["config"]["data"]["name"] == "given"
    assert gfflow.build(BRIEF, (data.x, data.y)).training_set.digest == data.digest
    with pytest.raises(InvalidInput, match=r"solver\.itertions"):
        train({"solver": {"itertions": 3}}, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


class Halved(Fused):
    """A solver of one's own: steps of half the size that it states."""

    name = "halved"

    def advance(self, network, training_set, start, stop):
        Fused(self.lr / 2).advance(network, training_set, start, stop)


def test_a_given_solver_moves_the_weights_and_its_step_size_counts(tmp_path):
    given = train({**BRIEF, "solver": {"iterations": 100, "lr": 7.0}}, tmp_path / "given", solver=Halved(2e-2))
    train({**BRIEF, "solver": {"iterations": 100, "lr": 1e-2}}, tmp_path / "usual")
    ends = [np.load(tmp_path / name / "trajectory.npz")["w"][-1] for name in ("given", "usual")]
    np.testing.assert_array_equal(*ends)
    assert given["solver"] == {"name": "halved", "lr": 2e-2} and given["time"] == 100 * 2e-2
    assert given["config"]["solver"]["name"] == "halved" and given["config"]["solver"]["lr"] == 2e-2
    again = {**BRIEF, "resume": "auto"}
    assert train(again, tmp_path / "given", solver=Halved(2e-2)) == given
    with pytest.raises(InvalidInput, match="solver"):
        train(again, tmp_path / "given", solver=SGD(2e-2, None, 0))


class Counting(pl.Callback):
    def __init__(self):
        self.leaps = 0

    def on_train_batch_end(self, *_):
        self.leaps += 1


def test_given_callbacks_join_the_configured_ones_or_take_their_place(tmp_path):
    class Weighed(cb.Histograms):
        pass

    counting, frames = Counting(), cb.TrajectoryRecorder(tmp_path / "elsewhere.npz")
    train(BRIEF, tmp_path / "run", callbacks=[counting, frames])
    assert counting.leaps == len(gfflow.build(BRIEF).module.schedule) - 1
    assert (tmp_path / "elsewhere.npz").exists() and not (tmp_path / "run" / "trajectory.npz").exists()
    last = cb.LastCheckpoint(tmp_path / "last.ckpt")
    usual = [cb.Measured(scalars.Loss()), cb.GradientNorm(), cb.Histograms(), last]
    mine = [Weighed(), cb.Loss()]  # another class; the same measure
    assert with_given(usual, mine) == [mine[1], usual[1], usual[2], mine[0], last]
    assert with_given(usual, []) == usual


def test_any_logger_of_lightnings_gets_every_measurement_and_the_configuration(tmp_path):
    logger = CSVLogger(tmp_path, name="mine", version="")
    train(BRIEF, tmp_path / "run", loggers=[logger])
    own = np.genfromtxt(tmp_path / "run" / "metrics.csv", delimiter=",", names=True)
    theirs = np.genfromtxt(tmp_path / "mine" / "metrics.csv", delimiter=",", names=True)
    for step, loss in zip(own["step"], own["loss"], strict=True):
        logged = theirs["loss"][theirs["step"] == step]
        assert loss in logged[np.isfinite(logged)]
    assert "solver.lr: 0.002" in (tmp_path / "mine" / "hparams.yaml").read_text()


@pytest.mark.slow
def test_wandb_offline_has_the_last_measurement(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    summary = train({**BRIEF, "loggers": {"wandb": True}}, tmp_path / "run")
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (file,) = folder.glob("run-*.wandb")
    expected = [b"mass/u_plus", b"gradient/norm", b"solver.lr", repr(summary["final"]["loss"]).encode()]
    deadline = time.monotonic() + 60  # wandb's own process writes its last block a moment after finish() has returned
    while not all(name in file.read_bytes() for name in expected):
        assert time.monotonic() < deadline, [name for name in expected if name not in file.read_bytes()]
        time.sleep(0.1)
    import wandb

    assert wandb.run is None  # the next run of this process begins one of its own
    assert "WANDB_MODE" not in os.environ
    train(BRIEF, tmp_path / "without")
    assert records(tmp_path / "run") == records(tmp_path / "without")


@pytest.mark.slow
def test_mlflow_offline_has_every_measurement(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    train({**BRIEF, "loggers": {"mlflow": True}}, tmp_path / "run")
    assert not mlflow.is_tracking_uri_set()  # in this process all else goes where it went
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/run/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "gfflow"]
    (run,) = client.search_runs([experiment.experiment_id])
    own = np.genfromtxt(tmp_path / "run" / "metrics.csv", delimiter=",", names=True)
    history = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")}
    assert history == dict(zip(own["step"].astype(int).tolist(), own["loss"].tolist(), strict=True))
    assert run.info.status == "FINISHED" and run.data.params["solver.lr"] == "0.002"


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_one_line_with_the_remedy(name, monkeypatch, tmp_path):
    monkeypatch.setattr("gfflow.records.trackers.find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=rf"^loggers\.{name}: received True; .*pip install -e '\.\[{name}\]'"):
        train({**BRIEF, "loggers": {name: True}}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_warnings_and_log_levels_are_afterwards_what_they_were(tmp_path):
    names = ("lightning.pytorch", "lightning.fabric")
    filters, levels = list(warnings.filters), [logging.getLogger(name).level for name in names]
    train(BRIEF, tmp_path)
    assert list(warnings.filters) == filters
    assert [logging.getLogger(name).level for name in names] == levels


def test_a_finished_run_is_seen_before_anything_is_predicted(monkeypatch, tmp_path):
    wanted = {**BRIEF, "resume": "auto"}
    first = train(wanted, tmp_path)
    monkeypatch.setattr("gfflow.run.build", lambda *_: pytest.fail("a finished run was predicted"))
    assert train(wanted, tmp_path) == first
    with pytest.raises(InvalidInput, match="resume=auto"):  # so is one that is in the way
        train(BRIEF, tmp_path)


def test_what_train_returns_is_what_the_file_holds(tmp_path):
    summary = train({**BRIEF, "seed": 3}, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["seed"] == 3 and summary["theory"]["lambda"] == pytest.approx(1e-2 / 10**0.5, rel=1e-15)
    assert list(summary)[-1] == "config"
