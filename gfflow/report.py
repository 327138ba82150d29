"""The command line of reports: `python scripts/report.py DIR`, for the folder of a run or of a sweep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gfflow.errors import InvalidInput


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures of a run, or the table, the figures and the TensorBoard run of a sweep, and prints where they
    are. Exit status 2, with one line, for a folder that holds neither."""
    parser = argparse.ArgumentParser(prog="report.py", description="Figures of a run; table and figures of a sweep.")
    parser.add_argument("folder", type=Path, help="the folder of a run (with metrics.csv), or of a sweep of runs")
    parser.add_argument(
        "--scalar", action="append", metavar="NAME", help="a column of metrics.csv to draw over the runs of a sweep"
    )
    parser.add_argument(
        "--final", action="append", metavar="PATH", help="a value of summary.json to draw against the swept keys"
    )
    parser.add_argument(
        "--animation", action="store_true", help="also an animation of a run's training (GIF; MP4 with ffmpeg)"
    )
    asked = parser.parse_args(arguments)
    try:
        paths = _run(asked) if (asked.folder / "metrics.csv").is_file() else _sweep(asked)
    except InvalidInput as error:
        print(f"gfflow: {error}", file=sys.stderr)
        sys.exit(2)
    for path in paths:
        print(path)


def _run(asked: argparse.Namespace) -> list[Path]:
    from gfflow.figures import draw_all  # torch and matplotlib are heavy: not before --help is served
    from gfflow.records import Run

    run = Run.read(asked.folder)
    paths = draw_all(run)
    if asked.animation:
        from gfflow.figures.animation import animate

        paths += animate(run)
    return paths


def _sweep(asked: argparse.Namespace) -> list[Path]:
    from gfflow.reports import FINALS, SCALARS, Sweep, report

    sweep = Sweep.read(asked.folder)
    print(
        f"{len(sweep.finished)} of {len(sweep.jobs)} runs finished; swept: {', '.join(sweep.keys) or 'seeds alone'}"
    )
    for job in sweep.unfinished:
        print(f"  left out: {job.name} ({', '.join(f'{k}={v}' for k, v in job.overrides.items())}): {job.trouble}")
    return report(sweep, asked.scalar or SCALARS, asked.final or FINALS)
