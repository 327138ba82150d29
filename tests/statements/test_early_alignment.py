"""The statements of arXiv 2401.10791, and Lemma 1 for starts that are not balanced."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from gfflow.model.data import TrainingSet, orthogonal_pair
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.records.run import Run
from gfflow.run import train
from gfflow.statements import Verdict, judge, statements
from gfflow.statements.case import Case
from gfflow.statements.verdicts import read_case
from gfflow.theory import predict

BY_NAME = {entry.check.__name__: entry for entry in statements()}
RUN: dict[str, Any] = {
    "data": {"name": "early_alignment"},
    "network": {"width": 40},
    "solver": {"name": "flow", "iterations": 100_000},
    "callbacks": {"checkpoint": False, "histograms": False},
    "figures": False,
    "verbose": False,
}


def judged(name: str, case: Case) -> Verdict:
    return judge(BY_NAME[name], case)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("dominated") / "run"
    train({**RUN, "init": {"name": "dominated", "scale": 1e-4}}, folder)
    return read_case(Run.read(folder))


def with_end(case: Case, w: torch.Tensor, a: torch.Tensor) -> Case:
    """The case with other weights in its last frame."""
    end = Snapshot(Neurons(w, a), case.data, case.end.iteration, case.end.time)
    return dataclasses.replace(case, snapshots=(*case.snapshots[:-1], end))


def test_a_dominated_run_keeps_its_signs_aligns_in_time_and_does_not_fit(case: Case) -> None:
    for name in ("dominated_signs_kept", "aligned_while_small", "aligned_in_time", "not_fitted"):
        assert judged(name, case).word == "holds", judged(name, case)
    signs = torch.stack([s.neurons.signs for s in case.snapshots])
    assert bool((signs == signs[0]).all())  # without the statement's own code


def test_each_is_violated_by_a_run_that_does_otherwise(case: Case) -> None:
    end = case.end.neurons
    flipped = with_end(case, end.w, torch.cat([-end.a[:1], end.a[1:]]))
    assert judged("dominated_signs_kept", flipped).word == "violated"
    x = case.data.x.numpy()
    fitted = torch.linalg.solve(
        torch.relu(torch.tensor([[1.0, 1.0], [-1.0, 0.2], [-1.0, -0.6]]).double() @ case.data.x.T).T, case.data.y
    )
    w = torch.zeros_like(end.w)
    w[:3] = torch.tensor([[1.0, 1.0], [-1.0, 0.2], [-1.0, -0.6]])
    a = torch.zeros_like(end.a)
    a[:3] = fitted
    assert judged("not_fitted", with_end(case, w, a)).word == "violated"  # three neurons that fit the samples
    turned = [
        dataclasses.replace(s, neurons=Neurons(-s.neurons.w, s.neurons.a)) if s.iteration else s
        for s in case.snapshots
    ]
    opposite = dataclasses.replace(case, snapshots=tuple(turned))
    assert judged("aligned_in_time", opposite).word == "violated"
    assert x.shape == (3, 2)


def test_alignment_is_violated_where_a_neuron_points_elsewhere_while_small(case: Case) -> None:
    small = [s for s in case.snapshots if s.loss > 0.99 * case.start.loss][-1]
    w = -small.neurons.w.flip(1)
    frames = [
        dataclasses.replace(s, neurons=Neurons(1e-3 * w, s.neurons.a)) if s is small else s for s in case.snapshots
    ]
    assert judged("aligned_while_small", dataclasses.replace(case, snapshots=tuple(frames))).word == "violated"


def one_frame(data: TrainingSet, start: Neurons) -> Case:
    return Case(predict(data, start, 1e-3), (Snapshot(start, data, 0, 0.0),), 1e-3)


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [
        ((-0.9, 0.0, 0.9), (1.05, 0.1, 1.0), "holds"),  # eta = 0.1, by eye
        ((-0.75, -0.5, 0.125), (1.1, 0.1, 0.8), "violated"),  # the paper's own example, as it says itself
        ((-0.8, 0.0, 0.9), (1.05, 0.1, 1.0), "violated"),  # eta = 0.2
    ],
)
def test_assumption_3(x: tuple[float, ...], y: tuple[float, ...], word: str) -> None:
    places = torch.tensor(x, dtype=torch.float64)
    data = TrainingSet(torch.stack([places, torch.ones_like(places)], dim=1), torch.tensor(y, dtype=torch.float64))
    start = Neurons(1e-3 * torch.ones(2, 2, dtype=torch.float64), 2e-3 * torch.ones(2, dtype=torch.float64))
    assert judged("three_points", one_frame(data, start)).word == word


def test_nothing_is_said_of_labels_that_a_linear_function_fits() -> None:
    """Two samples, both seen by every neuron that grows: the network can fit them."""
    data = TrainingSet(torch.tensor([[0.5, 1.0], [0.9, 1.0]]), torch.tensor([1.0, 1.2]))
    start = Neurons(1e-3 * torch.ones(2, 2, dtype=torch.float64), 2e-3 * torch.ones(2, dtype=torch.float64))
    assert judged("not_fitted", one_frame(data, start)).reason == "a linear function fits the labels"


def test_what_they_do_not_speak_of_is_said(tmp_path: Path) -> None:
    start = Neurons(1e-3 * torch.ones(2, 2, dtype=torch.float64), 1e-4 * torch.ones(2, dtype=torch.float64))
    pair = one_frame(orthogonal_pair(), start)
    for name in ("aligned_while_small", "aligned_in_time", "three_points", "not_fitted", "dominated_signs_kept"):
        assert judged(name, pair).word == "not applicable"
