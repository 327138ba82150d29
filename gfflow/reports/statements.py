"""From which lambda on each statement of the paper holds (the paper's lambda*), over the verified runs of a sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gfflow.figures.style import INK, new_figure, styled
from gfflow.records.run import read_json
from gfflow.reports.jobs import Sweep

CLIPPED = 2.0  # decades of margin beyond which colours no longer differ
TITLES = {
    "as printed": r"$\varepsilon = %.3g$: B.2 as printed",
    "sharp": r"$\varepsilon = %.3g$: B.2, sharp $\alpha$, $\beta$",
    "given": r"$\varepsilon = %.3g$",
}


@dataclass
class Panel:
    """The statements at one epsilon: rows of the figure, one column per lambda (increasing smallness)."""

    epsilon: float
    margins: dict[str, dict[float, float]] = field(
        default_factory=dict
    )  # by statement, by lambda; the least of seeds
    empty: set[tuple[str, float]] = field(default_factory=set)  # where a bound says nothing


def margin(row: dict[str, Any]) -> float:
    """Decades between measured and bound, positive where the statement holds; +-inf where one of them is not
    positive, NaN where the statement is not applicable."""
    if row["verdict"] == "not applicable":
        return math.nan
    measured, bound, sign = row["measured"], row["bound"], 1 if row["relation"] in ("<=", "<") else -1
    if measured is None or min(measured, bound) <= 0:
        return math.inf if row["verdict"] == "holds" else -math.inf
    return sign * math.log10(bound / measured)


def worse(one: float, other: float) -> float:
    """The margin of a statement over two seeds: the smaller one; NaN where it holds for one and is not applicable to
    the other."""
    least = float(np.fmin(one, other))
    return least if least < 0 else float(np.minimum(one, other))


def begins(margins: dict[float, float]) -> float | None:
    """The largest lambda from which the statement holds for it and every smaller one studied; None: not even for the
    smallest. Lambdas at which it was not applicable end the row as violations do."""
    found = None
    for scale in sorted(margins):
        if not margins[scale] >= 0:
            break
        found = scale
    return found


def read_panels(sweep: Sweep) -> dict[str, Panel]:
    """What the verification.json of every run says of the statements with an epsilon, by the constants of B.2.

    Raises InvalidInput where a file is damaged.
    """
    panels: dict[str, Panel] = {}
    for job in sweep.finished:
        if job.run is None or not (path := job.run.folder / "verification.json").exists():
            continue
        verified = read_json(path)
        scale = verified["lambda"]
        for section in verified["sections"]:
            if section["epsilon"] is None:
                continue
            panel = panels.setdefault(section["constants"], Panel(section["epsilon"]))
            for name, row in _named(section["statements"]):
                values = panel.margins.setdefault(name, {})
                values[scale] = worse(margin(row), values.get(scale, math.inf))
                if row["empty"]:
                    panel.empty.add((name, scale))
    return panels


def _named(rows: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The rows under names of their own: a prime marks a second row of a statement. B.2 and what compares two
    runs have no lambda* and are left out."""
    named: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["statement"] == "B.2" or row["two_runs"]:
            continue
        name = row["statement"]
        while name in named:
            name += "′"
        named[name] = row
    return list(named.items())


@styled
def statements(sweep: Sweep) -> Figure | None:
    """One panel per epsilon: the margin of every statement over lambda, and the lambda from which on it holds; None
    unless runs at two lambdas at least were verified."""
    panels = read_panels(sweep)
    scales = sorted({s for panel in panels.values() for row in panel.margins.values() for s in row}, reverse=True)
    if len(scales) < 2:
        return None
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel.margins))
    figure = new_figure(1.5 + 0.2 * len(names))
    norm = TwoSlopeNorm(0.0, -CLIPPED, CLIPPED)
    drawn = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (constants, panel) in zip(drawn, panels.items(), strict=True):
        cells = np.array([[panel.margins.get(name, {}).get(s, math.nan) for s in scales] for name in names])
        image = axes.imshow(np.clip(cells, -CLIPPED, CLIPPED), cmap="PuOr", norm=norm, aspect="auto")
        _mark(axes, cells, [[(name, s) in panel.empty for s in scales] for name in names])
        axes.set_yticks(range(len(names)), names)
        axes.set_xticks(range(len(scales)), [f"${exponent(s)}$" for s in scales], fontsize=6.5)
        axes.set(title=TITLES[constants] % panel.epsilon, xlabel=r"$\log_{10}\lambda$")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        right = axes.secondary_yaxis("right")
        right.set_yticks(
            range(len(names)), [_star(panel.margins.get(name, {}), scales[0]) for name in names], fontsize=7
        )
        right.tick_params(length=0)
        right.spines[:].set_visible(False)
    label = "decades of room (×: violated, ·: the bound says nothing, white: not applicable)\n"
    label += r"at the right: the largest $\lambda$ of these from which on the statement holds"
    figure.colorbar(image, ax=list(drawn), location="bottom", shrink=0.5, aspect=40, label=label, extend="both")
    return figure


def _mark(axes: Any, cells: NDArray[np.float64], empty: Sequence[Sequence[bool]]) -> None:
    for (i, j), cell in np.ndenumerate(cells):
        if cell < 0:
            axes.text(j, i, "×", ha="center", va="center", fontsize=7, color="white" if cell < -1.2 else INK)
        elif empty[i][j]:
            axes.text(j, i, "·", ha="center", va="center", fontsize=9, color="white" if cell > 1.2 else INK)


def _star(margins: dict[float, float], largest: float) -> str:
    found = begins(margins)
    if found == largest:
        return "all"
    return "never" if found is None else f"$10^{{{exponent(found)}}}$"


def exponent(scale: float) -> str:
    """log10 of a lambda, to one decimal."""
    return f"{round(math.log10(scale), 1):g}"
