"""The benchmark's arithmetic, and that its plain loop makes the same descent as the solvers."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from gfflow.benchmark import contestants, processes
from gfflow.benchmark.cases import CASES, LR, gaussian_set
from gfflow.benchmark.processes import BUSY, busy_processes, process, typed_run
from gfflow.benchmark.timing import paired, slope, spread
from gfflow.commands.train import CONF
from gfflow.model.data import orthogonal_pair
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.solvers import SGD

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_slope_of_a_power(exponent):
    sizes = [10, 40, 90, 500]
    assert slope(sizes, [3e-6 * size**exponent for size in sizes]) == pytest.approx(exponent, abs=1e-12)


def test_ratios_are_taken_within_a_repetition():
    """A machine that slows down halfway slows both sides: the ratio does not see it."""
    load = iter([1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0])  # the first call of each warms up
    slow, fast = (lambda: 8.0 * next(load)), (lambda: 2.0 * next(load))
    first, second = paired("case", {"slow": slow, "fast": fast}, repetitions=3)
    assert first.ratios == (1.0, 1.0, 1.0)
    assert second.ratios == (4.0, 4.0, 4.0)
    assert second.seconds == (2.0, 10.0, 10.0)
    assert second.median == 10.0


def test_spread_is_the_quartiles():
    assert spread([1, 2, 3, 4, 5]) == (2, 4)


def test_plain_loop_makes_the_same_descent(monkeypatch):
    """Half the step size on the mean square, which is 2L: what is timed is the same training."""
    models = []
    sequential = torch.nn.Sequential

    def kept(*layers):
        models.append(sequential(*layers))
        return models[-1]

    monkeypatch.setattr(contestants.nn, "Sequential", kept)
    data, start = orthogonal_pair(), draw_start(9, 2, 0.3, seed=0)
    assert contestants.plain_loop(data, start, 200) > 0
    network = TwoLayerReLU(start)
    SGD(2e-3).advance(network, data, 0, 200)
    # 200 steps of rounding
    torch.testing.assert_close(models[0][0].weight, network.hidden, rtol=0, atol=1e-13)
    torch.testing.assert_close(models[0][2].weight[0], network.output, rtol=0, atol=1e-13)


def test_cases_are_the_papers():
    shapes = {case.name: (case.training_set().x.shape, case.start().w.shape) for case in CASES}
    assert shapes == {
        "Figure 2": ((2, 2), (60, 2)),
        "Figure 4": ((5, 2), (60, 2)),
        "Figure 6": ((75, 150), (200, 150)),
    }
    assert gaussian_set(3, 4).x.shape == (3, 4)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.experiment)
def test_a_case_is_its_experiments_own_file(case):
    """What is descended here and what `experiment=` trains are the same problem."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"experiment={case.experiment}", "name=any"])
    assert (config.data.name, config.network.width, config.solver.lr) == (case.data, case.m, LR)
    assert (config.init.scale, config.init.normalization) == (case.scale, case.normalization)
    assert (config.solver.name, config.solver.iterations) == ("auto", case.iterations)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_busy_processes_are_there_inside_and_gone_afterwards():
    with busy_processes(2) as numbers:
        assert len(numbers) == 2 and all(alive(number) for number in numbers)
    assert not any(alive(number) for number in numbers)


def test_busy_processes_are_gone_after_an_exception():
    with contextlib.suppress(KeyError), busy_processes(1) as numbers:
        raise KeyError
    assert not alive(numbers[0])


def test_a_busy_process_ends_by_itself():
    child = subprocess.Popen([sys.executable, "-c", BUSY, "0.1"])
    assert child.wait(timeout=60) == 0


@pytest.mark.slow
@pytest.mark.alone
def test_a_run_is_timed_as_typed(monkeypatch):
    """By its own summary, in the environment as it is: nothing set, nothing taken away."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    passed_on = processes._environment()
    assert passed_on == {**os.environ, "PYTHONPATH": passed_on["PYTHONPATH"]}
    summary = typed_run("experiment=fig2", "solver.iterations=100", "schedule.linear=4")
    assert (summary["experiment"], summary["iterations"], summary["solver"]["name"]) == ("fig2", 100, "fused")


def test_process_measures_time_and_memory():
    seconds, small = process("import time; time.sleep(0.2)")
    assert 0.2 < seconds < 20  # a loaded machine starts Python slowly
    _, large = process("b = bytearray(200 * 2**20)")
    assert 150 < large - small < 250
    with pytest.raises(RuntimeError, match="status 3"):
        process("import sys; sys.exit(3)")


@pytest.mark.slow
@pytest.mark.alone
def test_the_quick_benchmark(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "--quick", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    with open(tmp_path / "benchmark.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ratios = {(row["case"], row["solver"]): float(row["ratio"]) for row in rows if row["kind"] == "us_per_step"}
    assert ratios["Figure 2", "fused"] > 100  # ten times below what is usual: timings waver
    assert ratios["Figure 4", "fused"] > 50
    assert np.isfinite([float(row["value"]) for row in rows]).all()
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000
