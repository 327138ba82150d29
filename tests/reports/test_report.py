"""The report on a sweep as a whole: figures, TensorBoard and the command."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gfflow.commands.report import main
from gfflow.reports import Sweep, report
from gfflow.reports.bands import band
from gfflow.reports.curves import curves, settles
from gfflow.reports.finals import finals, pairs, power_law, with_error
from gfflow.reports.heatmap import heatmap
from gfflow.reports.simplicity import simplicity

from .conftest import D_MINUS, D_PLUS

SCALES = ("1e-4", "1e-8", "1e-16")


@pytest.fixture
def sweep(write_job, tmp_path: Path) -> Sweep:
    """Three scales, three seeds; the final loss is 5 scale^0.4, up to the seed."""
    number = 0
    for scale in SCALES:
        for seed in range(3):
            final = {"loss": 5 * float(scale) ** 0.4 * (1 + 0.01 * seed)}
            write_job(number, {"init.scale": scale, "seed": str(seed)}, float(scale), final)
            number += 1
    return Sweep.read(tmp_path / "sweep")


def texts(figure: Figure) -> str:
    return " ".join(artist.get_text() for axes in figure.axes for artist in axes.texts)


def test_curves_collapse_on_the_rescaled_clock(sweep: Sweep) -> None:
    """Each curve passes half its limit at t = (-ln lambda + ln(1/2) / 2) / D: on the clock at 1/D, up to
    ln(2) / (2 D (-ln lambda)), while over the iterations the three lie a factor of four apart."""
    figure = curves(sweep, "mass/u_plus")
    assert figure is not None
    left, right = figure.axes
    halves = []
    for axes in (left, right):
        lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert len(lines) == len(SCALES)
        halves.append([np.interp(0.25, line.get_ydata(), line.get_xdata()) for line in lines])
    assert max(halves[0]) / min(halves[0]) > 3.5
    logs = [-np.log(float(scale)) for scale in reversed(SCALES)]
    expected = [(1 + np.log(0.5) / (2 * log)) / D_PLUS for log in logs]
    np.testing.assert_allclose(halves[1], expected, rtol=1e-3)  # interpolated between points 0.1 apart in time
    marks = sorted(line.get_xdata()[0] for line in right.lines if len(line.get_xdata()) == 2)
    np.testing.assert_allclose(marks, [1 / D_PLUS, 1 / D_MINUS], rtol=1e-14)
    assert "D_{+}" in texts(figure) and "D_{-}" in texts(figure)


def test_masses_that_end_far_apart_share_a_logarithmic_axis(write_job, tmp_path: Path) -> None:
    for number, factor in enumerate((1, 200)):
        folder = write_job(number, {"network.width": str(4 + number)})
        lines = (folder / "metrics.csv").read_text().splitlines()
        rows = [line.split(",") for line in lines[1:]]
        scaled = [",".join([*row[:3], repr(factor * float(row[3])), row[4]]) for row in rows]
        (folder / "metrics.csv").write_text("\n".join([lines[0], *scaled]) + "\n")
    figure = curves(Sweep.read(tmp_path / "sweep"), "mass/u_plus")
    assert figure is not None
    for axes in figure.axes:
        assert axes.get_yscale() == "log"
        np.testing.assert_allclose(axes.get_ylim(), [0.5 / 100, 2 * 100], rtol=1e-6)  # limits 0.5 and 100


def test_each_value_of_a_second_key_has_a_row_of_panels(write_job, tmp_path: Path) -> None:
    number = 0
    for width in ("4", "8"):
        for scale in SCALES:
            for seed in range(1 + (width == "8")):
                write_job(number, {"network.width": width, "init.scale": scale, "seed": str(seed)}, float(scale))
                number += 1
    figure = curves(Sweep.read(tmp_path / "sweep"), "mass/u_plus")
    assert figure is not None and len(figure.axes) == 4
    assert [axes.get_title() for axes in figure.axes[::2]] == ["$m$ 4", "$m$ 8"]
    for axes in figure.axes[1::2]:
        marks = sorted(line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2)
        np.testing.assert_allclose(marks, [1 / D_PLUS, 1 / D_MINUS], rtol=1e-14)
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "scale"
    assert [text.get_text() for text in legend.get_texts()] == [
        f"$10^{{{power}}}$ (1 to 2 runs)" for power in (-16, -8, -4)
    ]


def test_runs_that_were_not_one_sweep_have_room_for_their_names(write_job, tmp_path: Path, recwarn) -> None:
    """Thirteen runs that differ in eight keys, one of them over very many more iterations than the others."""
    for i in range(13):
        given = {"data": f"a_training_set_with_a_long_name_{i}", "init": "unbalanced", "solver": "flow"}
        given |= {"network.activation": "leaky_relu", "network.slope": f"0.{i + 1}", "network.width": str(10 + i)}
        steps = np.geomspace(1e-2, 1e9, 60) * 4000 if i == 5 else None
        write_job(i, {**dict(list(given.items())[: 1 + i % 7]), "init.scale": f"1e-{i % 4 + 1}"}, steps=steps)
    sweep = Sweep.read(tmp_path / "sweep")
    drawn = [curves(sweep, "loss"), finals(sweep, "init.scale", ["final.loss"])]
    assert drawn[0] is not None and drawn[0].axes[0].get_xscale() == "log"
    for figure in (each for each in drawn if each is not None):
        figure.savefig(tmp_path / "drawn.png")
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not [str(warning.message) for warning in recwarn if "constrained_layout" in str(warning.message)]


def rewritten(folder: Path, column: int, value: float) -> None:
    """Gives a column of the job's metrics.csv this value, times 1 + 1e-9 of the time."""
    names, *rows = (folder / "metrics.csv").read_text().splitlines()
    cells = [row.split(",") for row in rows]
    for row in cells:
        row[column] = repr(value * (1 + 1e-9 * float(row[1])))
    (folder / "metrics.csv").write_text("\n".join([names, *map(",".join, cells)]) + "\n")


