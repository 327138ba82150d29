"""Many runs: one table of them, and figures over seeds and swept keys, from their records alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from gfflow.errors import InvalidInput
from gfflow.figures.style import save
from gfflow.reports.assumption import assumption
from gfflow.reports.curves import curves
from gfflow.reports.events import write_events
from gfflow.reports.finals import finals
from gfflow.reports.heatmap import heatmap
from gfflow.reports.jobs import Sweep, write_table
from gfflow.reports.labels import numeric_keys
from gfflow.reports.phase_diagram import phase_diagram
from gfflow.reports.simplicity import simplicity
from gfflow.reports.staircase import staircases
from gfflow.reports.statements import statements
from gfflow.reports.threshold import threshold

SCALARS = ("loss", "test/loss", "mass/u_plus", "mass/u_minus", "saddle/distance")
FINALS = (
    "saddle.distance_min", "final.limit_distance", "final.norm_gap", "final.loss", "final.test_loss",
    "flow.distance_max", "flow.distance_final",
)  # fmt: skip


def report(sweep: Sweep, scalars: Sequence[str] = SCALARS, values: Sequence[str] = FINALS) -> list[Path]:
    """Writes the table, the figures and the TensorBoard run of a sweep into its folder; returns their paths.

    A scalar (of metrics.csv) or final value (a dotted path of summary.json) that no run has gives no figure; one
    that is neither a default nor in any run raises InvalidInput.
    """
    _check("--scalar", scalars, SCALARS, {name for job in sweep.finished if job.run for name in job.run.metrics})
    _check("--final", values, FINALS, {path for job in sweep.finished for path in job.summary})
    paths = write_table(sweep.table(), sweep.folder)
    if not sweep.finished:
        return paths
    figures = [path for name, figure in _figures(sweep, scalars, values) for path in _save(figure, sweep, name)]
    events = write_events(sweep, scalars, [path for path in figures if path.suffix == ".png"])
    return [*paths, *figures, events]


def _figures(sweep: Sweep, scalars: Sequence[str], values: Sequence[str]) -> Iterator[tuple[str, Figure | None]]:
    for scalar in scalars:
        yield f"curves_{scalar}", curves(sweep, scalar)
    for key in numeric_keys(sweep):
        yield f"finals_{key}", finals(sweep, key, values)
    for value in values:
        yield f"heatmap_{value}", heatmap(sweep, value)
    yield "assumption", assumption(sweep)
    yield "simplicity", simplicity(sweep)
    yield "staircases", staircases(sweep)
    yield "threshold", threshold(sweep)
    yield "phase_diagram", phase_diagram(sweep)
    yield "statements", statements(sweep)


def _save(figure: Figure | None, sweep: Sweep, name: str) -> list[Path]:
    if figure is None:
        return []
    return save(figure, sweep.folder / "figures", name.replace("/", "_").replace(".", "_"))


def _check(key: str, asked: Sequence[str], defaults: Sequence[str], known: set[str]) -> None:
    for name in asked:
        if known and name not in known and name not in defaults:
            raise InvalidInput(key, name, f"one of {', '.join(sorted(known))}")


__all__ = ["FINALS", "SCALARS", "Sweep", "report"]
