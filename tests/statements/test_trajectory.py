"""Statements on any data, on a run of the five points: they hold, and are violated once the run is tampered with."""

import dataclasses

import pytest

from gfflow import Run, train
from gfflow.measures import Snapshot
from gfflow.model.neurons import Neurons
from gfflow.statements import judge, statements
from gfflow.statements.case import Case
from gfflow.statements.verdicts import read_case

BY_NAME = {entry.check.__name__: entry for entry in statements()}
ON_THE_WAY = ["aligned_to_the_assigned", "in_order", "loss_as_predicted", "strict"]


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    values = {
        "data": {"name": "five_points"},
        "network": {"width": 60},
        "init": {"scale": 1e-6},
        "solver": {"lr": 2e-3, "iterations": 250_000},
        "callbacks": {"histograms": False},
        "figures": False,
        "verbose": False,
    }
    folder = tmp_path_factory.mktemp("five") / "run"
    train(values, folder)
    return read_case(Run.read(folder))


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_holds_on_the_five_points(case: Case, name: str) -> None:
    verdict = judge(BY_NAME[name], case)
    assert verdict.word == "holds", verdict


@pytest.mark.parametrize("name", ["aligned_to_the_assigned", "loss_as_predicted"])
def test_is_violated_by_other_frames(case: Case, name: str) -> None:
    """The same frames in which every neuron is turned by a right angle."""
    frames = []
    for s in case.snapshots:
        w = s.neurons.w[:, [1, 0]].clone()
        w[:, 0] *= -1
        frames.append(Snapshot(Neurons(w, s.neurons.a), s.training_set, s.iteration))
    turned = dataclasses.replace(case, snapshots=(case.start, *frames[1:]))
    assert judge(BY_NAME[name], turned).word == "violated"


def test_an_end_at_a_saddle_is_no_end_point(case: Case) -> None:
    for name in ("kkt", "above_the_minimum"):
        assert judge(BY_NAME[name], dataclasses.replace(case, snapshots=case.snapshots[:-5])).word == "not applicable"
