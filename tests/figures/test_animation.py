"""The animation: one GIF of log-spaced pictures; a video where ffmpeg is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gfflow.figures.animation import animate, chosen_frames
from gfflow.records.run import Run


@pytest.mark.parametrize("name", ["points", "teacher", "blobs"])
def test_a_gif_of_the_recorded_frames(
    trained: Callable[[str], Run], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg there
    folder = tmp_path / "run"
    shutil.copytree(trained(name).folder, folder)
    (path,) = animate(Run.read(folder))
    with Image.open(path) as image:
        assert 20 < image.n_frames <= 110
        first = np.asarray(image.convert("RGB")).astype(int)
        image.seek(image.n_frames - 1)
        assert image.info["loop"] == 0
        assert np.abs(np.asarray(image.convert("RGB")) - first).max() > 100  # it moves
    assert path.stat().st_size < 3e6


def test_a_video_is_made_by_ffmpeg(
    trained: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ffmpeg writes the number of bytes it was given to the file it was asked for."""
    fake = tmp_path / "ffmpeg"
    fake.write_text('#!/bin/sh\nfor last; do :; done\n/usr/bin/env wc -c > "$last"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    folder = tmp_path / "run"
    shutil.copytree(trained("points").folder, folder)
    gif, video = animate(Run.read(folder))
    with Image.open(gif) as image:
        width, height = image.size
        pictures = image.n_frames
    size = int(video.read_text())
    assert size % (3 * width * height) == 0
    assert size // (3 * width * height) >= pictures  # a GIF joins equal pictures
    assert width % 2 == height % 2 == 0  # yuv420p needs even sizes


def test_frames_are_log_spaced(trained: Callable[[str], Run]) -> None:
    trajectory = trained("points").trajectory
    assert trajectory is not None
    frames = chosen_frames(trajectory, 10.0)
    assert frames[0] == 0
    assert frames[-1] == len(trajectory.step) - 1
    assert trajectory.step[frames[1]] >= 8  # the recorded frame nearest to 10


def test_without_frames_there_is_none(trained: Callable[[str], Run]) -> None:
    assert animate(trained("bare")) == []
