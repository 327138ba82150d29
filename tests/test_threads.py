"""Threads are chosen by the size of the work, for a run's time alone, and change no bit of a small run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from threadpoolctl import ThreadpoolController

from gfflow import run as running
from gfflow import threads
from gfflow.commands.report import main as report
from gfflow.config import RunConfig
from gfflow.errors import Diverged
from gfflow.threads import at_most, threads_for

ROOT = Path(__file__).parents[1]
BRIEF = {"solver": {"name": "fused", "lr": 2e-3, "iterations": 20}, "figures": False, "verbose": False}


def in_use() -> dict[str, int]:
    """The number of threads of torch and of every BLAS and OpenMP library, by file."""
    pools = {pool["filepath"]: pool["num_threads"] for pool in ThreadpoolController().info()}
    return {"torch": torch.get_num_threads(), **pools}


@pytest.fixture
def two() -> Iterator[dict[str, int]]:
    """Two threads everywhere, whatever the machine and however the tests were started."""
    import scipy.linalg  # noqa: F401  loads its BLAS

    before = torch.get_num_threads()
    with ThreadpoolController().limit(limits=2):
        torch.set_num_threads(2)
        if set(in_use().values()) != {2}:
            pytest.skip("the environment allows some library one thread only")
        yield dict.fromkeys(in_use(), 2)
    torch.set_num_threads(before)


def test_the_papers_sizes_take_one_thread_and_large_ones_more() -> None:
    assert [threads_for(*size) for size in [(2, 2, 60), (5, 2, 60), (75, 150, 200), (300, 50, 200)]] == [1] * 4
    assert threads_for(1000, 1000, 100) == 2  # the first with two shares of 2 ms
    assert threads_for(1000, 1000, 1000) == 20
    assert threads_for(75, 150, 200_000) > 20


def test_inside_all_pools_keep_to_the_limit_and_come_back(two: dict[str, int]) -> None:
    assert len(two) >= 3  # torch, its OpenMP, a BLAS
    with at_most(1):
        assert in_use() == dict.fromkeys(two, 1)
    assert in_use() == two
    with pytest.raises(KeyError), at_most(1):
        raise KeyError
    assert in_use() == two


def test_a_limit_never_raises_what_is_set(two: dict[str, int]) -> None:
    with at_most(20):
        assert in_use() == two
    torch.set_num_threads(1)
    set_so = in_use()
    with at_most(2):
        assert in_use() == set_so
    assert in_use() == set_so


def test_limits_nest(two: dict[str, int]) -> None:
    with at_most(1):
        with at_most(2):
            assert in_use() == dict.fromkeys(two, 1)
        assert in_use() == dict.fromkeys(two, 1)
    assert in_use() == two


def test_runs_in_several_python_threads_end_in_any_order(two: dict[str, int]) -> None:
    """The first to come is the first to go: the other still has one thread, and the end is the beginning's."""
    inside, leave = threading.Event(), threading.Event()
    seen: list[dict[str, int]] = []

    def first() -> None:
        with at_most(1):
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=first)
    other.start()
    assert inside.wait(30)
    with at_most(1):
        leave.set()
        other.join(30)
        seen.append(in_use())
    assert seen == [dict.fromkeys(two, 1)]
    assert in_use() == two


@pytest.mark.parametrize(("per_thread", "expected"), [(threads.PER_THREAD, 1), (1, 2)])
def test_a_run_computes_with_what_its_size_asks_for(per_thread, expected, two, monkeypatch, tmp_path) -> None:
    """Prediction always with one thread; training, measuring, summary and figures with one if small, else more."""
    seen = {}

    def watch(name: str) -> None:
        original = getattr(running, name)

        def watched(*arguments, **options):
            seen[name] = in_use()
            return original(*arguments, **options)

        monkeypatch.setattr(running, name, watched)

    for name in ("build", "_fit", "summarise", "write_ending"):
        watch(name)
    monkeypatch.setattr(threads, "PER_THREAD", per_thread)
    running.train(RunConfig.of({**BRIEF, "figures": True}), tmp_path / "run")
    assert seen["build"] == dict.fromkeys(two, 1)
    assert [seen[name] for name in ("_fit", "summarise", "write_ending")] == [dict.fromkeys(two, expected)] * 3
    assert in_use() == two


def test_settings_come_back_after_a_run_that_fails(two, tmp_path) -> None:
    steep = {
        **BRIEF,
        "data": {"name": "five_points"},
        "solver": {"lr": 5.0, "iterations": 300},
        "init": {"scale": 1.0},
    }
    with pytest.raises(Diverged):
        running.train(RunConfig.of(steep), tmp_path / "run")
    assert in_use() == two


def test_reports_and_verdicts_take_one_thread_too(two, monkeypatch, tmp_path, capsys) -> None:
    from gfflow import figures
    from gfflow.commands import verify

    running.train(RunConfig.of(BRIEF), tmp_path / "run")
    seen = []
    monkeypatch.setattr(figures, "draw_all", lambda run: seen.append(in_use()) or [])
    judge = verify.verify
    monkeypatch.setattr(verify, "verify", lambda *given: seen.append(in_use()) or judge(*given))
    report([str(tmp_path / "run")])
    verify.main([str(tmp_path / "run")])
    assert seen == [dict.fromkeys(two, 1)] * 2
    assert in_use() == two


def test_no_compiled_loop_asks_for_threads_of_numba() -> None:
    """They have no limit here: whoever brings in the first one gives it one."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "gfflow").rglob("*.py")]
    assert not [text for text in sources if "prange" in text or "parallel=True" in text]


def run_of_figure_6(folder: Path, number: int | None, *overrides: str) -> None:
    """200 steps in a process of its own, with OMP_NUM_THREADS as given, or with no variable set."""
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    environment["PYTHONPATH"] = str(ROOT)
    if number is not None:
        environment["OMP_NUM_THREADS"] = str(number)
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *overrides]
    brief = ["experiment=fig6", "solver.iterations=200", "schedule.linear=20", "figures=false", "verbose=false"]
    subprocess.run([*command, *brief], check=True, cwd=folder, env=environment)


@pytest.mark.slow
@pytest.mark.alone
def test_metrics_are_the_same_bits_with_one_thread_and_two(tmp_path: Path) -> None:
    for number in (1, 2):
        run_of_figure_6(tmp_path, number, f"hydra.run.dir={number}")
    one, two = ((tmp_path / str(number) / "metrics.csv").read_bytes() for number in (1, 2))
    assert one == two


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_jobs_of_a_sweep_are_the_same_bits_as_single_runs(launcher: str, tmp_path: Path) -> None:
    run_of_figure_6(tmp_path, None, "seed=1", "hydra.run.dir=single")
    run_of_figure_6(tmp_path, None, "-m", f"hydra/launcher={launcher}", "seed=0,1", "hydra.sweep.dir=sweep")
    single, job = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("single", "sweep/1"))
    assert single == job
