"""From a run's recorded frames back to the objects of the mathematics: training set, snapshots, prediction."""

from __future__ import annotations

import warnings

import torch

from gfflow.measures import Snapshot
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.options import LOSSES, NetworkOptions
from gfflow.records.run import Run, Trajectory
from gfflow.theory import Prediction, predict


def training_set(trajectory: Trajectory) -> TrainingSet:
    """The samples that the run was trained on, with the loss by which they were fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the run itself has warned of its data
        x, y = torch.from_numpy(trajectory.x), torch.from_numpy(trajectory.y)
        return TrainingSet(x, y, LOSSES[trajectory.loss]().make())


def snapshot(trajectory: Trajectory, data: TrainingSet, frame: int) -> Snapshot:
    """The network at one recorded frame, with its flow time where the run's iterations have one."""
    options = NetworkOptions.of(trajectory.network)
    weights = torch.from_numpy(trajectory.w[frame]), torch.from_numpy(trajectory.a[frame])
    neurons = Neurons(*weights, options.make_activation(), options.frozen)
    step = int(trajectory.step[frame])
    time = None if trajectory.step_size is None else trajectory.step_size * step
    return Snapshot(neurons, data, step, time)


def prediction(run: Run) -> Prediction | None:
    """What the theory said of the run before it began, from its first frame; None without frames or summary."""
    if run.trajectory is None or run.summary is None:
        return None
    data = training_set(run.trajectory)
    return predict(data, snapshot(run.trajectory, data, 0).neurons, run.summary["theory"]["lambda"])
