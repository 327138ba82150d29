"""Figures of a finished run, drawn from its records alone: each function takes a Run and returns a matplotlib
Figure, or None where it does not apply to the run.

The order here is the order in which they are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

# isort: off
from gfflow.figures.overview import overview
from gfflow.figures.training import training_state
from gfflow.figures.regions import regions
from gfflow.figures.margin import margin
from gfflow.figures.loss import loss
from gfflow.figures.timeline import timeline
from gfflow.figures.masses import masses
from gfflow.figures.alignment import alignment
from gfflow.figures.early_phase import early_directions
from gfflow.figures.directions import directions
from gfflow.figures.teacher import teacher
from gfflow.figures.saddle import saddle
from gfflow.figures.polar import polar
from gfflow.figures.explained_variance import explained_variance
from gfflow.figures.lazy import lazy
from gfflow.figures.minimum_norm import least_norm
from gfflow.figures.flow_distance import flow_distance
from gfflow.figures.sliding_pairs import sliding_pairs
from gfflow.figures.members import diagonal, failures
from gfflow.figures.member_bands import bands, histograms

# isort: on
from gfflow.figures.moments import moments
from gfflow.figures.registry import FIGURES, Drawing, figure
from gfflow.figures.style import save
from gfflow.processes import beside
from gfflow.records.run import Run


def draw_main(run: Run) -> list[Path]:
    """Draws the few figures that the run ends with into its figures/, of an ensemble those of its members; returns
    the files written."""
    many = run.members is not None
    wanted = [drawing for drawing in FIGURES.values() if drawing.members == many and drawing.main(run)]
    if not many:
        return _draw(wanted, run)
    with beside(lambda: _draw(wanted[1::2], run)) as others:
        mine = _draw(wanted[::2], run)
        return mine + others()


def draw_all(run: Run) -> list[Path]:
    """Draws every figure that applies into the run's figures/, PNG and PDF; returns the files written."""
    return _draw(FIGURES.values(), run)


def states_of_training(run: Run) -> Iterator[tuple[int, Figure]]:
    """The state of training at each of the moments, one figure each, with its iteration; none off the line."""
    if run.trajectory is None:
        return
    for moment in moments(run, run.trajectory):
        step = int(run.trajectory.step[moment.frame])
        state = training_state(run, [step])
        if state is None:
            return
        yield step, state


def _draw(drawings: Iterable[Drawing], run: Run) -> list[Path]:
    paths: list[Path] = []
    for drawing in drawings:
        drawn = drawing.draw(run)
        if drawn is not None:
            paths += save(drawn, run.folder / "figures", drawing.name)
    return paths


__all__ = [
    "FIGURES",
    "Drawing",
    "alignment",
    "bands",
    "diagonal",
    "directions",
    "draw_all",
    "draw_main",
    "early_directions",
    "explained_variance",
    "failures",
    "figure",
    "flow_distance",
    "histograms",
    "lazy",
    "least_norm",
    "loss",
    "margin",
    "masses",
    "overview",
    "polar",
    "regions",
    "saddle",
    "sliding_pairs",
    "states_of_training",
    "teacher",
    "timeline",
    "training_state",
]
