"""The experiments of the papers that followed: each configuration runs, shortened, and draws its figure; in full, the
numbers come out."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gfflow import figures
from gfflow.commands.train import CONF, main
from gfflow.config import RunConfig
from gfflow.model.data import five_points
from gfflow.model.examples import early_alignment, linear, noisy_linear
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.records.run import Run
from gfflow.reports import Sweep
from gfflow.reports.phase_diagram import phase_diagram
from gfflow.reports.threshold import threshold
from gfflow.run import train
from gfflow.theory.baselines import least_squares
from gfflow.theory.spurious import why_no_width_helps

SHORT = ("verbose=false", "figures=false", "schedule.linear=10", "callbacks.checkpoint=false")
LEAST = 0.08752136752136752  # of the three points: their line of least squares, below in closed form


def configured(experiment: str, *overrides: str) -> RunConfig:
    asked = [f"experiment={experiment}", f"name={experiment}", *SHORT, *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return RunConfig.of(OmegaConf.to_container(compose("config", asked), resolve=True))  # type: ignore[arg-type]


def run_of(folder: Path, experiment: str, *overrides: str) -> Run:
    train(configured(experiment, *overrides), folder)
    return Run.read(folder)


def sweep_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Sweep:
    monkeypatch.setattr(sys, "argv", ["train", "-m", *overrides, f"hydra.sweep.dir={folder}"])
    main()
    sweep = Sweep.read(folder)
    assert not sweep.unfinished
    return sweep


@pytest.mark.parametrize(
    ("experiment", "figure"),
    [("early_alignment", "directions"), ("stewart", "directions"), ("one_neuron", "teacher")],
)
def test_every_experiment_runs_shortened_and_ends_with_its_figure(
    experiment: str, figure: str, tmp_path: Path
) -> None:
    run = run_of(tmp_path / "run", experiment, "solver.iterations=3000", "network.width=30")
    assert run.summary is not None and run.summary["iterations"] == 3000
    assert run.metrics["loss"][-1] <= run.metrics["loss"][0]
    assert figures.FIGURES[figure].main(run) and figures.FIGURES[figure].draw(run) is not None
    others = [name for name in ("directions", "teacher") if name != figure]
    assert not any(figures.FIGURES[name].main(run) for name in others)


def test_the_line_of_least_squares_through_the_three_points() -> None:
    """Slope and intercept in closed form, from means."""
    data = early_alignment()
    x, y = data.x[:, 0].numpy(), data.y.numpy()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert least_squares(data).tolist() == pytest.approx([slope, y.mean() - slope * x.mean()], rel=1e-13)
    rest = y - y.mean() - slope * (x - x.mean())
    assert (rest**2).mean() / 2 == pytest.approx(LEAST, rel=1e-13)


@pytest.mark.parametrize("width", [20, 2000])
@pytest.mark.parametrize("scale", ["1e-3", "1e-6"])
def test_three_points_end_at_a_spurious_stationary_point(width: int, scale: str, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "early_alignment", f"network.width={width}", f"init.scale={scale}")
    summary = run.summary
    assert summary is not None and summary["stop_reason"] == "stationary"
    assert summary["final"]["loss"] == pytest.approx(LEAST, rel=1e-9)
    assert summary["final"]["point"]["kind"] == "local minimum"
    assert "no width helps" in summary["final"]["point"]["widths"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("init", ["balanced", "dominated", "unbalanced"])
def test_only_unbalanced_starts_fit_the_three_points(init: str, seed: int, tmp_path: Path) -> None:
    overrides = (f"init={init}", "init.scale=1e-3", "init.normalization=width", "solver=fused", f"seed={seed}")
    run = run_of(tmp_path / "run", "early_alignment", *overrides, "solver.iterations=500000")
    assert run.summary is not None
    if init == "unbalanced":
        assert run.summary["final"]["loss"] < 1e-12 and run.summary["final"]["point"] is None
    else:
        assert run.summary["final"]["loss"] == pytest.approx(LEAST, rel=1e-9)


def test_no_width_helps_is_said_only_where_it_is_so() -> None:
    """Of a network of least squares on data where small starts stay linear; not with a neuron of |a_j| < ||w_j||, not
    at another loss, and not on the five points, whose stable extremal directions are off on some samples."""
    data, five = early_alignment(), five_points()
    fit = linear(least_squares(data))
    assert why_no_width_helps(Snapshot(fit, data)) is not None
    assert why_no_width_helps(Snapshot(Neurons(2 * fit.w, fit.a / 2), data)) is None
    assert why_no_width_helps(Snapshot(Neurons(2 * fit.w, 2 * fit.a), data)) is None
    assert why_no_width_helps(Snapshot(linear(least_squares(five)), five)) is None


def test_losses_on_the_test_set_beside_least_squares(tmp_path: Path) -> None:
    values = {
        "data": {"name": "noisy_linear", "n": 30, "d": 3, "test_n": 40},
        "network": {"width": 20},
        "solver": {"lr": 0.05, "iterations": 400},
        "verbose": False,
    }
    summary = train(values, tmp_path / "run")
    data, run = noisy_linear(30, 3, 0.5, 40), Run.read(tmp_path / "run")
    frames, test = run.trajectory, data.test
    assert frames is not None and test is not None
    x, y = test.x.numpy(), test.y.numpy()
    h = np.maximum(x @ frames.w[-1].T, 0) @ frames.a[-1]
    assert summary["final"]["test_loss"] == pytest.approx(((h - y) ** 2).mean() / 2, rel=1e-12)
    assert run.metrics["test/loss"][-1] == summary["final"]["test_loss"]
    beta = np.linalg.solve(data.x.numpy().T @ data.x.numpy(), data.x.numpy().T @ data.y.numpy())  # normal equations
    known = summary["baselines"]["least_squares"]
    assert known["test_loss"] == pytest.approx(((x @ beta - y) ** 2).mean() / 2, rel=1e-10)
    assert known["loss"] == pytest.approx(((data.x.numpy() @ beta - data.y.numpy()) ** 2).mean() / 2, rel=1e-10)
    distance = np.linalg.norm(h - x @ beta) / np.linalg.norm(x @ beta)
    assert summary["final"]["least_squares_distance"] == pytest.approx(distance, rel=1e-10)
    drawn = figures.loss(run)
    lines = [line for axes in drawn.axes for line in axes.lines if line.get_label() == "least squares, test"]
    assert len(lines) == 2 and lines[0].get_ydata()[0] == known["test_loss"]


def test_without_a_test_set_nothing_is_said_of_one(tmp_path: Path) -> None:
    summary = train({"solver": {"iterations": 20}, "verbose": False, "figures": False}, tmp_path / "run")
    assert summary["final"]["test_loss"] is None
    assert summary["baselines"]["minimum_norm"] == {"loss": pytest.approx(0, abs=1e-30), "test_loss": None}
    with open(tmp_path / "run" / "metrics.csv", newline="", encoding="utf-8") as file:
        assert not [name for name in next(csv.reader(file)) if name.startswith(("test/", "teacher/"))]


@pytest.mark.slow
def test_threshold_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few samples are fitted, many are not; the figure draws what the summaries say."""
    sweep = sweep_of(
        tmp_path / "sweep", monkeypatch, "experiment=study/threshold", "data.n=10,200", "network.width=60",
        "solver.iterations=2000",
    )  # fmt: skip
    few, many = sorted(sweep.finished, key=lambda job: job.number("baselines.least_squares.loss") or 0)
    below = [job.summary["final.loss"] / job.summary["baselines.least_squares.loss"] for job in (few, many)]
    assert below[0] < 0.3 and 0.7 < below[1] < 1  # 0.18 and 0.82, on the way
    drawn = threshold(sweep)
    assert drawn is not None
    left, right = drawn.axes
    training = next(line for line in left.lines if line.get_label() == "network, training")
    assert training.get_ydata()[1] == many.number("final.loss")
    assert sorted(right.lines[0].get_xdata()) == [10, 200]


