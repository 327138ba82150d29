"""An animation of training: the state on the left, loss and masses with a moving time on the right."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gfflow.figures.overview import draw_masses
from gfflow.figures.polar import draw_polar, final_plane, prepare_polar
from gfflow.figures.regions import classified_in_the_plane, draw_regions, prepare_regions
from gfflow.figures.style import INK, iteration_axis, number, styled
from gfflow.figures.training import along, draw_state, heights
from gfflow.records.files import whole_file
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run, Trajectory

SIZE = 7.2, 3.4  # inches at 100 dots each; even numbers of pixels, as video wants them
BEFORE = 100  # the time axis begins at this fraction of the iteration at which the loss first falls by 5%
PICTURES = 110  # at most
MILLISECONDS = 70  # for each picture

Pixels = NDArray[np.uint8]
Painter = Callable[[Axes, int], None]  # draws one recorded frame into prepared axes


def animate(run: Run) -> list[Path]:
    """Writes training.gif into the run's figures/, and training.mp4 where ffmpeg is on the PATH; returns the paths.

    Pictures are log-spaced in time. Empty where no frames were recorded, or where the inputs are in the plane
    without being on a line or classified.
    """
    pictures = draw_pictures(run)
    if not pictures:
        return []
    (run.folder / "figures").mkdir(exist_ok=True)
    paths = [_write_gif(pictures, run.folder / "figures" / "training.gif")]
    if (ffmpeg := shutil.which("ffmpeg")) is not None:
        paths.append(_write_mp4(pictures, run.folder / "figures" / "training.mp4", ffmpeg))
    return paths


@styled
def draw_pictures(run: Run) -> list[Pixels]:
    """The pictures, each (height, width, 3) of bytes; none where there is no state to show."""
    trajectory = run.trajectory
    if trajectory is None or len(trajectory.step) < 2:
        return []
    figure = Figure(figsize=SIZE, dpi=100)
    canvas = FigureCanvasAgg(figure)
    prepared = _prepare_state(figure, trajectory)
    if prepared is None:
        return []
    state, paint = prepared
    times = _prepare_times(figure, run)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)  # drawn once: only what moves is drawn for each picture
    first, pictures = times[0].get_xlim()[0], []
    for frame in chosen_frames(trajectory, first):
        canvas.restore_region(background)
        step = float(trajectory.step[frame])
        before = {axes: set(axes.get_children()) for axes in figure.axes}
        paint(state, frame)
        for axes in times:
            axes.axvline(max(step, first), color=INK, linewidth=0.8)
        moving: list[Artist] = [artist for axes in figure.axes for artist in set(axes.get_children()) - before[axes]]
        moving.append(figure.text(0.04, 0.95, f"iteration {number(step)}", fontsize=10, va="center"))
        for artist in sorted(moving, key=lambda artist: artist.get_zorder()):
            figure.draw_artist(artist)
            artist.remove()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return pictures


def chosen_frames(trajectory: Trajectory, first: float) -> list[int]:
    """The start, and the recorded frames nearest to log-spaced iterations from `first` on."""
    goals = np.geomspace(first, float(trajectory.step[-1]), PICTURES - 1)
    return sorted({0, *(trajectory.nearest(goal) for goal in goals)})


def _prepare_state(figure: Figure, trajectory: Trajectory) -> tuple[Axes, Painter] | None:
    """The axes of the state with everything that stands still, and what draws a frame into them."""
    data, place = training_set(trajectory), (0.085, 0.14, 0.39, 0.74)
    if data.one_dimensional:
        shots = [snapshot(trajectory, data, frame) for frame in range(len(trajectory.step))]
        line = along(shots[0])
        state = figure.add_axes(place)
        state.set(xlim=(float(line[0]), float(line[-1])), ylim=heights(shots, line))
        state.set(xlabel="input $x$, kink of neuron $j$", ylabel="$h(x)$,  $s_j\\Vert w_j\\Vert$")
        return state, lambda axes, frame: draw_state(axes, shots[frame], line)
    if classified_in_the_plane(data):
        shots = [snapshot(trajectory, data, frame) for frame in range(len(trajectory.step))]
        state = figure.add_axes(place)
        prepare_regions(state, data)
        return state, lambda axes, frame: draw_regions(axes, shots[frame])
    if data.d > 2 and trajectory.w.shape[1] > 1:
        plane, largest = final_plane(trajectory)
        state = figure.add_axes(place, projection="polar")
        prepare_polar(state, largest)
        return state, lambda axes, frame: draw_polar(axes, snapshot(trajectory, data, frame).neurons, plane)
    return None


def _prepare_times(figure: Figure, run: Run) -> tuple[Axes, Axes]:
    """Loss and masses over one logarithmic axis of iterations."""
    step, loss = run.column("loss")
    last = max(float(step[-1]), 10.0)
    falls = float(step[np.argmax(loss < 0.95 * loss[0])]) or last  # 0, the start, where it never falls
    first = max(1.0, min(falls / BEFORE, last / 10))
    above = figure.add_axes((0.58, 0.59, 0.4, 0.33))
    below = figure.add_axes((0.58, 0.14, 0.4, 0.33), sharex=above)
    above.plot(step, loss, color=INK)
    above.set(xscale="log", xlim=(first, last), ylim=(0, None), ylabel="loss $L$")
    above.tick_params(labelbottom=False)
    draw_masses(below, run, fontsize=7, columnspacing=1.0, handlelength=1.6)
    iteration_axis(below, None)
    return above, below


def _write_gif(pictures: list[Pixels], path: Path) -> Path:
    images = [Image.fromarray(picture) for picture in pictures]
    palette = images[-1].quantize(64)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    waits = [MILLISECONDS] * (len(images) - 1) + [2500]  # the last picture is shown longer
    with whole_file(path) as temporary:
        images[0].save(temporary, save_all=True, append_images=images[1:], duration=waits, loop=0, optimize=True)
    return path


def _write_mp4(pictures: list[Pixels], path: Path, ffmpeg: str) -> Path:
    height, width, _ = pictures[0].shape
    rate = f"{1000 / MILLISECONDS:.3f}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    command = [ffmpeg, "-loglevel", "error", "-y", *source, "-pix_fmt", "yuv420p"]
    with whole_file(path) as temporary:
        subprocess.run(
            [*command, str(temporary)], input=b"".join(picture.tobytes() for picture in pictures), check=True
        )
    return path
