"""Recorded frames as snapshots: they stand at the flow time at which they were recorded."""

import numpy as np
import pytest

from gfflow.config import RunConfig
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run
from gfflow.run import train


@pytest.mark.parametrize("solver", ["fused", "flow"])
def test_frames_carry_their_time(tmp_path, solver: str) -> None:
    values = {"network": {"width": 5}, "solver": {"name": solver, "iterations": 40, "lr": 3e-3}, "figures": False}
    train(RunConfig.of({**values, "verbose": False}), tmp_path)
    run = Run.read(tmp_path)
    trajectory = run.trajectory
    assert trajectory is not None and len(trajectory.step) > 3
    data = training_set(trajectory)
    times = dict(zip(run.metrics["step"], run.metrics["time"], strict=True))
    for frame, step in enumerate(trajectory.step):
        time = snapshot(trajectory, data, frame).time
        assert time is not None
        np.testing.assert_allclose(time, times[step], rtol=4e-16)  # eta is time / step at the end: two roundings


def test_frames_of_a_training_without_a_flow_time_have_none(tmp_path) -> None:
    """As somebody else's module leaves them: the column `time` is empty."""
    (tmp_path / "metrics.csv").write_text("step,loss,time\n0,1.0,\n5,0.5,\n", encoding="utf-8")
    np.savez(
        tmp_path / "trajectory.npz", step=[0, 5], w=np.ones((2, 3, 2)), a=np.ones((2, 3)), x=np.eye(2), y=[1, -1]
    )
    run = Run.read(tmp_path)
    trajectory = run.trajectory
    assert run.step_size is None and trajectory is not None
    assert snapshot(trajectory, training_set(trajectory), 1).time is None


def test_frames_know_the_activation_and_the_loss_of_their_run(tmp_path) -> None:
    values = {
        "network": {"width": 5, "relu_derivative_at_zero": 0.5},
        "solver": {"name": "sgd", "iterations": 10},
        "figures": False,
        "verbose": False,
    }
    train(RunConfig.of(values), tmp_path)
    trajectory = Run.read(tmp_path).trajectory
    assert trajectory is not None
    data = training_set(trajectory)
    assert snapshot(trajectory, data, 0).neurons.activation.at_zero == 0.5
    assert data.loss.name == "square"
