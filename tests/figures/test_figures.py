"""Every figure on short real runs: what it shows, where it does not apply, and that it needs records alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axis import Axis, Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from gfflow.figures import FIGURES, draw_all, draw_main, early_directions, overview, training_state
from gfflow.figures.events import begins
from gfflow.figures.moments import moments
from gfflow.figures.registry import figure as register
from gfflow.figures.style import (
    BY_SIGN,
    WIDTH,
    iteration_axis,
    lies_flat,
    new_figure,
    number,
    quantity,
    spread,
    styled,
)
from gfflow.records.event_names import OF_GROUPS
from gfflow.records.frames import snapshot, training_set
from gfflow.records.run import Run
from gfflow.theory import solve_early_phase
from gfflow.theory.minimum_norm import installed

Trained = Callable[[str], Run]

# What each kind of run has to show. Everything else must say None, not an empty picture.
WITH_FRAMES = {"overview", "loss", "alignment", "early_directions", "lazy"}
ON_A_LINE = WITH_FRAMES | {"directions", "training"}
APPLIES = {
    "pair": ON_A_LINE | {"timeline", "masses", "saddle"},
    "points": ON_A_LINE | {"masses"},
    "teacher": WITH_FRAMES | {"teacher", "masses", "polar", "explained_variance"},
    "large": ON_A_LINE | {"masses", "saddle"},
    "tiny": ON_A_LINE | {"timeline", "saddle"},
    "dead": ON_A_LINE | {"masses", "saddle"},
    "long": WITH_FRAMES | {"timeline", "masses", "polar", "explained_variance", "margin"},
    "blobs": WITH_FRAMES | {"timeline", "masses", "polar", "explained_variance", "margin", "regions"},
    "bare": {"overview", "loss", "timeline"},
}


@pytest.mark.parametrize("name", APPLIES)
def test_each_figure_applies_where_it_should(trained: Trained, name: str) -> None:
    run = trained(name)
    figures = {key: drawing.draw(run) for key, drawing in FIGURES.items()}
    extra = {"least_norm"} if installed() and "training" in APPLIES[name] else set()  # both need inputs on a line
    assert {key for key, figure in figures.items() if figure is not None} == APPLIES[name] | extra
    assert all(figure is None or isinstance(figure, Figure) for figure in figures.values())


@pytest.mark.parametrize("name", ["pair", "points", "teacher", "blobs", "long"])
def test_every_text_lies_within_its_figure_and_has_its_glyphs(trained: Trained, name: str) -> None:
    for key, drawing in FIGURES.items():
        figure = drawing.draw(trained(name))
        if figure is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a missing glyph, or a layout without room, is a warning
            FigureCanvasAgg(figure).draw()
        width, height = figure.bbox.size
        ticks = figure.findobj(Tick)  # some of them lie outside their axes' limits, and are not drawn
        ignored = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
        for text in figure.findobj(matplotlib.text.Text):
            if text.get_text() and text.get_visible() and id(text) not in ignored:
                box = text.get_window_extent()
                fits = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1  # one dot
                assert fits, f"{key}: {text.get_text()!r} is cut off"
        assert all(apart(axes.xaxis) for axes in figure.axes if axes.name != "polar"), f"{key}: labels overlap"


def apart(axis: Axis) -> bool:
    """Whether no two labels of the ticks of a horizontal axis, once drawn, touch."""
    low, high = sorted(axis.get_view_interval())
    shown = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = sorted(
        (box.x0, box.x1)
        for label in shown
        if label.get_visible() and label.get_text() and (box := label.get_window_extent())
    )
    return all(right < left for (_, right), (left, _) in pairwise(boxes))


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("width", "ticks"), [(WIDTH, 9), (3.3, 4)])  # of a figure, and of half of one
@pytest.mark.parametrize("last", [7, 350, 20000, 283184, 9_500_000, 99_000_000, 10**8, 3.3e9, 8e18, 1e100])
def test_labels_of_iterations_do_not_touch(scale: str, width: float, ticks: int, last: float) -> None:
    figure = new_figure(2.0, width, margins=(0.65, 0.25, 0.5, 0.1))
    axes = figure.subplots()
    axes.set(xscale=scale, xlim=(0 if scale == "linear" else 1, last))
    iteration_axis(axes, 0.002, ticks)
    FigureCanvasAgg(figure).draw()
    assert apart(axes.xaxis)
    assert len([label for label in axes.get_xticklabels() if label.get_text()]) >= 2 or scale == "log"


def test_a_run_is_shown_over_a_logarithm_where_all_of_it_would_crowd_at_the_edge(trained: Trained) -> None:
    step = np.array([0, 1, 100, 200, 9000, 10**6], dtype=float)
    falls = np.array([1.0, 1.0, 0.999, 0.9, 1e-3, 1e-6])
    assert begins(step, falls) == 20.0
    assert begins(step[:5], falls[:5]) is None  # 45 times as long as it takes until the loss falls
    assert begins(step, np.ones(6)) is None and begins(step[:0], step[:0]) is None
    long, pair = trained("long"), trained("pair")
    assert overview(long).axes[0].get_xscale() == "log" and overview(pair).axes[0].get_xscale() == "linear"


def test_the_main_figure_shows_what_was_measured_and_predicted(trained: Trained) -> None:
    run = trained("pair")
    top, bottom = overview(run).axes
    np.testing.assert_array_equal(top.lines[0].get_ydata(), run.metrics["loss"])
    curves = {line.get_label(): line.get_ydata() for line in bottom.lines}
    np.testing.assert_array_equal(curves["$u_+$ measured"], run.metrics["mass/u_plus"])
    np.testing.assert_array_equal(curves["predicted before training"], run.metrics["theory/u_plus"])
    assert run.summary is not None
    np.testing.assert_array_equal(top.lines[1].get_ydata(), run.metrics["theory/loss"])
    vertical = [line.get_xdata() for line in top.lines if len(set(line.get_xdata())) == 1]
    assert {x[0] for x in vertical} == {run.summary["events"][key]["measured_step"] for key in OF_GROUPS}


def test_neurons_are_drawn_by_the_directions_that_they_go_to(trained: Trained) -> None:
    run = trained("points")
    figure = early_directions(run)
    assert figure is not None and run.trajectory is not None
    data = training_set(run.trajectory)
    phase = solve_early_phase(data, snapshot(run.trajectory, data, 0).neurons)
    axes = figure.axes[0]
    lines = [line for line in axes.collections if isinstance(line, LineCollection)]
    assert len(lines) == run.trajectory.w.shape[1]
    wanted = {i: int((phase.index == i).sum()) for i in range(-1, len(phase.rates))}
    colors = [tuple(line.get_colors()[0][:3]) for line in lines]
    assert sorted(colors.count(color) for color in set(colors)) == sorted(count for count in wanted.values() if count)
    written = {text.get_text().split("°")[0].replace("\N{MINUS SIGN}", "-") for text in axes.texts}
    angles = [float(np.degrees(np.arctan2(*v.numpy()[::-1]))) for v in phase.directions]
    assert {f"{angle:.0f}" for angle in angles} <= written
    ends = np.degrees(np.arctan2(run.trajectory.w[1:, :, 1], run.trajectory.w[1:, :, 0]))
    drawn = np.concatenate([np.concatenate(line.get_segments())[:, 1] for line in lines])
    assert set(drawn) <= set(ends.ravel())


def test_stars_stand_at_the_kinks(trained: Trained) -> None:
    run = trained("pair")
    figure = training_state(run, steps=[10000])
    assert figure is not None
    assert run.trajectory is not None
    w, a = run.trajectory.w[-1], run.trajectory.a[-1]
    panel = figure.axes[0]
    stars = np.concatenate([dots.get_offsets() for dots in panel.collections[1:]])
    low, high = panel.get_xlim()
    expected = np.stack([-w[:, 1] / w[:, 0], np.sign(a) * np.linalg.norm(w, axis=1)], axis=1)
    margin = 0.03 * (high - low)
    expected = expected[(expected[:, 0] > low + margin) & (expected[:, 0] < high - margin)]
    assert len(stars) == len(expected) > 10
    np.testing.assert_allclose(stars[np.lexsort(stars.T)], expected[np.lexsort(expected.T)], rtol=1e-12)


@pytest.mark.parametrize("name", ["pair", "points", "teacher"])
def test_moments_begin_and_end_the_run_in_order(trained: Trained, name: str) -> None:
    run = trained(name)
    assert run.trajectory is not None
    frames = [moment.frame for moment in moments(run, run.trajectory)]
    assert frames[0] == 0
    assert frames[-1] == len(run.trajectory.step) - 1
    assert frames == sorted(set(frames))
    assert 3 <= len(frames) <= 8


def test_files_are_written_and_global_style_is_left_alone(trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained("bare").folder, folder)
    before = dict(matplotlib.rcParams)
    written = draw_all(Run.read(folder))
    assert dict(matplotlib.rcParams) == before
    expected = {folder / "figures" / f"{key}.{kind}" for key in APPLIES["bare"] for kind in ("png", "pdf")}
    assert set(written) == expected
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"%PDF") if path.suffix == ".pdf" else Image.open(path).size[0] > 1000
    main = {"overview", "training", "loss", "timeline"}
    assert {path.stem for path in draw_main(Run.read(folder))} == main & APPLIES["bare"]


def test_drawing_needs_no_model_and_no_pyplot(trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained("bare").folder, folder)
    forbidden = [
        "lightning",
        "gfflow.training.module",
        "gfflow.model.network",
        "gfflow.solvers",
        "gfflow.run",
        "matplotlib.pyplot",
    ]
    program = (
        "import sys; import gfflow.figures.animation; from gfflow.figures import draw_main\n"
        f"from gfflow.records.run import Run; draw_main(Run.read({str(folder)!r}))\n"
        f"found = [name for name in {forbidden} if name in sys.modules]\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_labels_are_spread_within_their_range() -> None:
    generator = np.random.default_rng(0)
    for count in range(1, 8):
        places = np.sort(generator.random(count))
        moved = spread(places, 0.1, 0.0, 1.0)
        assert (np.diff(moved) >= 0.1 - 1e-12).all()
        assert moved.min() >= 0
        assert moved.max() <= 1
        apart = np.arange(count) * 0.12
        np.testing.assert_array_equal(spread(apart, 0.1, 0.0, 1.0), apart)


def test_quantities_are_readable() -> None:
    assert quantity(0.16) == "0.16"
    assert quantity(2.1e-4) == r"$2.1\times10^{-4}$"
    assert quantity(19695.06) == r"$2.0\times10^{4}$"
    assert number(14813) == "14\N{THIN SPACE}813" and number(99_999_999).count("9") == 8
    assert (number(1e8), number(1.5e18), number(8.25e18)) == (
        "$10^{8}$",
        *(rf"${x}\times10^{{18}}$" for x in (1.5, 8.25)),
    )


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((79, 130), ["80", "90", "100"]),
        ((0.02, 0.06), ["0.02", "0.03", "0.04", "0.06"]),
        ((2, 150), ["10", "100"]),
        ((1, 1e4), [rf"$\mathdefault{{10^{{{k}}}}}$" for k in range(5)]),
        ((1.5e-9, 6.5e-9), [rf"$\mathdefault{{{k}\times10^{{-9}}}}$" for k in (2, 3, 4, 6)]),
    ],
)
def test_a_logarithmic_axis_of_less_than_two_decades_has_plain_numbers(limits, expected) -> None:
    @styled
    def draw() -> Figure:
        figure = new_figure(2.6)
        figure.subplots().set(yscale="log", ylim=limits)
        return figure

    (axes,) = draw().axes
    axis = axes.yaxis
    labelled = [
        (place, label)
        for where, which in ((axis.get_majorticklocs(), axis.major), (axis.get_minorticklocs(), axis.minor))
        for place, label in zip(where, which.formatter.format_ticks(where), strict=True)
        if label and limits[0] <= place <= limits[1]
    ]
    assert [label for _, label in sorted(labelled)] == expected


def test_directions_in_space_have_the_colours_of_their_signs(trained: Trained) -> None:
    """Blue and its family for a_j > 0, orange and its family for a_j < 0, as everywhere."""
    run = trained("teacher")
    figure = early_directions(run)
    assert figure is not None and run.trajectory is not None
    data = training_set(run.trajectory)
    phase = solve_early_phase(data, snapshot(run.trajectory, data, 0).neurons)
    lines = figure.axes[0].lines[: len(phase.rates)]
    assert {int(sign) for sign in phase.signs} == {1, -1}
    for line, sign in zip(lines, phase.signs, strict=True):
        look = BY_SIGN[int(sign)]
        assert line.get_color() in look.family and line.is_dashed() == (look.line != "-")


def test_figures_are_registered_once() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register("loss", "every run")(overview)
    assert FIGURES["loss"].draw is not overview


def test_a_curve_lies_flat_where_it_is_but_a_fall_at_the_edge() -> None:
    step = np.array([0, 1, 10, 100, 1000, 10000], dtype=float)
    assert lies_flat(step, np.exp(-step / 20))
    assert not lies_flat(step, np.exp(-step / 2000))  # 1% of its top at 9210
    assert not lies_flat(step, np.where(step < 5000, 1.0, 1e-9)[::-1])
    assert not lies_flat(step, np.exp(-step / 2000), first=1.0) and lies_flat(step, np.exp(-step), first=1.0)
    assert not lies_flat(step, np.zeros(6)) and not lies_flat(step[:1], np.ones(1))
