"""The statements about margins hold on a flow of classification, and are violated once it is tampered with."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gfflow.measures import Snapshot
from gfflow.model.data import orthogonal_pair
from gfflow.model.examples import orthogonally_separable
from gfflow.model.initialization import draw_start
from gfflow.model.losses import LOGISTIC
from gfflow.motion.flow.trajectory import Trajectory
from gfflow.statements import judge, margin
from gfflow.statements.case import Case
from gfflow.theory import predict

BY_NAME = {entry.check.__name__: entry for entry in margin.PART.statements}
How = Callable[[Tensor, Tensor], None]


@pytest.fixture(scope="module")
def case() -> Case:
    data = dataclasses.replace(orthogonally_separable(6, 3, seed=3), loss=LOGISTIC)
    start = draw_start(12, 3, 1e-4, seed=0)
    flow, frames = Trajectory(data, start), [Snapshot(start, data)]
    for exponent in range(1, 13):
        flow.reach(10.0**exponent)
        frames.append(Snapshot(flow.neurons(flow.at(10.0**exponent)), data, 10**exponent))
    return Case(predict(data, start, 1e-4), tuple(frames), lr=1.0, descent=False)


def in_end(case: Case, how: How) -> Case:
    end = case.end
    w, a = end.neurons.w.clone(), end.neurons.a.clone()
    how(w, a)
    changed = dataclasses.replace(end.neurons, w=w, a=a)
    last = Snapshot(changed, end.training_set, end.iteration)
    return dataclasses.replace(case, snapshots=(*case.snapshots[:-1], last))


def turned(w: Tensor, a: Tensor) -> None:
    """Every neuron to the diagonal of its orthant: still separating, no longer with the largest margin."""
    size = w.norm(dim=1, keepdim=True)
    w[:] = size * w.sign() / w.shape[1] ** 0.5
    w[:, 0] *= 0.2


def unbalanced(w: Tensor, a: Tensor) -> None:
    w *= 10
    a /= 10


def everywhere_active(w: Tensor, a: Tensor) -> None:
    """The heaviest neuron turned half way round, small beside its class's others."""
    j = int(w.norm(dim=1).argmax())
    w[j] *= -0.3
    a[j] *= 0.3


TAMPERED: dict[str, How] = {
    "margin_does_not_fall": unbalanced,  # the same function, of larger norm
    "near_a_kkt_point": unbalanced,
    "along_max_margin": turned,
    "classes_apart": everywhere_active,
}


@pytest.mark.parametrize("name", BY_NAME)
def test_holds_and_is_violated_once_tampered_with(name: str, case: Case) -> None:
    verdict = judge(BY_NAME[name], case)
    assert verdict.word == "holds", verdict
    tampered = judge(BY_NAME[name], in_end(case, TAMPERED[name]))
    assert tampered.word == "violated", tampered


def test_the_square_loss_and_a_frozen_layer_are_outside(case: Case) -> None:
    start = draw_start(4, 2, 1e-3, seed=0)
    square = Case(predict(orthogonal_pair(), start, 1e-3), (Snapshot(start, orthogonal_pair()),), lr=1.0)
    frames = tuple(
        Snapshot(dataclasses.replace(s.neurons, frozen="output"), s.training_set, s.iteration) for s in case.snapshots
    )
    frozen = dataclasses.replace(case, snapshots=frames)
    for name in BY_NAME:
        assert judge(BY_NAME[name], square).outside
    for name in ("margin_does_not_fall", "near_a_kkt_point", "along_max_margin"):
        assert judge(BY_NAME[name], frozen).outside
    assert torch.equal(case.start.neurons.w, frozen.start.neurons.w)
