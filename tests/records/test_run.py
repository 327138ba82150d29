"""Records: what a run wrote is read back exactly, and a damaged file is named in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gfflow.commands.report import main
from gfflow.errors import InvalidInput
from gfflow.records.run import Run, natural_order


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder written by hand: two measurements, one empty cell, three frames of two neurons."""
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text("seed: 3\ninit:\n  scale: 1.0e-06\n")
    (run / "metrics.csv").write_text("step,time,loss,late\n0,0.0,0.1,\n10,0.02,0.30000000000000004,2.5\n")
    (run / "summary.json").write_text(json.dumps({"experiment": "mine", "seed": 3}))
    w = np.arange(12.0).reshape(3, 2, 2)
    np.savez(run / "trajectory.npz", step=[0, 4, 10], w=w, a=w[:, :, 0], x=np.eye(2), y=[1.0, -1.0])
    return run


def test_a_run_is_read_back_exactly(folder: Path) -> None:
    run = Run.read(folder)
    assert list(run.metrics) == ["step", "time", "loss", "late"]
    assert run.metrics["loss"].tolist() == [0.1, 0.30000000000000004]
    assert np.isnan(run.metrics["late"][0])
    assert [column.tolist() for column in run.column("late")] == [[10.0], [2.5]]
    assert [len(column) for column in run.column("absent")] == [0, 0]
    assert run.config == {"seed": 3, "init": {"scale": 1e-6}}
    assert (run.name, run.step_size) == ("mine", 0.002)
    assert run.trajectory is not None
    assert run.trajectory.w.shape == (3, 2, 2)
    assert [run.trajectory.nearest(step) for step in (-1, 3, 6.5, 8, 1e9)] == [0, 1, 1, 2, 2]


def test_what_a_run_did_not_write_is_none(folder: Path) -> None:
    (folder / "trajectory.npz").unlink()
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / ".hydra")
    run = Run.read(folder)
    assert (run.trajectory, run.summary, run.config, run.name) == (None, None, {}, "run")


@pytest.mark.parametrize("name", ["metrics.csv", "summary.json", "trajectory.npz"])
@pytest.mark.parametrize("kept", [0, 0.6, 0.95])
def test_a_truncated_file_is_named_in_one_line(folder: Path, name: str, kept: float) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InvalidInput) as error:
        _ = Run.read(folder).trajectory
    assert name.split(".")[0] in str(error.value)
    assert "\n" not in str(error.value)


def test_pickled_arrays_are_refused(folder: Path) -> None:
    np.savez(folder / "trajectory.npz", step=np.array([object()]), w=0, a=0, x=0, y=0)
    with pytest.raises(InvalidInput, match="allow_pickle=False"):
        _ = Run.read(folder).trajectory


def test_runs_of_a_sweep_come_in_the_order_of_their_numbers() -> None:
    paths = [Path("sweep") / name for name in ("10", "9", "seed=2", "0", "seed=10")]
    assert [path.name for path in sorted(paths, key=natural_order)] == ["0", "9", "10", "seed=2", "seed=10"]


def test_reading_needs_no_torch() -> None:
    program = "import sys, gfflow.records.run; assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_report_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        main([str(tmp_path)])
    assert ending.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
