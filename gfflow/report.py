"""The command `report.py RUN_DIR`: draws everything there is to see of finished runs, from their records alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gfflow.errors import InvalidInput


def report(folder: Path, animation: bool = False) -> list[Path]:
    """Draws every figure, and the animation where asked, of each run at or under the folder; returns the files."""
    from gfflow.figures import draw_all  # torch and matplotlib are heavy: not before --help is served
    from gfflow.records import Run, find_runs

    paths: list[Path] = []
    for run in find_runs(folder):
        paths += draw_all(Run.read(run))
        if animation:
            from gfflow.figures.animation import animate

            paths += animate(run)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exit status 2 for a folder that cannot be read (one line)."""
    parser = argparse.ArgumentParser(description="Draws the figures of a finished run, or of every run of a sweep.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run's folder, or one with runs in it")
    parser.add_argument(
        "--animation", action="store_true", help="also an animation of training (GIF; MP4 with ffmpeg)"
    )
    chosen = parser.parse_args(arguments)
    try:
        for path in report(chosen.folder, chosen.animation):
            print(path)
    except InvalidInput as error:
        print(f"gfflow: {error}", file=sys.stderr)
        sys.exit(2)