def test_texts_and_curves_keep_clear_of_each_other_and_of_the_edge(write_job, tmp_path: Path) -> None:
    """A title and the axis' power of ten, the legend and the data, a curve that does not move and the frame."""
    for number, width in enumerate(("4", "2000")):
        for i, scale in enumerate(SCALES):
            structure = {"structure": {"kinks": [0.0] * 18 * i}, "theory": {"orthogonal": False, "lambda": 1e-3}}
            folder = write_job(3 * number + i, {"network.width": width, "init.scale": scale})
            known = json.loads((folder / "summary.json").read_text())
            known["final"]["half_norm_squared"] = 10.0**i
            (folder / "summary.json").write_text(json.dumps(known | structure))
            rewritten(folder, 3, 1.3e-12)
    sweep = Sweep.read(tmp_path / "sweep")
    flat, simple = curves(sweep, "mass/u_plus"), simplicity(sweep)
    assert flat is not None and simple is not None
    for figure in (flat, simple):
        figure.savefig(tmp_path / "drawn.png")
    assert [axes.get_title() for axes in flat.axes[::2]] == ["$m$ 4", "$m$ 2000"]
    for axes in flat.axes[::2]:
        power = axes.yaxis.get_offset_text()
        assert power.get_text() and not power.get_window_extent().overlaps(axes.title.get_window_extent())
        assert axes.get_ylim()[1] > 1.04 * 1.3e-12
    (legend,) = simple.legends
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in simple.axes)


def test_a_curve_settles_where_it_comes_near_its_last_value() -> None:
    x = np.arange(101.0)
    assert settles(x, np.where(x < 10, 5.0, 1.0)) == 9
    assert settles(x, 2 + np.exp2(-x)) == 6  # 2^-6 is more than a hundredth, 2^-7 less
    assert settles(x, np.ones(101)) == 0
    assert settles(x, x) == 98


def test_final_values_show_the_slope(sweep: Sweep) -> None:
    x, y = pairs(sweep.finished, "init.scale", "final.loss")
    assert len(x) == len(y) == 9
    figure = finals(sweep, "init.scale", ["final.loss", "final.norm_gap"])
    assert figure is not None
    (panel,) = figure.axes  # no run has a norm gap
    assert panel.get_title().startswith("slope $0.400")
    assert finals(sweep, "init.scale", ["final.norm_gap"]) is None


def test_a_slope_and_its_error_are_mathematics() -> None:
    assert with_error(0.3914, 0.0042) == r"0.391 \pm 0.004"
    assert with_error(1.00008, 4e-5) == r"1.0001 \pm 4\times10^{-5}"
    assert with_error(1.6, 0.23) == r"1.6 \pm 0.2"


