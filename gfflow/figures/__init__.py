"""Figures of a finished run, drawn from its records alone: each function takes a Run and returns a matplotlib
Figure, or None where it does not apply to the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from gfflow.figures.alignment import alignment
from gfflow.figures.early_phase import early_directions
from gfflow.figures.flow import flow_distance, sliding_pairs
from gfflow.figures.lazy import lazy
from gfflow.figures.loss import loss
from gfflow.figures.masses import masses
from gfflow.figures.minimum_norm import least_norm
from gfflow.figures.moments import moments
from gfflow.figures.overview import overview
from gfflow.figures.polar import explained_variance, polar
from gfflow.figures.saddle import saddle
from gfflow.figures.style import save
from gfflow.figures.timeline import timeline
from gfflow.figures.training import training_state
from gfflow.records.run import Run

Drawing = Callable[[Run], Figure | None]

MAIN: dict[str, Drawing] = {
    "overview": overview,
    "training": training_state,
    "loss": loss,
    "timeline": timeline,
}
ALL: dict[str, Drawing] = {
    **MAIN,
    "masses": masses,
    "alignment": alignment,
    "early_directions": early_directions,
    "saddle": saddle,
    "polar": polar,
    "explained_variance": explained_variance,
    "lazy": lazy,
    "least_norm": least_norm,
    "flow_distance": flow_distance,
    "sliding_pairs": sliding_pairs,
}


def draw_main(run: Run) -> list[Path]:
    """Draws the few figures that every run ends with into the run's figures/, and the function of least norm where
    the run asked for that; returns the files written."""
    asked = run.config.get("callbacks", {}).get("minimum_norm", False)
    return _draw(MAIN | ({"least_norm": least_norm} if asked else {}), run)


def draw_all(run: Run) -> list[Path]:
    """Draws every figure that applies into the run's figures/, PNG and PDF; returns the files written."""
    return _draw(ALL, run)


def telling_states(run: Run) -> Iterator[tuple[int, Figure]]:
    """The state of training at each telling frame, one figure each, with its iteration; none off the line."""
    if run.trajectory is None:
        return
    for _, frame in moments(run, run.trajectory):
        step = int(run.trajectory.step[frame])
        figure = training_state(run, [step])
        if figure is None:
            return
        yield step, figure


def _draw(drawings: dict[str, Drawing], run: Run) -> list[Path]:
    paths: list[Path] = []
    for name, drawing in drawings.items():
        figure = drawing(run)
        if figure is not None:
            paths += save(figure, run.folder / "figures", name)
    return paths


__all__ = [
    "ALL",
    "MAIN",
    "Drawing",
    "alignment",
    "draw_all",
    "draw_main",
    "early_directions",
    "explained_variance",
    "flow_distance",
    "lazy",
    "least_norm",
    "loss",
    "masses",
    "overview",
    "polar",
    "saddle",
    "sliding_pairs",
    "telling_states",
    "timeline",
    "training_state",
]
