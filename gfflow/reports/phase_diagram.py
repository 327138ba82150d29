"""Lazy and condensed starts over two exponents of the width (arXiv 2007.07497)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.style import new_figure, styled
from gfflow.reports.jobs import Sweep

KEYS = ("init.gamma", "init.gamma_prime")


@styled
def phase_diagram(sweep: Sweep) -> Figure | None:
    """Means over seeds, over gamma and gamma': left, how far the hidden weights went, as a power of ten; right, into
    how many directions, 5 degrees wide, 99% of the mass has condensed. White: no finished run. None unless these two
    exponents were swept."""
    if set(KEYS) - set(sweep.keys) or not sweep.finished:
        return None
    figure = new_figure(3.0)
    left, right = figure.subplots(1, 2)
    _map(figure, left, sweep, "final.relative_change", r"$\log_{10}\Vert W-W(0)\Vert/\Vert W(0)\Vert$", True)
    _map(figure, right, sweep, "structure.clusters", "directions of 99% of the mass")
    right.set_ylabel("")
    return figure


def _map(figure: Figure, axes: Axes, sweep: Sweep, value: str, title: str, logarithmic: bool = False) -> None:
    columns, rows = ([float(level) for level in sweep.levels(key)] for key in KEYS)  # type: ignore[arg-type]
    cells = np.full((len(rows), len(columns)), np.nan)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            numbers = [
                number
                for job in sweep.finished
                if (job.overrides[KEYS[0]], job.overrides[KEYS[1]]) == (column, row)
                and (number := job.number(value)) is not None
            ]
            if numbers:
                cells[i, j] = np.mean(numbers)
    if logarithmic:
        cells = np.log10(cells)
    low, high = np.nanmin(cells), np.nanmax(cells)
    image = axes.imshow(cells, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(columns)), [f"{column:g}" for column in columns])
    axes.set_yticks(range(len(rows)), [f"{row:g}".replace("-", "\N{MINUS SIGN}") for row in rows])
    axes.set(xlabel=r"$\gamma$: $\beta_1\beta_2/\alpha=m^{-\gamma}$", title=title)
    axes.set_ylabel(r"$\gamma'$: $\beta_1/\beta_2=m^{-\gamma'}$")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (i, j), cell in np.ndenumerate(cells):
        if np.isfinite(cell):
            color = "black" if cell > low + 0.6 * (high - low) else "white"
            text = f"{cell:.2g}".replace("-", "\N{MINUS SIGN}")
            axes.text(j, i, text, ha="center", va="center", fontsize=6, color=color)
    figure.colorbar(image)
