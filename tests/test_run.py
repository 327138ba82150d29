"""A run from its configuration: files, bitwise repeatability, and data to which the theory does not apply."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.model.data import orthogonal_pair
from gfflow.run import build, train

BRIEF = {"ratio": 2.0, "linear": 10}


def config(**values) -> RunConfig:
    values.setdefault("solver", {})
    values["solver"] = {"iterations": 300, **values["solver"]}
    return RunConfig.of({"figures": False, "verbose": False, "schedule": BRIEF, **values})


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def numbers(tree) -> list[float]:
    """All numbers in nested lists and dictionaries."""
    if isinstance(tree, dict):
        return [value for branch in tree.values() for value in numbers(branch)]
    return [tree] if isinstance(tree, float) else []


DATA = {
    "fig2": {"name": "orthogonal_pair"},
    "five points": {"name": "five_points"},
    "teacher": {"name": "gaussian_teacher", "n": 6, "d": 4},
    "one label": {"name": "orthonormal", "labels": [1.0]},
    "only negative labels": {"name": "orthonormal", "labels": [-1.0, -0.5], "norms": [1.0, 2.0]},
    "equal sides": {"name": "orthonormal", "labels": [1.0, -1.0]},
}


@pytest.mark.parametrize("width", [1, 60])
@pytest.mark.parametrize("name", DATA)
def test_nothing_is_nan_and_what_does_not_apply_is_absent(name, width, tmp_path):
    wanted = config(data=DATA[name], network={"width": width}, seed=2)
    try:
        summary = train(wanted, tmp_path)
    except InvalidInput as error:  # a single neuron may be dead on these samples, and that is said
        assert width == 1 and "no neuron active" in str(error)
        return
    rows = table(tmp_path)
    assert all(cell == "" or math.isfinite(float(cell)) for row in rows for cell in row.values())
    assert all(math.isfinite(value) for value in numbers(summary))
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    theory, columns = summary["theory"], set(rows[0])
    assert ("saddle/distance" in columns) == (summary["saddle"]["distance_min"] is not None)
    assert ("limit/distance" in columns) == (summary["final"]["limit_distance"] is not None)
    for side in ("plus", "minus"):
        known = theory[f"u_{side}_limit"] is not None
        assert (f"theory/u_{side}" in columns) == (known or theory["source"] == "flow")
        assert (f"alignment/{side}_min" in columns) == known
        assert (summary["events"][f"{side}_fitted"] is not None) == known
    known = theory["source"] == "flow" or summary["final"]["limit_distance"] is not None
    assert ("theory/loss" in columns) == known
    assert (theory["source"] == "flow") == (not theory["orthogonal"])
    if not theory["orthogonal"]:
        of_groups = [f"{side}_{what}" for side in ("plus", "minus") for what in ("leaves_zero", "fitted")]
        assert all(summary["events"][event] is None for event in ["aligned", *of_groups])


def test_measuring_perturbs_nothing(tmp_path):
    """Weights and the global random state are bitwise the same with all callbacks and with none."""
    states = []
    for name in ("all", "none"):
        asked = dict.fromkeys(("alignment", "masses", "saddle", "limit", "invariants", "gradient"), name == "all")
        asked |= dict.fromkeys(("trajectory", "progress"), name == "all")
        torch.manual_seed(7)
        train(
            config(callbacks={**asked, "checkpoint": True}, solver={"name": "sgd", "batch_size": 1}), tmp_path / name
        )
        saved = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        states.append((saved, torch.get_rng_state(), torch.rand(3)))
    (saved, rng, drawn), (other_saved, other_rng, other_drawn) = states
    assert all(torch.equal(saved[key], other_saved[key]) for key in saved)
    assert torch.equal(rng, other_rng) and torch.equal(drawn, other_drawn)


def test_fewer_measurements_change_nothing_but_rounding(tmp_path):
    """Leaps of other lengths make the same steps: the final weights agree bitwise on this data."""
    ends = []
    for i, linear in enumerate((3, 50)):
        train(config(schedule={"ratio": None, "linear": linear}), tmp_path / str(i))
        ends.append(np.load(tmp_path / str(i) / "trajectory.npz")["w"][-1])
    np.testing.assert_array_equal(*ends)


def test_trajectory_holds_the_start_the_end_and_the_data(tmp_path):
    wanted = config()
    train(wanted, tmp_path)
    with np.load(tmp_path / "trajectory.npz", allow_pickle=False) as frames:
        start = build(wanted).start
        np.testing.assert_array_equal(frames["w"][0], start.w.numpy())
        np.testing.assert_array_equal(frames["a"][0], start.a.numpy())
        assert frames["step"][0] == 0 and frames["step"][-1] == 300
        np.testing.assert_array_equal(frames["x"], orthogonal_pair().x.numpy())
        assert frames["w"].dtype == np.float64


def test_stop_loss_ends_the_run_where_it_is_reached(tmp_path):
    wanted = config(init={"scale": 0.1}, solver={"iterations": 20000, "stop_loss": 1e-3}, schedule={"linear": 100})
    summary = train(wanted, tmp_path)
    losses = [float(row["loss"]) for row in table(tmp_path)]
    assert summary["stop_reason"] == "loss" and summary["iterations"] < 20000
    assert losses[-1] < 1e-3 <= losses[-2]


def test_stationary_point_ends_the_run(tmp_path):
    """A step so large that all neurons die: the loss stays at 1/2 and the gradient is exactly zero."""
    summary = train(config(solver={"lr": 5.0}), tmp_path)
    assert summary["stop_reason"] == "stationary"
    assert summary["final"]["loss"] == 0.5


@pytest.mark.parametrize("solver", ["fused", "flow"])
def test_a_run_that_comes_to_rest_at_positive_loss_says_so(tmp_path, capsys, solver):
    """Three points that a small start does not fit: the end in closed form, the line of least squares, h = 1.1."""
    data = {"name": "three_points"}
    long = config(
        data=data, init={"scale": 1e-4}, solver={"name": solver, "iterations": 300_000}, verbose=True,
        schedule={"ratio": 1.5, "linear": 100},
    )  # fmt: skip
    summary = train(long, tmp_path)
    assert summary["stop_reason"] == "stationary" and summary["iterations"] < 100_000
    assert summary["final"]["loss"] == pytest.approx(0.01, rel=1e-10)
    assert summary["final"]["u_plus"] == pytest.approx(1.1, rel=1e-5)  # the flow's tolerance is 1e-6
    point = summary["final"]["point"]
    assert point["loss"] == pytest.approx(0.01, rel=1e-12)
    # descent's dead neurons lie beyond their last gate, the flow's exactly on it, where leaving it would lower L
    assert point["kind"] == {"fused": "local minimum", "flow": "strict saddle"}[solver]
    shown = capsys.readouterr().out
    assert "every neuron at rest" in shown and f"end point    {point['kind']}, loss 0.01" in shown


def test_lingering_near_a_saddle_is_no_rest(tmp_path):
    """Figure 2 stopped on its plateau: the small neurons still move, and the point next to it is a strict saddle,
    named where the heavy ones have settled."""
    orthonormal = {"name": "orthonormal", "labels": [1.0, -0.2]}  # the second rate is a fifth: a long plateau
    summary = train(
        config(data=orthonormal, init={"scale": 1e-8}, solver={"iterations": 60_000, "lr": 2e-3}), tmp_path
    )
    assert summary["stop_reason"] == "iterations"
    assert summary["final"]["loss"] == pytest.approx(0.2**2 / 4, rel=1e-4)  # the second label is not fitted
    assert summary["final"]["point"]["kind"] == "strict saddle"
    assert summary["final"]["point"]["loss"] == pytest.approx(0.2**2 / 4, rel=1e-12)


def test_a_run_that_ends_on_the_plateau_of_a_saddle_is_not_stationary(tmp_path):
    """Figure 2's data, stopped between the two signs: 1e-100 keeps it there for 100,000 steps."""
    values = {"init": {"scale": 1e-100}, "solver": {"iterations": 150_000}, "figures": False, "verbose": False}
    summary = train(RunConfig.of(values), tmp_path)
    assert summary["stop_reason"] == "iterations"
    assert summary["final"]["loss"] == pytest.approx(0.25, rel=1e-9)
    assert summary["final"]["point"]["kind"] == "strict saddle"


def test_float32_runs_and_warns_where_it_cannot_hold_the_scale(tmp_path):
    notes = build(config(precision="float32", init={"scale": 1e-30})).notes
    assert any("float32" in note for note in notes)
    assert not any("float32" in note for note in build(config(precision="float32", init={"scale": 1e-3})).notes)
    summary = train(config(precision="float32", init={"scale": 1e-3}), tmp_path)
    assert summary["stop_reason"] == "iterations"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_cpu(tmp_path):
    cpu = train(config(), tmp_path / "cpu")
    cuda = train(config(trainer={"accelerator": "gpu"}), tmp_path / "cuda")
    assert cuda["final"]["loss"] == pytest.approx(cpu["final"]["loss"], rel=1e-10)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_asking_for_an_absent_gpu_is_refused():
    with pytest.raises(InvalidInput, match=r"trainer\.accelerator.*no CUDA device"):
        build(config(trainer={"accelerator": "gpu"}))
