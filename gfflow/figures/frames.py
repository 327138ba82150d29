"""From a run's recorded frames to the snapshots that measures take, and which of them are worth a picture."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from gfflow.data import TrainingSet
from gfflow.figures.events import events
from gfflow.figures.style import EVENT_NAMES
from gfflow.measures import Snapshot, plateaus
from gfflow.neurons import Neurons
from gfflow.records import Run, Trajectory
from gfflow.theory import Prediction, predict


def training_set(trajectory: Trajectory) -> TrainingSet:
    """The samples that the run was trained on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the run itself has warned of its data
        return TrainingSet(torch.from_numpy(trajectory.x), torch.from_numpy(trajectory.y))


def snapshot(trajectory: Trajectory, data: TrainingSet, frame: int) -> Snapshot:
    """The network at one recorded frame."""
    neurons = Neurons(torch.from_numpy(trajectory.w[frame]), torch.from_numpy(trajectory.a[frame]))
    return Snapshot(neurons, data, int(trajectory.step[frame]))


def prediction(run: Run) -> Prediction | None:
    """What the theory said of the run before it began, from its first frame; None without frames or summary."""
    if run.trajectory is None or run.summary is None:
        return None
    data = training_set(run.trajectory)
    return predict(data, snapshot(run.trajectory, data, 0).neurons, run.summary["theory"]["lambda"])


def moments(run: Run, trajectory: Trajectory) -> list[tuple[str, int]]:
    """At most eight frames that tell the run's story, as (name, index of the frame) in order: the start, the
    measured events and the nearest approach to the saddle, or else the plateaus and falls of the loss; the end."""
    known = [(EVENT_NAMES[key].replace("\n", " "), step) for key, _, step in events(run) if step is not None]
    near = ((run.summary or {}).get("saddle") or {}).get("step")
    if known and near is not None:
        known.append(("nearest to the saddle", near))
    told = sorted(known or _by_loss(run), key=lambda moment: moment[1])
    last = len(trajectory.step) - 1
    frames: dict[int, str] = {0: "start"}
    for name, step in told:
        frame = trajectory.nearest(step)
        if 0 < frame < last:
            frames.setdefault(frame, name)
    return [(name, frame) for frame, name in list(frames.items())[:7]] + [("end", last)]


def _by_loss(run: Run) -> list[tuple[str, float]]:
    step, loss = run.column("loss")
    stays = plateaus(step, loss)
    told: list[tuple[str, float]] = []
    for i, stay in enumerate(stays):
        if i > 0:
            told.append(("loss falling", (stays[i - 1].stop + stay.start) / 2))
        told.append((f"plateau {i + 1}", stay.start + (stay.stop - stay.start) * 2 / 3))
    level = stays[-1].loss if stays else float(loss[0])
    after = stays[-1].stop if stays else 0.0
    for share, name in ((0.5, "loss halved"), (0.01, "loss below 1%")):
        below = np.flatnonzero((step > after) & (loss < share * level))
        if len(below):
            told.append((name + (" from there" if stays else ""), float(step[below[0]])))
    return told
