"""Ensembles against the single runs that their members are, and against numpy's statistics of these."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resumed_runs import content
from short_ensembles import SHORT

import gfflow.run
from gfflow.config import RunConfig
from gfflow.ensemble.member import train_alone, train_member
from gfflow.errors import Interrupted, InvalidInput
from gfflow.experiment import assemble, base_schedule, build
from gfflow.model.neurons import Neurons
from gfflow.model.products import product, weighted_sum
from gfflow.model.snapshot import Frames
from gfflow.records.ensemble import statistics
from gfflow.records.ensemble_closing import ensemble_sections
from gfflow.records.member_store import MemberStore
from gfflow.records.members import Members
from gfflow.records.run import Run
from gfflow.records.tidy import flat
from gfflow.run import train
from gfflow.scalars import MEASURES, Setting
from gfflow.theory.probability import empty_cone_probabilities
from gfflow.threads import at_most

KINDS: dict[str, dict[str, Any]] = {
    "fused": {"solver": {"iterations": 4000, "lr": 1e-2}},
    "ended by its loss": {"solver": {"iterations": 4000, "lr": 1e-2, "stop_loss": 0.1}},
    "flow": {"solver": {"name": "flow", "iterations": 4000, "lr": 1e-2}},
    "mini-batch": {"solver": {"name": "sgd", "batch_size": 1, "iterations": 200, "lr": 1e-2}},
}


def run_of(config: RunConfig, folder: Path) -> Run:
    train(config, folder)
    return Run.read(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_its_own_single_run(kind: str, tmp_path: Path) -> None:
    """Bit for bit: every scalar at every measurement, all recorded frames, every number of the summary."""
    whole = RunConfig.of({**SHORT, **KINDS[kind], "seed": 40, "ensemble": {"size": 100, "kept": 100}})
    config = whole.member(57)
    assert config == RunConfig.of({**SHORT, **KINDS[kind], "seed": 97})
    single = run_of(config, tmp_path)
    with at_most(1):
        alone = train_alone(config, assemble(config, config.make_data()), keep=True)
        left = train_member(whole, 57, config.make_data())
    assert alone.table.keys() == single.metrics.keys()
    for name, values in single.metrics.items():
        np.testing.assert_array_equal(alone.table[name], values, strict=True)
    assert single.trajectory is not None and left.kept is not None
    for name in ("step", "w", "a", "x", "y"):
        np.testing.assert_array_equal(getattr(left.kept, name), getattr(single.trajectory, name), strict=True)
    recorded = dict(flat(single.summary or {}))
    assert {name: recorded[name] for name in left.row} == json.loads(json.dumps(left.row))
    assert {"final.loss", "events.aligned.measured_step", "theory.n_plus"} <= left.row.keys()


@pytest.mark.parametrize(
    ("data", "width"),
    [({}, 61), ({"name": "five_points"}, 20), ({"name": "noisy_linear", "n": 9, "d": 12, "test_n": 5}, 33)],
)
def test_frames_are_measured_as_snapshots_are(data: dict[str, Any], width: int) -> None:
    """All registered measures on frames of random weights, in blocks of other sizes, against one frame at a time, bit
    for bit; sizes of both kinds of products, weights from 1e-150 to 1 so that some squares underflow."""
    experiment = build({**SHORT, "data": data, "network": {"width": width}, "forecast": False})
    start, count = experiment.start, 23
    generator = torch.Generator().manual_seed(3)
    grown = torch.logspace(-148, 2, count, dtype=torch.float64)
    noise = torch.randn(count, *start.w.shape, generator=generator, dtype=torch.float64)
    w, a = start.w * grown[:, None, None] * (1 + 0.5 * noise), start.a * grown[:, None]
    w[4, 0], a[4, 0] = 0, 0
    steps = tuple(range(0, 3 * count, 3))
    times = tuple(2e-3 * step for step in steps)

    def frames(low: int, high: int) -> Frames:
        some = Neurons(w[low:high].clone(), a[low:high].clone())
        return Frames(some, experiment.training_set, iterations=steps[low:high], times=times[low:high])

    setting = Setting(experiment.prediction, experiment.module.solver, 1e-6, experiment.training_set)
    seen = 0
    for entry in MEASURES.values():
        one, many = entry.make(setting), entry.make(setting)
        if one is None or many is None or entry.name == "flow":
            continue
        for source in (one, many):
            source.begin(frames(0, 1).at(0), times)
        rows = [one.measure(frames(0, count).at(i)) for i in range(count)]
        blocks = [(0, 1), (1, 9), (9, count)]
        parts = [many.measure_frames(frames(*block)) for block in blocks]
        for name in dict.fromkeys(name for part in (*rows, *parts) for name in part):
            alone = np.array([row.get(name, np.nan) for row in rows])
            absent = (np.full(high - low, np.nan) for low, high in blocks)
            together = np.concatenate([part.get(name, nothing) for part, nothing in zip(parts, absent, strict=True)])
            np.testing.assert_array_equal(together, alone, err_msg=name)
            seen += 1
    assert seen > 15


def test_products_are_those_of_torch() -> None:
    """To the rounding of sums of a few terms; and of one network among others the bits are those of it alone."""
    generator = torch.Generator().manual_seed(0)
    for t, m, d, n in [(1, 5, 2, 2), (7, 33, 7, 5), (5, 17, 8, 8), (9, 61, 12, 31), (3, 300, 40, 3)]:
        left = torch.randn(t, m, d, generator=generator, dtype=torch.float64)
        right = torch.randn(d, n, generator=generator, dtype=torch.float64)
        found = product(left, right)
        torch.testing.assert_close(found, left @ right, rtol=1e-12, atol=1e-12)
        sums = weighted_sum(left[:, :, 0], found)
        torch.testing.assert_close(sums, torch.einsum("tm,tmn->tn", left[:, :, 0], found), rtol=1e-11, atol=1e-11)
        for i in range(t):
            assert torch.equal(product(left[i].clone(), right), found[i])
            assert torch.equal(weighted_sum(left[i, :, 0].clone(), found[i].clone()), sums[i])


@pytest.mark.slow
def test_an_ensemble_has_the_statistics_of_its_single_runs(tmp_path: Path) -> None:
    values = {**SHORT, **KINDS["fused"], "data": {"name": "random_points", "n": 3}, "forecast": False}
    asked = RunConfig.of({**values, "ensemble": {"size": 6, "kept": 3, "data": "redrawn", "processes": 2}})
    summary = train(asked, tmp_path / "ensemble")
    ensemble = Run.read(tmp_path / "ensemble")
    singles = [run_of(asked.member(i), tmp_path / str(i)) for i in range(6)]
    assert [run.config["data"]["seed"] for run in singles] == list(range(6))
    common = base_schedule(asked).iterations
    steps = {run: run.metrics["step"].tolist() for run in singles}
    for name in ("loss", "gradient/norm", "mass/u_plus"):
        table = np.array([[run.metrics[name][steps[run].index(step)] for step in common] for run in singles])
        for part, expected in zip(("p05", "p50", "p95"), np.percentile(table, (5, 50, 95), axis=0), strict=True):
            at, found = ensemble.column(f"{name}/{part}")
            assert at.tolist() == list(common)
            np.testing.assert_allclose(found, expected, rtol=1e-13)  # of one interpolation, rounded otherwise
        np.testing.assert_allclose(ensemble.column(f"{name}/mean")[1], table.mean(axis=0), rtol=1e-13)
    first = singles[0]
    for name, column in first.metrics.items():  # the first member is the run itself
        np.testing.assert_array_equal(ensemble.column(name), first.column(name))
        assert np.isfinite(column).any()
    losses = [(run.summary or {})["final"]["loss"] for run in singles]
    assert ensemble.members is not None and ensemble.members.numbers("final.loss").tolist() == losses
    assert ensemble.members.seeds == list(range(6))
    said = summary["ensemble"]["final"]["loss"]
    assert said["count"] == 6 and said["p50"] == pytest.approx(np.median(losses), rel=1e-13)
    assert {**summary, "ensemble": 0, "timing": 0, "config": 0} == {
        **(first.summary or {}), "ensemble": 0, "timing": 0, "config": 0
    }  # fmt: skip
    with np.load(tmp_path / "ensemble" / "trajectory.npz") as file:
        for seed in (1, 2):
            trajectory = singles[seed].trajectory
            assert trajectory is not None
            np.testing.assert_array_equal(file[f"w_{seed}"], trajectory.w)
            np.testing.assert_array_equal(file[f"x_{seed}"], trajectory.x)
        assert "w_3" not in file
    assert train(replace(asked, resume="auto"), tmp_path / "ensemble") == summary  # it has ended


def test_statistics_are_numpys_of_the_values_that_are_there() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(11, 7))
    values[generator.random(values.shape) < 0.3] = np.nan
    values[:, 2], values[1:, 3], values[0, 3:] = np.nan, np.nan, 1.0
    found = statistics(values)
    assert np.isnan([found["p25"][2], found["mean"][2]]).all()
    there = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(found["p25"][there], np.nanpercentile(values[:, there], 25, axis=0), rtol=1e-13)
    np.testing.assert_allclose(found["mean"][there], np.nanmean(values[:, there], axis=0), rtol=1e-13)


def test_members_that_fail_are_counted_and_the_others_go_on(tmp_path: Path) -> None:
    """With one neuron many starts are dead on the only sample, and a step of 30 tears others away."""
    values = {"data": {"name": "csv", "path": str(tmp_path / "one.csv")}, "network": {"width": 1}}
    (tmp_path / "one.csv").write_text("x1,x2,y\n1,0,1\n")
    solver = {"iterations": 60, "lr": 30.0}
    asked = {**SHORT, **values, "solver": solver, "init": {"scale": 1.0}, "seed": 1}
    alone = {}
    for seed in range(1, 9):
        try:
            with at_most(1):
                one = RunConfig.of({**asked, "seed": seed})
                alone[seed] = train_alone(
                    one, assemble(one, one.make_data()), keep=False
                ).experiment.module.stop_reason
        except InvalidInput as error:
            alone[seed] = str(error)
    assert alone[1] in ("diverged", "stationary", "iterations")
    summary = train(RunConfig.of({**asked, "ensemble": {"size": 8}}), tmp_path / "run")
    failed = [seed for seed, reason in alone.items() if reason not in ("stationary", "iterations")]
    assert summary["ensemble"]["failed"] == {"count": len(failed), "seeds": failed}
    members = Run.read(tmp_path / "run").members
    assert members is not None
    assert {seed for seed, why in members.failed.items() if "no neuron active" in why} == {
        seed for seed, reason in alone.items() if reason and "no neuron active" in reason
    }
    assert 0 < len(failed) < 8


def test_the_probabilities_of_an_empty_cone_are_those_of_all_draws() -> None:
    """Three neurons, two positive labels and one negative: every combination of signs and gates counted, by hand."""
    choices = [(sign, gates) for sign in (1, -1) for gates in range(8)]
    draws = [(p, q, r) for p in choices for q in choices for r in choices]
    plus = [not any(sign > 0 and gates & 3 == 3 for sign, gates in draw) for draw in draws]
    minus = [not any(sign < 0 and gates & 4 for sign, gates in draw) for draw in draws]
    either = sum(p or q for p, q in zip(plus, minus, strict=True)) / len(draws)
    expected = {"plus": sum(plus) / len(draws), "minus": sum(minus) / len(draws), "either": either}
    assert empty_cone_probabilities(3, 2, 1) == pytest.approx(expected, rel=1e-12)


def test_what_members_cannot_share_is_refused(tmp_path: Path) -> None:
    asked = {**SHORT, "ensemble": {"size": 2}}
    with pytest.raises(InvalidInput, match="start: received"):
        train(asked, tmp_path, start=(torch.ones(2, 2), torch.ones(2)))
    with pytest.raises(InvalidInput, match=r"ensemble\.data"):
        RunConfig.of({"ensemble": {"size": 2, "data": "redrawn"}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_signal_stops_it_and_it_goes_on(processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**SHORT, **KINDS["fused"], "ensemble": {"size": 10, "kept": 4, "processes": processes}}
    asked = RunConfig.of({**values, "resume": "auto"})
    train(asked, tmp_path / "whole")
    store = tmp_path / "cut" / "checkpoints" / "members"
    module = "gfflow.ensemble.MemberStore.add"
    add = MemberStore.add
    calls: list[int] = []
    stopped: list[bool] = []

    def signalled(self: Any, indices: Any, members: Any) -> None:
        add(self, indices, members)
        calls.extend(indices)
        if len(calls) >= 4 and not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(module, signalled)
        with pytest.raises(Interrupted, match="of 10 members"):
            train(asked, tmp_path / "cut")
    assert list(store.glob("*.json")) and not (tmp_path / "cut" / "summary.json").exists()
    trained = len(calls)
    assert 4 <= trained < 10
    train(asked, tmp_path / "cut")
    assert everything(tmp_path / "cut") == everything(tmp_path / "whole")
    assert not store.exists()


@pytest.mark.parametrize("trained", [0, 1])
def test_a_signal_beside_the_first_member_is_told_in_members_too(
    trained: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is trained, and after its last leap, where nothing of it is in the store."""
    fit = gfflow.run._fit

    def stopped(*arguments: Any) -> None:
        if trained:
            fit(*arguments)
        raise Interrupted(signal.SIGTERM, 40)

    monkeypatch.setattr(gfflow.run, "_fit", stopped)
    values = {**SHORT, "solver": {"iterations": 40}, "ensemble": {"size": 3, "processes": 1}}
    with pytest.raises(Interrupted, match=f"interrupted with {trained} of 3 members trained"):
        train(values, tmp_path / "cut")