def test_norm_gaps_at_rounding_are_shown_but_not_fitted(write_job, tmp_path: Path) -> None:
    """The gap is 3 scale^2 down to 3e-10, then rounding: of either sign, and exactly 0."""
    gaps = {"1e-2": 3e-4, "1e-3": 3e-6, "1e-4": 3e-8, "1e-5": 3e-10, "1e-8": -2e-15, "1e-9": 0.0}
    for number, (scale, gap) in enumerate(gaps.items()):
        write_job(number, {"init.scale": scale}, float(scale), {"norm_gap": gap})
    figure = finals(Sweep.read(tmp_path / "sweep"), "init.scale", ["final.norm_gap"])
    assert figure is not None
    (panel,) = figure.axes
    assert panel.get_yscale() == "log" and panel.get_title().startswith("slope $2.0000 ")
    assert len(panel.lines[0].get_xdata()) == 6 and "rounding" in texts(figure)
    assert min(panel.lines[-1].get_xdata()) == 1e-5


def test_what_is_rounding_or_no_power_gets_no_line(write_job, tmp_path: Path) -> None:
    """A loss at rounding, whose scatter has a slope of its own; a distance that falls to a floor set by the step."""
    for number in range(6):
        scale = 10.0 ** -(number + 1)
        final = {"loss": 1e-28 * 3**number, "limit_distance": scale + 2e-4}
        write_job(number, {"init.scale": repr(scale)}, scale, final)
    figure = finals(Sweep.read(tmp_path / "sweep"), "init.scale", ["final.loss", "final.limit_distance"])
    assert figure is not None
    for panel in figure.axes:
        assert panel.get_yscale() == "log" and len(panel.lines) == 2  # runs and means
    assert [panel.get_title() for panel in figure.axes] == ["", "no power law"]
    assert texts(figure) == "rounding"


def test_a_power_law_needs_three_levels_above_rounding_and_a_straight_line() -> None:
    x = np.repeat([1e-3, 1e-2, 1e-1], 2)
    law = power_law(x, 7 * x**1.5)
    assert law is not None and law.slope == pytest.approx(1.5, abs=1e-12)
    assert power_law(x[:4], x[:4]) is None
    assert power_law(x, x, rounding=5e-3) is None
    assert power_law(x, np.array([1e-3, 1e-1, 1e-2, 1e-3, 1e-1, 1e-2])) is None


def test_each_value_of_another_swept_key_has_its_own_law(write_job, tmp_path: Path) -> None:
    cases = [(width, scale) for width in (4, 8) for scale in (1e-1, 1e-3, 1e-5)]
    for number, (width, scale) in enumerate(cases):
        final = {"loss": scale ** (width / 8)}
        write_job(number, {"network.width": str(width), "init.scale": repr(scale)}, scale, final)
    figure = finals(Sweep.read(tmp_path / "sweep"), "init.scale", ["final.loss"])
    assert figure is not None
    assert re.findall(r"\d\.\d+ ", figure.axes[0].get_title()) == ["0.5000 ", "1.0000 "]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["$m$ 4", "$m$ 8"]


def test_an_axis_over_hundreds_of_decades_has_ticks_to_read(write_job, tmp_path: Path) -> None:
    for number, scale in enumerate(("1e-300", "1e-100", "1e-2")):
        write_job(number, {"init.scale": scale}, final={"loss": 0.5})
    figure = finals(Sweep.read(tmp_path / "sweep"), "init.scale", ["final.loss"])
    assert figure is not None
    ticks = np.log10(figure.axes[0].get_xticks())
    np.testing.assert_allclose(ticks % 50, 0, atol=1e-9)
    assert 4 <= len(ticks) <= 8


def test_heat_map_shows_means_over_seeds_and_leaves_holes_white(write_job, tmp_path: Path) -> None:
    jobs = [(w, s, seed) for w in (8, 4) for s in ("1e-2", "1", "1e-1") for seed in (0, 1) if (w, s) != (4, "1")]
    for number, (width, scale, seed) in enumerate(jobs):
        value = width * float(scale) + seed  # mean over seeds: width * scale + 1/2
        overrides = {"network.width": str(width), "init.scale": scale, "seed": str(seed)}
        write_job(number, overrides, final={"loss": value})
    figure = heatmap(Sweep.read(tmp_path / "sweep"), "final.loss")
    assert figure is not None
    cells = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)  # rows: widths 4, 8; columns: scales
    np.testing.assert_allclose(
        cells, np.outer([4, 8], [0.01, 0.1, 1]) + 0.5 + [[0, 0, np.nan], [0, 0, 0]], rtol=1e-14
    )


