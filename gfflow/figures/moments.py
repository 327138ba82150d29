"""Which of a run's recorded frames are worth a picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gfflow.figures.events import event_name, events
from gfflow.figures.style import number
from gfflow.measures import plateaus
from gfflow.records.run import Run, Trajectory


class Moment(NamedTuple):
    """A frame worth a picture."""

    name: str
    frame: int  # its index in the trajectory
    step: float | None = None  # the iteration of what it shows, which may have come between two frames

    def caption(self, drawn: float) -> str:
        """The iteration at which the frame was recorded, `drawn`, and before it what it shows, if that is another."""
        own, shown = number(drawn if self.step is None else self.step), number(drawn)
        return f"iteration {shown}" if own == shown else f"{own}, drawn at {shown}"


def moments(run: Run, trajectory: Trajectory) -> list[Moment]:
    """At most eight frames that tell the run's story, in order: the start, the measured events and the nearest
    approach to the saddle, or else the plateaus and falls of the loss; the end."""
    known = [(event_name(key).replace("\n", " "), step) for key, _, step in events(run) if step is not None]
    near = run.section("saddle").get("step")
    if known and near is not None:
        known.append(("nearest to the saddle", near))
    last = len(trajectory.step) - 1
    found = {0: Moment("start", 0)}
    for name, step in sorted(known or _by_loss(run), key=lambda moment: moment[1]):
        frame = trajectory.nearest(step)
        if 0 < frame < last:
            found.setdefault(frame, Moment(name, frame, step if known else None))
    return [*list(found.values())[:7], Moment("end", last)]


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
