"""The benchmark's table, CSV and figure."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gfflow.benchmark.grid import Line
from gfflow.benchmark.timing import Timing, spread
from gfflow.records.files import whole_file


def print_timings(console: Console, timings: Sequence[Timing]) -> None:
    """Microseconds per step and the ratio to the plain loop: medians, with quartiles."""
    table = Table(title="Full-batch steps, float64: median (quartiles)")
    for name in ("data", "solver", "us per step", "times faster than the plain loop"):
        table.add_column(name, justify="left" if name in ("data", "solver") else "right")
    for timing in timings:
        low, high = (1e6 * value for value in spread(timing.seconds))
        least, most = spread(timing.ratios)
        table.add_row(
            timing.case,
            timing.contestant,
            f"{1e6 * timing.median:.3g} ({low:.3g} to {high:.3g})",
            f"{timing.ratio:,.4g} ({least:,.4g} to {most:,.4g})",
        )
    console.print(table)


def print_lines(console: Console, lines: Sequence[Line]) -> None:
    """How the cost grows along the grid."""
    table = Table(title="Cost of a step ~ size^p, over the three largest sizes")
    for name in ("axis", "sizes", "p plain", "p fused", "fused, us per step", "forms"):
        table.add_column(name)
    for line in lines:
        plain, fused = line.exponents
        table.add_row(
            line.axis,
            " ".join(str(size) for size in line.sizes),
            f"{plain:.2f}",
            f"{fused:.2f}",
            " ".join(f"{1e6 * pair[1].median:.3g}" for pair in line.timings),
            " ".join(line.forms),
        )
    console.print(table)


def print_processes(console: Console, rows: Sequence[tuple[str, float, str]]) -> None:
    """Whole processes: what, its value, and what to hold it against."""
    table = Table(title="Whole processes")
    for name in ("what", "value", "against"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for what, value, against in rows:
        table.add_row(what, f"{value:,.4g}", against)
    console.print(table)


def write_csv(
    path: Path, timings: Sequence[Timing], lines: Sequence[Line], rows: Sequence[tuple[str, float, str]]
) -> None:
    """Everything in one table: kind, case, what, value, and the repetitions' quartiles where there are any."""
    everything = [*timings, *(timing for line in lines for pair in line.timings for timing in pair)]
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "case", "solver", "value", "low", "high", "ratio", "ratio_low", "ratio_high"])
        for t in everything:
            seconds = [1e6 * value for value in (t.median, *spread(t.seconds))]
            writer.writerow(["us_per_step", t.case, t.contestant, *seconds, t.ratio, *spread(t.ratios)])
        for line in lines:
            for contestant, exponent in zip(("plain loop", "fused"), line.exponents, strict=True):
                writer.writerow(["exponent", line.axis, contestant, exponent, "", "", "", "", ""])
        for what, value, _ in rows:
            writer.writerow(["process", what, "", value, "", "", "", "", ""])


def draw(path: Path, lines: Sequence[Line]) -> None:
    """Microseconds per step against size, log-log, one panel per line of the grid."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(lines), 3.2), layout="constrained")
    for axes, line in zip(figure.subplots(1, len(lines), sharey=True, squeeze=False)[0], lines, strict=True):
        for i, (label, exponent) in enumerate(zip(("plain loop", "fused"), line.exponents, strict=True)):
            values = [1e6 * pair[i].median for pair in line.timings]
            errors = [[1e6 * bound for bound in spread(pair[i].seconds)] for pair in line.timings]
            below = [value - error[0] for value, error in zip(values, errors, strict=True)]
            above = [error[1] - value for value, error in zip(values, errors, strict=True)]
            axes.errorbar(
                line.sizes, values, yerr=[below, above], marker="o", ms=4, label=f"{label}, p = {exponent:.2f}"
            )
        axes.set(xscale="log", yscale="log", xlabel=line.axis)
        axes.legend(fontsize=8)
    figure.axes[0].set_ylabel("microseconds per step")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
