"""The command line of reports: `gfflow-report DIR`, for the folder of a run or of a sweep."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gfflow.commands.failures import of_reading
from gfflow.commands.streams import prepare
from gfflow.commands.words import command_of, with_version
from gfflow.threads import at_most, threads_for

if TYPE_CHECKING:
    from gfflow.records.run import Run


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures of a run, or the table, the figures and the TensorBoard run of a sweep, and prints where they
    are. Exit status 2, with one line, for a folder that holds neither."""
    prepare()
    parser = argparse.ArgumentParser(
        prog=command_of("report"), description="Figures of a finished run; table and figures of a sweep."
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="the folder of a run (with metrics.csv), or of a sweep of runs"
    )
    parser.add_argument(
        "--animation", action="store_true", help="of a run: also an animation of training (GIF; MP4 with ffmpeg)"
    )
    parser.add_argument(
        "--scalar", action="append", metavar="NAME", help="of a sweep: a column of metrics.csv to draw (repeatable)"
    )
    parser.add_argument(
        "--final", action="append", metavar="PATH",
        help="of a sweep: a value of summary.json, as a dotted path, to draw against the swept keys (repeatable)",
    )  # fmt: skip
    with_version(parser)
    chosen = parser.parse_args(arguments)
    with of_reading():
        alone = (chosen.folder / "metrics.csv").is_file()
        if alone:
            paths = report_run(chosen.folder, chosen.animation)
        else:
            paths = report_sweep(chosen.folder, chosen.scalar, chosen.final)
        for path in paths:
            print(path)


def report_run(folder: Path, animation: bool = False) -> list[Path]:
    """Draws every figure of the run, and the animation where asked, and finds the saddles that it passed; returns the
    files."""
    from gfflow.records.run import Run

    run = Run.read(folder)
    with at_most(threads_of(run)):
        return _report_run(run, animation)


def _report_run(run: Run, animation: bool) -> list[Path]:
    from gfflow.figures import draw_all  # torch and matplotlib are heavy: not before --help is served
    from gfflow.records.passages import write_saddles
    from gfflow.theory.minimum_norm import installed

    theory = run.section("theory")
    if not (installed() or theory.get("orthogonal")):  # where inputs are orthogonal it is known in closed form
        print("without the function of least norm, which needs an extra: pip install -e '.[convex]'")
    paths = [*draw_all(run), *write_saddles(run)]
    if animation:
        from gfflow.figures.animation import animate

        paths += animate(run)
    return paths


def threads_of(run: Run) -> int:
    """How many threads gain from the run's products; 1 where it recorded no frames to compute with."""
    frames = run.trajectory
    if frames is None:
        return 1
    n, d = frames.x.shape
    return threads_for(n, d, frames.a.shape[1])


def report_sweep(
    folder: Path, scalars: Sequence[str] | None = None, values: Sequence[str] | None = None
) -> list[Path]:
    """Says which runs are there and which are not; writes the sweep's table, figures and TensorBoard run; returns the
    paths."""
    from gfflow.reports import FINALS, SCALARS, Sweep, report

    sweep = Sweep.read(folder)
    swept = ", ".join(sweep.keys) or "seeds alone"
    print(f"{len(sweep.finished)} of {len(sweep.jobs)} runs finished; swept: {swept}")
    for job in sweep.unfinished:
        overrides = " ".join(f"{key}={value}" for key, value in job.overrides.items())
        print(f"  left out: {job.name} ({overrides}): {job.trouble}")
    with at_most(1):  # curves of a few hundred numbers
        return report(sweep, scalars or SCALARS, values or FINALS)
