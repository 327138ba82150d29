"""The package's README: every floor is in it, and each of its scripts does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gfflow.records.run import Run

PACKAGE = Path(__file__).resolve().parents[1] / "gfflow"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## An? ([a-z ]+): .*?```python\n(.*?)```", README, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all recipes leave; they run one after another in one process, which imports the package once."""
    folder = tmp_path_factory.mktemp("recipes")
    names = []
    for title, block in RECIPES.items():
        names.append("recipe_" + title.replace(" ", "_"))
        (folder / f"{names[-1]}.py").write_text(block, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), str(folder)])}
    command = [sys.executable, "-c", f"import {', '.join(names)}"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder / "outputs"


def test_there_is_a_recipe_for_each_kind() -> None:
    assert set(RECIPES) == {"measure", "data set", "solver", "statement", "figure"}
    assert len(README.splitlines()) <= 150


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    table = README[: README.index("**The way")]
    assert rooms - {"__init__"} == set(re.findall(r"`(\w+)`", table))


def test_a_measure_is_logged(outputs: Path) -> None:
    run = Run.read(outputs / "dead")
    dead = run.metrics["structure/dead"]
    assert run.trajectory is not None
    w, x = run.trajectory.w, run.trajectory.x
    counted = {int(step): float(((w[i] @ x.T) <= 0).all(axis=1).sum()) for i, step in enumerate(run.trajectory.step)}
    logged = dict(zip(run.metrics["step"].astype(int).tolist(), dead.tolist(), strict=True))
    assert counted and all(logged[step] == count for step, count in counted.items())


def test_a_data_set_is_trained_on(outputs: Path) -> None:
    run = Run.read(outputs / "circle")
    assert run.config["data"] == {"name": "circle", "n": 8} and run.trajectory is not None
    np.testing.assert_allclose(np.linalg.norm(run.trajectory.x, axis=1), np.ones(8), rtol=1e-15)
    assert run.trajectory.y.tolist() == [1, -1] * 4


def test_a_solver_moves_the_weights(outputs: Path) -> None:
    run = Run.read(outputs / "sign")
    assert run.summary is not None and run.summary["solver"]["name"] == "sign" and run.trajectory is not None
    step, w = run.trajectory.step, run.trajectory.w
    # from one iteration to the next, where both were recorded, each weight moves by lr, or rests at derivative 0
    pairs = [i for i in range(len(step) - 1) if step[i + 1] == step[i] + 1]
    moved = np.abs(np.stack([w[i + 1] - w[i] for i in pairs]))
    assert len(pairs) > 3 and moved.max() > 0
    np.testing.assert_allclose(moved[moved > 0], 1e-3, rtol=1e-9)  # a difference of weights of size 1


def test_a_statement_is_judged(outputs: Path) -> None:
    sections = json.loads((outputs / "remark" / "verification.json").read_text(encoding="utf-8"))["sections"]
    (row,) = [row for section in sections for row in section["statements"] if row["statement"] == "Remark"]
    losses = Run.read(outputs / "remark").metrics["loss"]
    assert row["part"] == "mine" and row["verdict"] == "holds"
    assert row["measured"] == pytest.approx(losses[-1] / losses[0], rel=1e-6)  # a small loss, from rounded weights


def test_a_figure_is_drawn(outputs: Path) -> None:
    for kind in ("png", "pdf"):
        assert (outputs / "gradient" / "figures" / f"gradient.{kind}").stat().st_size > 1000