def test_all_words_of_a_heat_map_of_few_cells_lie_within_it(write_job, tmp_path: Path) -> None:
    for number in range(4):
        overrides = {"network.width": str(4 + number % 2), "init.gamma": str(number // 2)}
        write_job(number, overrides, final={"limit_distance": 10.0 ** -(2 * number)})
    figure = heatmap(Sweep.read(tmp_path / "sweep"), "final.limit_distance")
    assert figure is not None
    figure.draw_without_rendering()
    words = [*figure.texts, figure._suptitle, *figure.axes[0].texts, *figure.axes[0].get_yticklabels()]
    for text in words:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
    assert figure.axes[0].texts[-1].get_text() == r"$1.0\times10^{-6}$"


def test_one_swept_key_gives_no_heat_map(sweep: Sweep) -> None:
    assert heatmap(sweep, "final.loss") is None


def test_tensorboard_has_mean_and_band_of_every_group(sweep: Sweep) -> None:
    for _ in range(2):  # a second report replaces the first
        report(sweep, ["mass/u_plus"], ["final.loss"])
    for group, name in zip(sweep.groups, ("1e-16", "1e-08", "0.0001"), strict=True):
        (file,) = (sweep.folder / "report" / f"init.scale={name}").iterdir()
        read = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        found = band(group.runs, "mass/u_plus")
        assert found is not None
        for part in ("mean", "low", "high"):
            points = {event.step: event.value for event in read.Scalars(f"mass/u_plus/{part}")}
            assert len(points) == 400
            expected = np.interp(list(points), found.x, getattr(found, part))
            np.testing.assert_allclose(list(points.values()), expected, rtol=1e-6)  # float32 in the file
        assert "rescaled_time/mass/u_plus/mean" in read.Tags()["scalars"]
    opening = EventAccumulator(str(next((sweep.folder / "report").glob("events*")))).Reload()
    assert "curves_mass_u_plus" in opening.Tags()["images"]
    assert "custom_scalars__config__" in opening.Tags()["tensors"]


def test_command_reports_on_a_partial_sweep_and_names_what_is_missing(write_job, sweep: Sweep, capsys) -> None:
    write_job(99, {"init.scale": "1e-4", "seed": "7"}, summary=False)
    main([str(sweep.folder), "--scalar", "loss", "--final", "final.loss"])
    printed = capsys.readouterr().out
    assert "9 of 10 runs finished; swept: init.scale" in printed
    assert "left out: 99 (init.scale=0.0001 seed=7): no summary.json" in printed
    written = {str(path.relative_to(sweep.folder)) for path in sweep.folder.glob("figures/*.png")}
    assert written == {"figures/curves_loss.png", "figures/finals_init_scale.png"}
    assert all(line.startswith(str(sweep.folder)) for line in printed.splitlines()[2:])


def test_a_sweep_of_which_nothing_has_ended_gives_its_table(write_job, tmp_path: Path, capsys) -> None:
    write_job(0, {"seed": "0"}, summary=False)
    main([str(tmp_path / "sweep")])
    assert "0 of 1 runs finished" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "sweep").glob("*.*")}
    assert written - {"summary.parquet"} == {"summary.csv"}  # the other with pyarrow


@pytest.mark.parametrize("option", ["--scalar", "--final"])
def test_an_unknown_name_is_refused_in_one_line(option: str, sweep: Sweep, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(sweep.folder), option, "nonsense"])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1 and option in error and "nonsense" in error


@pytest.mark.slow
def test_two_hundred_runs_take_seconds(write_job, tmp_path: Path) -> None:
    for number in range(200):
        scale = f"1e-{1 + number % 10}"
        write_job(number, {"init.scale": scale, "seed": str(number // 10)}, float(scale))
    began = time.process_time()
    main([str(tmp_path / "sweep")])
    assert time.process_time() - began < 20  # measured: 8 to 12 s of one core's time
