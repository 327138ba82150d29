"""Whole runs against the paper's statements and numbers, and against what was predicted before training."""

import csv
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gfflow.config import RunConfig
from gfflow.run import build, train

Table = dict[str, np.ndarray]
SIX = [1.5, 0.8, -0.6, 1.2, -0.9, -0.4]
NORMS = [1.0, 0.7, 1.3, 1.2, 0.9, 1.1]


def run(folder: Path, **values: Any) -> tuple[dict[str, Any], Table]:
    """Trains and reads back what the run has left: (summary.json, metrics.csv by column)."""
    train(RunConfig.of({"verbose": False, "figures": False, **values}), folder)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = {name: np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in rows[0]}
    return summary, table


def event_errors(summary: dict[str, Any]) -> dict[str, float]:
    """|measured / predicted - 1| of each event."""
    return {
        name: abs(event["measured_step"] / event["predicted_step"] - 1) for name, event in summary["events"].items()
    }


def curve_error(summary: dict[str, Any], table: Table) -> float:
    """sup over both groups and all measurements of |u - predicted| / limit."""
    return max(
        float(np.abs(table[f"mass/u_{side}"] - table[f"theory/u_{side}"]).max())
        / summary["theory"][f"u_{side}_limit"]
        for side in ("plus", "minus")
    )


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_figure_2_happens_when_it_was_predicted(seed: int, tmp_path: Path) -> None:
    summary, table = run(tmp_path, seed=seed)
    errors = event_errors(summary)
    assert len(errors) == 9  # five of the groups, four of the loss
    assert max(errors.values()) <= 0.015, errors  # the step's clock: T eta N / 2, here 0.7 % of the whole
    assert curve_error(summary, table) <= 0.01
    step, loss = table["step"], table["loss"]
    assert loss[0] == pytest.approx(0.5, abs=1e-6)
    assert np.interp(9000, step, loss) == pytest.approx(0.25, abs=1e-3)  # the saddle's plateau
    assert loss[-1] < 1e-12
    assert summary["final"]["half_norm_squared"] == pytest.approx(1.341641, abs=1e-5)
    assert summary["final"]["limit_distance"] <= 1e-3
    assert summary["saddle"]["distance_min"] <= 6e-3
    assert table["invariant/reactivations"].max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_of_the_step_is_ten_times_nearer(seed: int, tmp_path: Path) -> None:
    summary, table = run(tmp_path, seed=seed, solver={"lr": 2e-4, "iterations": 200_000})
    errors = event_errors(summary)
    assert max(errors.values()) <= 0.002, errors
    assert curve_error(summary, table) <= 0.001


@pytest.mark.slow
def test_the_smaller_lambda_the_nearer_the_saddle(tmp_path: Path) -> None:
    distances = []
    for scale in (1e-2, 1e-4, 1e-6, 1e-8):
        summary, _ = run(
            tmp_path / str(scale), init={"scale": scale}, solver={"iterations": 40_000}, schedule={"linear": 1000}
        )
        distances.append(summary["saddle"]["distance_min"])
    ratios = [before / after for before, after in pairwise(distances)]
    assert min(ratios) >= 5, distances  # a power of lambda


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-4, 1e-6, 1e-8])
def test_the_end_is_as_near_the_predicted_limit_as_the_step_allows(scale: float, tmp_path: Path) -> None:
    ends = []
    for lr in (2e-3, 1e-3):
        values = {"init": {"scale": scale}, "solver": {"lr": lr, "iterations": round(80 / lr)}}
        ends.append(run(tmp_path / str(lr), **values)[0]["final"]["limit_distance"])
    assert max(ends) <= 1e-3
    if scale < 1e-4:  # at 1e-4 lambda's own 1.1e-4 stands beside the step's 2.1e-4: measured ratio 1.51
        assert ends[0] / ends[1] == pytest.approx(2, abs=0.1)  # a floor in proportion to the step


@pytest.mark.slow
@pytest.mark.parametrize("norms", [None, NORMS])
@pytest.mark.parametrize("sign", [1, -1])  # -1: the negative labels are fitted first
def test_six_samples_at_scale_1e_100(sign: int, norms: list[float] | None, tmp_path: Path) -> None:
    labels = [sign * label for label in SIX]
    values = {
        "data": {"name": "orthonormal", "labels": labels, "d": 8, "norms": norms},
        "network": {"width": 400},
        "init": {"scale": 1e-100},
        "solver": {"lr": 2e-3, "iterations": 1},
    }
    theory = build(RunConfig.of(values)).prediction
    slowest = min(theory.d_plus_norm, theory.d_minus_norm)
    fitted = (100 * math.log(10) + 30) / slowest  # ln(1/lambda) / ||D||, and a margin for the fitting itself
    values["solver"] = {"lr": 2e-3, "iterations": round(1.1 * fitted / 2e-3)}
    summary, _ = run(tmp_path, **values)
    assert summary["theory"]["r"] > 1 if sign > 0 else summary["theory"]["r"] < 1
    assert summary["final"]["loss"] < 1e-12
    assert summary["final"]["limit_distance"] < (2e-4 if norms is None else 2e-3)


@pytest.mark.slow
def test_scale_1e_300_is_finite_everywhere(tmp_path: Path) -> None:
    """The events lie at ln(1e300) / ||D|| / lr, 309000 to 618000 iterations: only the first is reached here."""
    summary, table = run(tmp_path, init={"scale": 1e-300}, solver={"iterations": 350_000})
    for name, column in table.items():
        if name != "gradient/pl_ratio" and not name.startswith("structure/"):  # absent at zero loss; rarely measured
            assert np.isfinite(column).all(), name
    text = next(tmp_path.rglob("metrics.csv")).read_text()
    assert "nan" not in text and "inf" not in text.replace("invariant", "")
    assert table["invariant/balance_drift"].max() < 1e-2
    assert table["loss"][-1] == pytest.approx(0.25, abs=1e-3)
    assert summary["events"]["plus_fitted"]["measured_step"] is not None