@pytest.mark.slow
def test_threshold_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = sweep_of(tmp_path / "sweep", monkeypatch, "experiment=study/threshold", "data.n=10,2000")
    few, many = sorted(sweep.finished, key=lambda job: job.number("baselines.least_squares.loss") or 0)
    assert (few.number("final.loss") or 1) < 1e-9  # interpolates: 4e-19
    training, least = many.number("final.loss"), many.number("baselines.least_squares.loss")
    assert training is not None and least is not None and 0.98 * least < training < least
    assert (many.number("final.least_squares_distance") or 1) < 0.05


@pytest.mark.slow
def test_phase_diagram_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights move far where the start is small, little where it is large; the figure's cells are the summaries'."""
    sweep = sweep_of(
        tmp_path / "sweep", monkeypatch, "experiment=study/phase_diagram", "init.gamma=0.5,1.5",
        "init.gamma_prime=0,0.5", "network.width=40", "solver.iterations=2000",
    )  # fmt: skip
    changes = {
        (job.overrides["init.gamma"], job.overrides["init.gamma_prime"]): job.number("final.relative_change")
        for job in sweep.finished
    }
    assert changes[1.5, 0] > 5 * changes[0.5, 0]  # type: ignore[operator]
    drawn = phase_diagram(sweep)
    assert drawn is not None
    cells = drawn.axes[0].images[0].get_array()
    assert cells[1, 0] == pytest.approx(np.log10(changes[0.5, 0.5]))  # type: ignore[index]


def test_the_closing_table_says_that_no_width_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured("early_alignment", "network.width=20", "verbose=true")
    train(config, tmp_path / "run")
    said = " ".join(capsys.readouterr().out.split())
    assert "no width helps: from a small start with |a_j| >= ||w_j||" in said and "0.0875214" in said


def test_a_neuron_is_learned(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "one_neuron", "solver.iterations=20000", "data.d=5", "network.width=30")
    assert run.summary is not None
    assert run.summary["final"]["loss"] < 1e-10 and run.summary["final"]["teacher_angle"] < 1e-3
    assert run.summary["structure"]["stable_rank"] == pytest.approx(1, abs=1e-3)
    assert torch.isfinite(torch.tensor(run.metrics["teacher/distance"][-1]))
