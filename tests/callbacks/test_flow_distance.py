"""Descent beside the flow: the distance logged, its order in the step size, and the pairs that slide."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress

from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.records.run import Run
from gfflow.run import build, train

TIME = 20.0


def trained(folder: Path, lr: float = 1e-2, flow: bool = False, **values) -> Run:
    chosen = {
        "network": {"width": 20},
        "init": {"scale": 1e-2},
        "schedule": {"ratio": None, "linear": 60, "frames": 100},
        "callbacks": {"flow": flow},
        "figures": False,
        "verbose": False,
        **values,
    }
    chosen["solver"] = {"lr": lr, "iterations": round(TIME / lr), "rtol": 1e-7, **chosen.get("solver", {})}
    train(RunConfig.of(chosen), folder)
    return Run.read(folder)


def test_distance_is_that_of_two_separate_runs_at_equal_time(tmp_path):
    beside = trained(tmp_path / "beside", flow=True)
    descent, flow = trained(tmp_path / "descent"), trained(tmp_path / "flow", solver={"name": "flow"})
    one, other = descent.trajectory, flow.trajectory
    # the schedules differ in the few iterations at which the lemmas speak: descent's own times
    common, i, j = np.intersect1d(one.step, other.step, return_indices=True)
    assert len(common) > 50
    squared = ((one.w[i] - other.w[j]) ** 2).sum(axis=(1, 2)) + ((one.a[i] - other.a[j]) ** 2).sum(axis=1)
    rows = np.isin(beside.metrics["step"], common)
    # both integrations are the same steps; sums in another order, of distances of 1e-3 between weights of size 1
    np.testing.assert_allclose(beside.metrics["flow/distance"][rows], np.sqrt(squared), rtol=1e-9, atol=1e-14)
    h, h_flow = (
        np.einsum("tj,tjk->tk", t.a, np.maximum(np.einsum("tjd,kd->tjk", t.w, t.x), 0)) for t in (one, other)
    )
    gap = np.abs(h[i] - h_flow[j]).max(axis=1)
    np.testing.assert_allclose(beside.metrics["flow/function_distance"][rows], gap, rtol=1e-9, atol=1e-14)
    assert beside.summary["flow"]["distance_max"] == beside.metrics["flow/distance"].max() > 1e-3
    assert descent.summary["flow"] == dict.fromkeys(("distance_max", "distance_final", "function_distance_max"))


def test_the_flow_alongside_changes_no_weight(tmp_path):
    """five_points: the flow slides there, and descent chatters."""
    data = {"data": {"name": "five_points"}}
    beside, alone = (trained(tmp_path / str(flow), flow=flow, **data).trajectory for flow in (True, False))
    assert beside.w.tobytes() == alone.w.tobytes() and beside.a.tobytes() == alone.a.tobytes()


def test_distance_is_first_order_in_the_step_size(tmp_path):
    """Largest distances in all weights and on the inputs; 0.1 is what second order leaves at these steps."""
    sizes = [8e-3, 4e-3, 2e-3]
    found = [trained(tmp_path / str(lr), lr, flow=True).summary["flow"] for lr in sizes]
    for key in ("distance_max", "distance_final", "function_distance_max"):
        order = linregress(np.log(sizes), np.log([summary[key] for summary in found])).slope
        assert order == pytest.approx(1, abs=0.1), key


@pytest.mark.parametrize(
    "values",
    [{"solver": {"name": "flow"}}, {"solver": {"name": "sgd"}, "network": {"relu_derivative_at_zero": 0.5}}],
)
def test_where_it_does_not_apply_it_is_refused(values):
    with pytest.raises(
        InvalidInput, match=r"callbacks\.flow: received True; allowed: false with solver=flow"
    ) as told:
        build(RunConfig.of({"callbacks": {"flow": True}, **values}))
    assert "\n" not in str(told.value)


def test_sliding_pairs_are_those_held_on_their_gate(tmp_path):
    """A pair that slides has <w_j, x_k> = 0 to rounding (1e-12 of the neuron's size) in the recorded weights; others
    pass their gates between measurements, but for those of neurons whose gates have all closed: these rest."""
    run = trained(tmp_path, data={"name": "five_points"}, solver={"name": "flow"})
    frames = run.trajectory
    z = np.einsum("tjd,kd->tjk", frames.w, frames.x)
    sizes = np.linalg.norm(frames.w, axis=2)[:, :, None] * np.linalg.norm(frames.x, axis=1)
    alive = (z > 1e-12 * sizes).any(axis=2, keepdims=True)
    on_gate = (alive & (np.abs(z) <= 1e-12 * sizes)).sum(axis=(1, 2))
    assert run.metrics["flow/sliding_pairs"].tolist() == on_gate.tolist()
    assert on_gate.max() > 0 and on_gate[0] == 0
    assert run.summary["solver"]["sliding_pairs"] == on_gate[-1]
    assert "flow/sliding_pairs" not in trained(tmp_path / "descent").metrics