def everything(folder: Path) -> dict[str, Any]:
    return {**content(folder), "members": (folder / "ensemble.csv").read_bytes()}


def _run(values: dict[str, Any], folder: str) -> None:
    torch.set_num_threads(1)
    train(RunConfig.of({**values, "resume": "auto"}), folder)


@pytest.mark.slow
def test_killed_ten_times_at_random_and_resumed(tmp_path: Path) -> None:
    values = {**SHORT, **KINDS["fused"], "ensemble": {"size": 60, "processes": 2}}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gfflow.run", "gfflow.solvers.kernels", "torch.utils.tensorboard"])

    def start(name: str) -> Any:
        child = context.Process(target=_run, args=(values, str(tmp_path / name)))
        child.start()
        return child

    start("warm").join()
    began = time.monotonic()
    start("whole").join()
    lasting, kills, runs, rng = time.monotonic() - began, 0, 0, random.Random(0)
    while kills < 10:
        folder = tmp_path / f"cut {runs}"
        while True:
            child = start(folder.name)
            child.join(timeout=None if kills == 10 else rng.uniform(0.0, 0.7 * lasting))
            if not child.is_alive():
                assert child.exitcode == 0
                break
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            kills += 1
        assert everything(folder) == everything(tmp_path / "whole")
        assert not list(folder.rglob("*.part*"))
        runs += 1


def test_counts_are_shown_as_counts(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.csv"
    path.write_text("seed,failure,structure.clusters\n0,,2\n1,,2\n2,,2\n3,,3\n", encoding="utf-8")
    (row,) = ensemble_sections(Members.read(tmp_path))["at the end"]
    assert row == ("clusters (99% of the mass)", "", "2\n2 to 2.85", "")
