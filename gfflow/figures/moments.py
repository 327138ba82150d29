"""Which of a run's recorded frames are worth a picture."""

from __future__ import annotations

import numpy as np

from gfflow.figures.events import events
from gfflow.figures.style import EVENT_NAMES
from gfflow.measures import plateaus
from gfflow.records.run import Run, Trajectory


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
