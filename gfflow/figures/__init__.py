"""Figures of a finished run, drawn from its records alone: each function takes a Run and returns a matplotlib
Figure, or None where it does not apply to the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from gfflow.figures.alignment import alignment
from gfflow.figures.lazy import lazy
from gfflow.figures.loss import loss
from gfflow.figures.masses import masses
from gfflow.figures.overview import overview
from gfflow.figures.polar import explained_variance, polar
from gfflow.figures.saddle import saddle
from gfflow.figures.style import save
from gfflow.figures.timeline import timeline
from gfflow.figures.training import training_state
from gfflow.records import Run

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
    "saddle": saddle,
    "polar": polar,
    "explained_variance": explained_variance,
    "lazy": lazy,
}


def draw_main(folder: str | Path) -> list[Path]:
    """Draws the few figures that every run ends with into FOLDER/figures; returns the files written."""
    return _draw(MAIN, folder)


def draw_all(folder: str | Path) -> list[Path]:
    """Draws every figure that applies to the run into FOLDER/figures, PNG and PDF; returns the files written."""
    return _draw(ALL, folder)


def _draw(drawings: dict[str, Drawing], folder: str | Path) -> list[Path]:
    run = Run.read(folder)
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
    "explained_variance",
    "lazy",
    "loss",
    "masses",
    "overview",
    "polar",
    "saddle",
    "timeline",
    "training_state",
]
