"""Members trained as one batch against members trained one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from short_ensembles import SHORT

from gfflow.config import RunConfig
from gfflow.ensemble import together
from gfflow.ensemble.member import train_member
from gfflow.ensemble.together import batches, can_train_together, train_together
from gfflow.experiment import base_schedule
from gfflow.records.ensemble import Member
from gfflow.run import train
from gfflow.solvers import Captured, Fused

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TWELVE: dict[str, Any] = {
    **SHORT,
    "forecast": False,
    "seed": 40,
    "ensemble": {"size": 12, "kept": 4},
    "solver": {"iterations": 4000, "lr": 1e-2},
}
OTHERS: dict[str, dict[str, Any]] = {
    "square": {},
    "ended by its loss": {"solver": {"iterations": 4000, "lr": 1e-2, "stop_loss": 0.1}},
    "logistic": {"loss": "logistic", "data": {"name": "orthonormal", "labels": [1.0, -1.0, 1.0]}},
    "output frozen": {"network": {"width": 20, "frozen": "output"}, "data": {"name": "five_points"}},
}


def assert_same(found: Member, wanted: Member) -> None:
    """Up to the rounding of sums in another order, which 4,000 steps may amplify; the same measurements to the step.
    Losses are compared to a part of the labels' size, below which theirs is rounding."""
    assert (found.seed, found.failure) == (wanted.seed, wanted.failure)
    assert found.row.keys() == wanted.row.keys()
    for name, value in wanted.row.items():
        if isinstance(value, int | float) and "timing" not in name:
            assert found.row[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert (found.kept is None) == (wanted.kept is None)
    if found.kept is not None and wanted.kept is not None:
        np.testing.assert_array_equal(found.kept.step, wanted.kept.step)
        np.testing.assert_allclose(found.kept.w, wanted.kept.w, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.kept.a, wanted.kept.a, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_batch_gives_the_members_that_are_trained_one_by_one(kind: str) -> None:
    config = RunConfig.of({**TWELVE, **OTHERS[kind]})
    data, indices = config.make_data(), [1, 2, 3, 7, 11]
    found = train_together(config, indices, data, lambda: False, device="cpu")
    assert len(found) == len(indices)
    for index, member in zip(indices, found, strict=True):
        assert_same(member, train_member(config, index, data))


def test_members_that_diverge_are_told_by_the_same_words() -> None:
    """A step size at which starts diverge."""
    wild = {"data": {"name": "five_points"}, "init": {"scale": 1.0}, "solver": {"iterations": 300, "lr": 5.0}}
    config = RunConfig.of({**TWELVE, **wild})
    data, indices = config.make_data(), list(range(12))
    found = train_together(config, indices, data, lambda: False, device="cpu")
    wanted = [train_member(config, index, data) for index in indices]
    assert [member.failure for member in found] == [member.failure for member in wanted]
    assert any(member.failure for member in found)


def test_a_stop_leaves_whole_members() -> None:
    config = RunConfig.of(TWELVE)
    data = config.make_data()
    assert train_together(config, [1, 2], data, lambda: True, device="cpu") == []
    left = iter([False] * (2 + len(base_schedule(config)) * 3))
    members = train_together(config, [1, 2], data, lambda: next(left, True), device="cpu")
    assert len(members) < 2 or all(member.row for member in members)


def test_batches_hold_every_member_once_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.of(TWELVE)
    assert batches(config, range(1, 600), 2) == [[*range(1, 257)], [*range(257, 513)], [*range(513, 600)]]
    monkeypatch.setattr(together, "NUMBERS", 1)
    assert batches(config, [1, 5], 2) == [[1], [5]]


def test_only_full_batch_descent_on_cuda_on_the_same_data_makes_a_batch() -> None:
    gpu = {"trainer": {"accelerator": "gpu"}}
    config = RunConfig.of({**TWELVE, **gpu})
    assert can_train_together(config, Captured(1e-2))
    assert not can_train_together(RunConfig.of(TWELVE), Captured(1e-2))
    assert not can_train_together(config, Fused(1e-2))
    redrawn = RunConfig.of(
        {**TWELVE, **gpu, "data": {"name": "random_points"}, "ensemble": {"size": 3, "data": "redrawn"}}
    )
    assert not can_train_together(redrawn, Captured(1e-2))


@needs_cuda
def test_an_ensemble_on_cuda_is_that_on_a_cpu(tmp_path) -> None:
    rows = {}
    for accelerator in ("cpu", "gpu"):
        config = RunConfig.of({**TWELVE, "trainer": {"accelerator": accelerator}})
        summary = train(config, tmp_path / accelerator)
        rows[accelerator] = summary["ensemble"] if isinstance(summary, dict) else summary.to_dict()["ensemble"]
    assert rows["gpu"]["size"] == rows["cpu"]["size"] == 12
    for part, value in rows["cpu"]["final.loss"].items():
        assert rows["gpu"]["final.loss"][part] == pytest.approx(value, rel=1e-6, abs=1e-9)
