"""The command line: what it says of bad input, what it leaves behind, and sweeps."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gfflow.commands import train as command

ROOT = Path(__file__).parents[2]
QUICK = ("figures=false", "verbose=false", "solver.iterations=200", "schedule.linear=10", "schedule.ratio=2")


def run_command(monkeypatch, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gfflow-train", *overrides])
    command.main()


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


BAD = [
    ("nonsense=1", "nonsense"),
    ("solver.nonsense=1", "nonsense"),
    ("data.nonsense=1", "nonsense"),
    ("data=nothing", "nothing"),
    ("experiment=nothing", "nothing"),
    ("network.width=0", "network.width"),
    ("network.width=2.5", "network.width"),
    ("network.width=many", "network.width"),
    ("network.relu_derivative_at_zero=2", "network.relu_derivative_at_zero"),
    ("init.scale=-1", "init.scale"),
    ("init.scale=0", "init.scale"),
    ("init.scale=.nan", "init.scale"),
    ("init.scale=.inf", "init.scale"),
    ("init.scale=1e-323", "init.scale"),
    ("init.normalization=sideways", "init.normalization"),
    ("init.balanced=perhaps", "init.balanced"),
    ("seed=-1", "seed"),
    ("seed=0.5", "seed"),
    ("precision=float16", "precision"),
    ("solver.lr=0", "solver.lr"),
    ("solver.lr=null", "solver.lr"),
    ("solver.iterations=0", "solver.iterations"),
    ("solver.stop_loss=-1", "solver.stop_loss"),
    ("solver.batch_size=0", "solver.batch_size"),
    ("solver=sgd solver.batch_size=3", "solver.batch_size"),
    ("solver=fused solver.batch_size=1", "solver.batch_size"),
    ("solver=fused network.relu_derivative_at_zero=0.5", "solver=sgd"),
    ("solver.name=adam", "solver.name"),
    ("schedule.ratio=1", "schedule.ratio"),
    ("schedule.linear=-1", "schedule.linear"),
    ("trainer.accelerator=abacus", "trainer.accelerator"),
    ("callbacks.masses=3", "callbacks.masses"),
    ("data=orthonormal data.labels=[1,0,-1]", "data.labels"),
    ("data=orthonormal data.labels=[]", "data.labels"),
    ("data=orthonormal data.labels=7", "data.labels"),
    ("data=orthonormal data.d=2", "data.d"),
    ("data=orthonormal data.norms=[1,2]", "data.norms"),
    ("data=gaussian_teacher data.n=0", "data.n"),
    ("data=csv", "data.path"),
    ("data=csv data.path=absent.csv", "data.path"),
    ("+data.x=1", "data.x"),
    ("data=3", "data: received 3; allowed: orthogonal_pair, five_points"),
    ("schedule=null", "schedule: received null; allowed: "),
    ("-m init=balanced,5", "init: received balanced,5; allowed: balanced, "),
    ("solver=[fused,flwo]", "solver: received flwo; did you mean flow?; allowed: "),
    ("not-an-override", "not-an-override"),
]


@pytest.mark.parametrize(("overrides", "named"), BAD, ids=[overrides for overrides, _ in BAD])
def test_bad_input_gives_one_line_and_leaves_nothing(overrides, named, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, *overrides.split())
    printed = capfd.readouterr()
    assert ended.value.code == 2
    assert printed.err.count("\n") == 1 and "Traceback" not in printed.err
    assert printed.err.startswith("gfflow: ") and named in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x1,x2\n1,2\n", "columns"),
        ("x1,x3,y\n1,2,3\n", "columns"),
        ("x1,x2,y\n1,two,3\n", "line 2"),
        ("x1,x2,y\n1,2\n", "line 2"),
        ("x1,x2,y\n1,nan,3\n", "finite"),
        ("x1,x2,y\n1,2,inf\n", "finite"),
        ("x1,x2,y\n0,0,3\n", "non-zero"),
        ("x1,x2,y\n", "no samples"),
        ("", "columns"),
    ],
)
def test_bad_csv_gives_one_line_and_leaves_nothing(text, said, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, "data=csv", "data.path=mine.csv")
    printed = capfd.readouterr().err
    assert ended.value.code == 2 and printed.count("\n") == 1 and said in printed
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_divergence_is_told_with_status_3_and_the_records_kept(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, *QUICK, "data=five_points", "solver.lr=100", "init.scale=1", "hydra.run.dir=run")
    assert ended.value.code == 3
    assert "diverged" in capfd.readouterr().err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["stop_reason"] == "diverged"


def test_sweep_makes_one_run_per_job_each_equal_to_its_single_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run_command(monkeypatch, "-m", *QUICK, "seed=0,1,2", "init.scale=1e-2,1e-6", "hydra.sweep.dir=sweep")
    jobs = [(seed, scale) for seed in (0, 1, 2) for scale in ("1e-2", "1e-6")]
    for number, (seed, scale) in enumerate(jobs):
        run_command(monkeypatch, *QUICK, f"seed={seed}", f"init.scale={scale}", f"hydra.run.dir=single{number}")
        job, single = tmp_path / "sweep" / str(number), tmp_path / f"single{number}"
        assert json.loads((job / "summary.json").read_text())["seed"] == seed
        assert len(list((job / "tensorboard").rglob("events.*"))) == 1
        assert table(job) == table(single)  # every printed digit; repr of a float64 is exact
    assert len({(tmp_path / "sweep" / str(i) / "metrics.csv").read_text() for i in range(6)}) == 6


def test_help_is_quick_to_import(tmp_path):
    """--help imports neither torch nor Lightning nor TensorBoard."""
    probe = (
        "import sys, gfflow.commands.train; "
        "heavy = {'torch', 'lightning', 'tensorboard', 'numba', 'matplotlib', 'scipy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_script_runs_from_another_folder(tmp_path):
    """As a user starts it: a process of its own, its outputs under the folder it was started in."""
    script = ROOT / "scripts" / "train.py"
    out = subprocess.run(
        [sys.executable, script, *QUICK[:1], *QUICK[2:]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "theory beside measurement" in out.stdout
    (folder,) = (tmp_path / "outputs" / "fig2").iterdir()
    assert str(folder.relative_to(tmp_path)) in out.stdout.replace("\n", "")
    assert (folder / "summary.json").is_file()


def test_failing_jobs_are_told_and_do_not_stop_the_sweep(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, "-m", *QUICK, "network.width=0,5", "solver.lr=1e-3,1e100", "hydra.sweep.dir=sweep")
    assert ended.value.code == 3
    told = capfd.readouterr().err
    assert (
        "  3 (" in told
        and "job 0 (" in told
        and "network.width: received 0" in told
        and "job 3 (" in told
        and "diverged" in told
    )
    assert "3 job(s) of the sweep failed" in told
    assert (tmp_path / "sweep" / "2" / "summary.json").is_file()


def test_fail_fast_ends_the_sweep(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, "-m", *QUICK, "fail_fast=true", "network.width=0,5", "hydra.sweep.dir=sweep")
    assert ended.value.code == 2
    assert not (tmp_path / "sweep" / "1").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("solver.itertions=1", "solver.itertions: no such key; did you mean solver.iterations?; all keys: --cfg job"),
        ("solver=fusd", "solver: received fusd; did you mean fused?; allowed: auto, captured, flow, fused, sgd"),
        ("zzz=3", "zzz: no such key; all keys: --cfg job"),
    ],
)
def test_a_misspelt_key_or_choice_is_told_with_what_there_is(override, said, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, override)
    assert ended.value.code == 2 and capfd.readouterr().err == f"gfflow: {said}\n"
