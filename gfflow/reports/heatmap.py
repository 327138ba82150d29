"""A final value over two swept keys."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from gfflow.figures.style import new_figure, quantity, styled
from gfflow.reports.jobs import Sweep
from gfflow.reports.labels import is_logarithmic, label, value_label

LONG = 10  # characters of a value from which the columns' names are turned


@styled
def heatmap(sweep: Sweep, value: str) -> Figure | None:
    """The mean over seeds of a value of the summary; white cells have no finished run with it. None unless exactly
    two keys were swept (beside the seed) and some run has the value."""
    if len(sweep.keys) != 2:
        return None
    across, up = (
        sweep.keys if len(sweep.levels(sweep.keys[0])) >= len(sweep.levels(sweep.keys[1])) else sweep.keys[::-1]
    )
    columns, rows = sweep.levels(across), sweep.levels(up)
    cells = np.full((len(rows), len(columns)), np.nan)
    for group in sweep.groups:
        numbers = [number for job in group.jobs if (number := job.number(value)) is not None]
        if numbers:
            cells[rows.index(group.values[up]), columns.index(group.values[across])] = np.mean(numbers)
    there = cells[np.isfinite(cells)]
    if not len(there):
        return None
    logarithmic = is_logarithmic(there.tolist())
    figure = new_figure(1.8 + 0.34 * len(rows), width=min(6.75, 2.4 + 0.55 * len(columns)))
    axes = figure.subplots()
    image = axes.imshow(cells, origin="lower", aspect="auto", norm=LogNorm() if logarithmic else None, cmap="viridis")
    names = [value_label(column) for column in columns]
    axes.set_xticks(range(len(columns)), names)
    if any(len(name) > LONG and not name.startswith("$") for name in names):
        axes.set_xticks(range(len(columns)), names, rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), [value_label(row) for row in rows])
    axes.set(xlabel=label(across), ylabel=label(up))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (i, j), cell in np.ndenumerate(cells):
        if np.isfinite(cell) and cells.size <= 150:
            light = float(image.norm(float(cell))) > 0.6  # type: ignore[arg-type]
            text = quantity(float(f"{cell:.2g}"))
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="black" if light else "white")
    figure.colorbar(image)
    figure.suptitle(f"{label(value)}, mean over seeds", fontsize=8)  # along the bar a few rows leave it no room
    return figure
