"""Figures of a finished run, drawn from its records alone: each function takes a Run and returns a matplotlib
Figure, or None where it does not apply to the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from gfflow.figures.overview import overview
from gfflow.figures.style import save
from gfflow.records import Run

Drawing = Callable[[Run], Figure | None]

MAIN: dict[str, Drawing] = {"overview": overview}
ALL: dict[str, Drawing] = {**MAIN}


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


__all__ = ["ALL", "MAIN", "Drawing", "draw_all", "draw_main", "overview"]
