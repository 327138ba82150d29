"""A sweep read back: every key, every value, and what did not end well."""

import csv
import json
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gfflow.errors import InvalidInput
from gfflow.reports import report
from gfflow.reports.curves import curves
from gfflow.reports.jobs import Sweep, write_table
from gfflow.run import train


def test_values_are_what_hydra_took_them_for(write_job, tmp_path: Path) -> None:
    """YAML 1.1 alone would read 1e-6 as a word and `no` as false."""
    write_job(
        0, {"init.scale": "1e-6", "data": "no", "data.labels": "[1,-1]", "solver.stop_loss": "null", "+x": "'2'"}
    )
    (job,) = Sweep.read(tmp_path / "sweep").jobs
    assert job.overrides == {
        "init.scale": 1e-6, "data": "no", "data.labels": "[1, -1]", "solver.stop_loss": None, "x": "2",
    }  # fmt: skip
    assert isinstance(job.overrides["init.scale"], float)


def test_swept_keys_are_those_that_differ_and_groups_join_seeds(write_job, tmp_path: Path) -> None:
    scales = ("1e-2", "1e-10", "1e-3")
    for number in range(12):
        scale = scales[number % 3]
        write_job(number, {"init.scale": scale, "seed": str(number // 3), "network.width": "60"}, float(scale))
    sweep = Sweep.read(tmp_path / "sweep")
    assert [job.name for job in sweep.jobs] == [str(i) for i in range(12)]  # 2 before 10
    assert sweep.keys == ["init.scale"]
    assert [group.values["init.scale"] for group in sweep.groups] == [1e-10, 1e-3, 1e-2]
    assert [sorted(job.overrides["seed"] for job in group.jobs) for group in sweep.groups] == [[0, 1, 2, 3]] * 3


def test_table_has_every_swept_key_and_every_value_exactly(write_job, tmp_path: Path) -> None:
    losses = [0.1 + 0.2, 1e-300, 1 / 3]
    for number, loss in enumerate(losses):
        write_job(number, {"seed": str(number)}, final={"loss": loss})
    sweep = Sweep.read(tmp_path / "sweep")
    path = write_table(sweep.table(), tmp_path)[0]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["final.loss"]) for row in rows] == losses  # repr of a float64 is exact
    assert [row["seed"] for row in rows] == ["0", "1", "2"]
    assert {row["final.norm_gap"] for row in rows} == {""} and {row["theory.orthogonal"] for row in rows} == {"true"}
    assert [row["job"] for row in rows] == ["0", "1", "2"]


def test_parquet_holds_the_same_table(write_job, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_job(0, {"seed": "0", "x": "1"})
    write_job(1, {"seed": "1", "x": "word"})
    columns = Sweep.read(tmp_path / "sweep").table()
    table = parquet.read_table(write_table(columns, tmp_path)[1]).to_pydict()
    assert table["final.loss"] == columns["final.loss"] and table["x"] == ["1", "word"]


def test_jobs_that_did_not_end_are_kept_apart_with_the_reason(write_job, tmp_path: Path) -> None:
    write_job(0, {"seed": "0"})
    write_job(1, {"seed": "1"}, summary=False)
    (write_job(2, {"seed": "2"}) / "metrics.csv").write_text("step,time\n1")
    (write_job(3, {"seed": "3"}) / "summary.json").write_text("{")
    failed = tmp_path / "sweep" / "4"
    failed.mkdir()
    (failed / "error.txt").write_text("2\nseed=4 network.width=0\nnetwork.width: received 0; allowed: more\n")
    sweep = Sweep.read(tmp_path / "sweep")
    assert [job.name for job in sweep.finished] == ["0"]
    reasons = {job.name: job.trouble for job in sweep.unfinished}
    assert reasons["1"] == "no summary.json" and "cut off" in reasons["2"] and "summary.json" in reasons["3"]
    assert reasons["4"] == "network.width: received 0; allowed: more"
    assert sweep.jobs[4].overrides == {"seed": 4, "network.width": 0}
    table = sweep.table()
    assert table["finished"] == [True, False, False, False, False]
    assert table["final.loss"][1:] == [None] * 4


def test_a_folder_without_jobs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="folder"):
        Sweep.read(tmp_path)


def test_a_damaged_list_of_overrides_costs_one_job(write_job, tmp_path: Path) -> None:
    write_job(0, {"seed": "0"})
    (write_job(1, {"seed": "1"}) / ".hydra" / "overrides.yaml").write_text("- 'seed=[1'\n")
    sweep = Sweep.read(tmp_path / "sweep")
    assert len(sweep.finished) == 1 and "overrides" in sweep.unfinished[0].trouble
    assert json.dumps(sweep.table()["job"]) == '["0", "1"]'


def test_a_short_sweep_over_seeds_is_laid_out(tmp_path, recwarn):
    """Runs that end before 1/||D+||: its name must not be drawn beyond the panel, which then had no room."""
    for seed in (0, 1):
        config = {"seed": seed, "solver": {"iterations": 200}, "figures": False, "verbose": False}
        train(config, tmp_path / str(seed), files={".hydra/overrides.yaml": f"- seed={seed}\n"})
    figure = curves(Sweep.read(tmp_path), "loss")
    assert figure is not None
    figure.savefig(tmp_path / "drawn.png")
    assert not [warning for warning in recwarn if "constrained_layout" in str(warning.message)]
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:  # all labels within the figure
        box = axes.get_tightbbox(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_a_folder_of_runs_that_were_not_one_sweep_is_reported(tmp_path):
    """A scale given, a scale left at its default, other data, and a failed run."""
    brief = {"solver": {"iterations": 50}, "figures": False, "verbose": False, "network": {"width": 10}}
    five = {"data": {"name": "five_points"}}
    train({**brief, **five, "init": {"scale": 1e-2}}, tmp_path / "a", files=overrides("init.scale=1e-2"))
    train({**brief, **five}, tmp_path / "b", files=overrides("data=five_points"))
    train({**brief, "network": {"width": 5}}, tmp_path / "c", files=overrides("network.width=5"))
    sweep = Sweep.read(tmp_path)
    assert {job.overrides["init.scale"] for job in sweep.jobs} == {1e-2, 1e-6}
    assert {job.overrides["data"] for job in sweep.jobs} == {"five_points", "orthogonal_pair"}
    assert (tmp_path / "report") in report(sweep)


def overrides(*words: str) -> dict[str, str]:
    return {".hydra/overrides.yaml": "".join(f"- {word}\n" for word in words)}
