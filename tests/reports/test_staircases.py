"""The figure of jump times, on records whose losses are the closed form of two orthogonal samples."""

import json
import math

import numpy as np
import pytest
from scipy.special import expit

from gfflow.model.data import orthogonal_pair
from gfflow.model.initialization import draw_start
from gfflow.reports import Sweep
from gfflow.reports.staircase import measured, staircases
from gfflow.theory.limit_process import solve_limit_process

FLOW = {"name": "flow", "evaluations": 1}


def write_flow(write_job, number, scale, solver=FLOW):
    """A job of the pair of Figure 2 whose loss is that of the sharp mass curves, written to steps of 1% and 5."""
    data, start = orthogonal_pair(), draw_start(20, 2, 1.0, seed=0)
    folder = write_job(number, {"init.scale": repr(scale), "data": "orthogonal_pair"})
    step = np.unique(np.concatenate([np.arange(0, 3000, 5), 1.01 ** np.arange(800)]).round())
    step = step[step <= 3000]
    process = solve_limit_process(data, start)
    loss, slope = np.zeros(len(step)), np.zeros(len(step))
    for sign, rate, limit in ((1, math.sqrt(5) / 2, 1 / math.sqrt(5)), (-1, math.sqrt(5) / 4, 2 / math.sqrt(5))):
        members = process.members(sign, (data.y * sign > 0).numpy())
        log_k = np.logaddexp.reduce(2 * process.log_amplitude[members])
        exponent = math.log(limit) - log_k - 2 * math.log(scale) - 2 * rate * step
        left = expit(exponent)  # 1 - u / u*
        loss += left**2 / 4
        slope += rate * left**2 * (1 - left)
    rows = ["step,time,loss,gradient/norm"]
    gradient = np.sqrt(slope)
    rows += [",".join(repr(float(v)) for v in row) for row in zip(step, step, loss, gradient, strict=True)]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    summary = json.loads((folder / "summary.json").read_text())
    summary["theory"]["lambda"] = scale
    (folder / "summary.json").write_text(json.dumps({**summary, "solver": solver}))
    frames = {"w": scale * start.w.numpy()[None], "a": scale * start.a.numpy()[None], "step": np.array([0])}
    np.savez(folder / "trajectory.npz", x=data.x.numpy(), y=data.y.numpy(), **frames)


def test_points_lie_on_the_lines_of_the_limit(write_job, tmp_path):
    for number, scale in enumerate((1e-30, 1e-100, 1e-300)):
        write_flow(write_job, number, scale)
    sweep = Sweep.read(tmp_path / "sweep")
    (each,) = measured(sweep)
    assert list(each.limit.A) == pytest.approx([2 / math.sqrt(5), 4 / math.sqrt(5)], abs=1e-10)
    assert each.ell == pytest.approx([digits * math.log(10) for digits in (30, 100, 300)])
    lines = np.array([each.limit.times_at(ell) for ell in each.ell])
    assert np.abs(each.times - lines).max() < 1.0  # the cubic between two measurements, up to 10 apart
    figure = staircases(sweep)
    assert figure is not None
    (panel,) = [axes for axes in figure.axes if axes.axison]
    assert len(panel.lines) == 5  # a line and points for each jump, and lambda = 0


def test_needs_the_flow_at_three_small_scales(write_job, tmp_path):
    for number, scale in enumerate((1e-30, 1e-100)):
        write_flow(write_job, number, scale)
    write_flow(write_job, 2, 1e-300, solver={"name": "fused"})
    assert staircases(Sweep.read(tmp_path / "sweep")) is None
