"""What is said before training of what may spoil it, and what is refused because numbers cannot hold it."""

import json

import numpy as np
import pytest
import torch

from gfflow.config import RunConfig
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.motion.flow import integrator
from gfflow.records.run import Run
from gfflow.run import build, train
from gfflow.training.module import GradientFlowModule


def config(**values) -> RunConfig:
    values["solver"] = {"iterations": 300, **values.get("solver", {})}
    schedule = {"ratio": 2.0, "linear": 10}
    return RunConfig.of({"figures": False, "verbose": False, "schedule": schedule, **values})


def notes(**values) -> str:
    return "\n".join(build(config(**values)).notes)


FIVE = {"name": "five_points"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"solver": {"lr": 3.0}}, "at the predicted limit: it is unstable"),
        ({"data": FIVE, "solver": {"lr": 5.0}}, "at any network that fits these labels: it is unstable"),
        ({"data": FIVE, "solver": {"lr": 0.1}, "init": {"scale": 100.0}}, "at the start: it is unstable"),
        ({"precision": "float32", "init": {"scale": 1e-30}}, "float32 cannot hold the squares"),
        ({"solver": {"iterations": 3000}}, "end before the saddle is left"),
        ({"solver": {"iterations": 12000}}, "end before all labels are fitted, predicted at iteration 14,808"),
        ({"data": {"name": "orthonormal", "labels": [1.0]}, "solver": {"iterations": 9}}, "end before zero is left"),
        ({"network": {"slope": 0.5}}, "network.slope = 0.5 says nothing without network.activation=leaky_relu"),
        ({"data": FIVE, "solver": {"iterations": 9}}, "still near zero, which it cannot leave before"),
        (
            {"data": FIVE, "solver": {"iterations": 9}, "init": {"scale": 1e-1}},
            "it has loss and masses, but no event",
        ),
        (
            {"data": {"name": "orthonormal", "labels": [1.0, -0.5], "rotation": 1}, "init": {"scale": 1e-50}},
            "not small against lambda",
        ),
    ],
)
def test_what_may_spoil_a_run_is_said_before_it(values, said):
    assert said in notes(**values)


def test_nothing_is_said_of_a_sound_run():
    assert notes(solver={"iterations": 20_000}) == ""
    assert "solver" not in notes(data=FIVE, solver={"iterations": 400_000}, init={"scale": 1e-4})


def test_a_step_said_to_be_unstable_everywhere_never_fits(tmp_path):
    """The bound holds for any fit: with a step 1% above it the loss does not go to zero."""
    data = TrainingSet(torch.tensor([[1.0, 0.0]]), torch.tensor([1.0]))  # least sharpness 2, largest step 1
    losses = []
    for lr in (0.5, 1.01):
        wanted = config(solver={"lr": lr, "iterations": 2000}, init={"scale": 0.1}, network={"width": 30})
        losses.append(train(wanted, tmp_path / str(lr), data)["final"]["loss"])
    assert losses[0] < 1e-20 and losses[1] > 1e-6


@pytest.mark.parametrize("values", [{}, {"solver": {"lr": 1e-3}}])
def test_the_network_is_not_said_to_stay_near_zero_where_it_leaves(values, tmp_path):
    """The bound is one: a run that reaches a hundredth of its labels was never told that it cannot."""
    wanted = config(
        data=FIVE, init={"scale": 1e-2}, solver={"lr": 2e-3, "iterations": 20_000, **values.get("solver", {})}
    )
    assert "near zero" not in "\n".join(build(wanted).notes)
    train(wanted, tmp_path)
    table = Run.read(tmp_path).metrics
    assert table["mass/u_plus"].max() > 0.01


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"precision": "float32", "solver": {"lr": 1e50}}, r"solver\.lr"),
        ({"precision": "float32", "data": {"name": "orthonormal", "labels": [1e30]}}, "precision"),
        ({"precision": "float32", "data": {"name": "orthonormal", "labels": [1.0], "norms": [1e-30]}}, "precision"),
        ({"init": {"scale": 1e200}}, r"init\.scale"),
        ({"solver": {"lr": 1e-300}}, r"solver\.lr"),
        ({"data": {"name": "orthonormal", "labels": [1e200]}}, "data labels"),
        ({"data": {"name": "orthonormal", "labels": [1.0], "norms": [1e-160]}}, "data inputs"),
    ],
)
def test_what_numbers_cannot_hold_is_refused_by_name(values, key):
    with pytest.raises(InvalidInput, match=rf"^{key}: received .*; allowed: ") as told:
        build(config(**values))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("cut", [False, True])
def test_a_divergence_says_when_from_what_and_why_and_keeps_the_trajectory(cut, monkeypatch, tmp_path):
    wanted = config(data=FIVE, solver={"lr": 5.0}, init={"scale": 1.0}, callbacks={"checkpoint_seconds": 1e-9})
    if cut:  # a resumed run says the same
        leap = GradientFlowModule.leap

        def signalled(self, stop):
            self.signal = 15 if self.iteration == 2 else self.signal
            return leap(self, stop)

        with monkeypatch.context() as patch:
            patch.setattr(GradientFlowModule, "leap", signalled)
            patch.setattr(GradientFlowModule, "leap_through", lambda *_: None)
            with pytest.raises(Interrupted):
                train(wanted, tmp_path)
    with pytest.raises(Diverged) as told:
        train(RunConfig.of({**wanted.to_dict(), "resume": "auto"}), tmp_path)
    assert "\n" not in str(told.value)
    run = Run.read(tmp_path)
    last = int(run.metrics["step"][-1])
    assert f"between iterations {last:,} and " in str(told.value)
    assert f"from loss {run.metrics['loss'][-1]:.3g} and" in str(told.value)
    assert "solver.lr = 5 is above 2/sharpness" in str(told.value)
    assert run.trajectory.step[-1] == last and np.isfinite(run.trajectory.w).all()


def test_a_stalled_flow_keeps_its_trajectory(monkeypatch, tmp_path):
    monkeypatch.setattr(integrator, "MOST_STEPS", 30)
    with pytest.raises(Diverged, match="stalled"):
        train(config(data=FIVE, solver={"name": "flow", "iterations": 200_000}), tmp_path)
    run = Run.read(tmp_path)
    assert run.summary is None
    assert run.trajectory.step[-1] == run.metrics["step"][-1] > 0


@pytest.mark.filterwarnings("ignore:data labels")
def test_labels_all_zero_have_no_norm_gap_and_a_closing_table(tmp_path, capsys):
    values = {**config(init={"scale": 1.0}).to_dict(), "verbose": True, "callbacks": {"progress": False}}
    del values["data"]
    summary = train(RunConfig.of(values), tmp_path, TrainingSet(torch.eye(2), torch.zeros(2)))
    assert summary["theory"]["min_half_norm"] == 0 and summary["final"]["norm_gap"] is None
    assert "theory beside measurement" in capsys.readouterr().out


def test_statements_are_judged_without_a_positive_label(tmp_path):
    train(config(data={"name": "orthonormal", "labels": [-1.0, -0.5]}, verify=True), tmp_path)
    assert json.loads((tmp_path / "verification.json").read_text())
