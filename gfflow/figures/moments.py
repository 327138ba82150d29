"""Which of a run's recorded frames are worth a picture."""

from __future__ import annotations

import numpy as np

from gfflow.figures.events import event_name, events
from gfflow.figures.style import number
from gfflow.measures import plateaus
from gfflow.records.run import Run, Trajectory


def moments(run: Run, trajectory: Trajectory) -> list[tuple[str, int]]:
    """At most eight frames that tell the run's story, as (name, index of the frame) in order: the start, the
    measured events and the nearest approach to the saddle, or else the plateaus and falls of the loss; the end."""
    known = [(event_label(key), step) for key, _, step in events(run) if step is not None]
    near = ((run.summary or {}).get("saddle") or {}).get("step")
    if known and near is not None:
        known.append(("nearest to the saddle", near))
    named = sorted(known or _by_loss(run), key=lambda moment: moment[1])
    last = len(trajectory.step) - 1
    frames: dict[int, str] = {0: "start"}
    for name, step in named:
        frame = trajectory.nearest(step)
        if 0 < frame < last:
            frames.setdefault(frame, name)
    return [(name, frame) for frame, name in list(frames.items())[:7]] + [("end", last)]


def when(run: Run, name: str, step: float) -> str:
    """The iteration of a frame, as its caption has it; for an event that fell between two frames, also its own."""
    own = {event_label(key): at for key, _, at in events(run)}.get(name)
    shown = f"iteration {number(step)}"
    return shown if own is None or number(own) == number(step) else f"{number(own)}, drawn at {number(step)}"


def event_label(key: str) -> str:
    """An event's name in one line."""
    return event_name(key).replace("\n", " ")


def _by_loss(run: Run) -> list[tuple[str, float]]:
    step, loss = run.column("loss")
    found = plateaus(step, loss)
    named: list[tuple[str, float]] = []
    for i, plateau in enumerate(found):
        if i > 0:
            named.append(("loss falling", (found[i - 1].stop + plateau.start) / 2))
        named.append((f"plateau {i + 1}", plateau.start + (plateau.stop - plateau.start) * 2 / 3))
    level = found[-1].loss if found else float(loss[0])
    after = found[-1].stop if found else 0.0
    for share, name in ((0.5, "loss halved"), (0.01, "loss below 1%")):
        below = np.flatnonzero((step > after) & (loss < share * level))
        if len(below):
            named.append((name + (" from there" if found else ""), float(step[below[0]])))
    return named
