"""The way out of the flow's coordinates: no gate that is off reads on, and no other neuron is touched."""

import numpy as np
import pytest
import torch

from gfflow.errors import Stalled
from gfflow.model.data import TrainingSet
from gfflow.model.initialization import draw_start
from gfflow.motion.flow.coordinates import enter, leave
from gfflow.motion.gates import HELD, OFF, ON


def on_gates(n, d, m, scale):
    """A problem and a state in which every second neuron stands, but for rounding, on the gate next to it."""
    generator = torch.Generator().manual_seed(10 * n + d)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    problem, state = enter(TrainingSet(x, torch.ones(n, dtype=torch.float64)), draw_start(m, d, scale, 0))
    normal = problem.gates.normal
    for j in range(0, m, 2):
        near = int(np.abs(normal @ state.v[j]).argmin())
        state.v[j] -= (normal[near] @ state.v[j]) * normal[near]
        state.v[j] /= np.linalg.norm(state.v[j])
        side = np.where(normal @ state.v[j] > 0, ON, OFF)
        side[near] = HELD
        state.gate[j] = side
    return x, problem, state


@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e-300])
@pytest.mark.parametrize(("n", "d", "m"), [(5, 2, 300), (9, 3, 300), (40, 20, 100)])
def test_no_gate_that_is_off_reads_on_and_other_neurons_stay_as_they_are(n, d, m, scale) -> None:
    x, problem, state = on_gates(n, d, m, scale)
    raw = torch.from_numpy(np.exp(state.rho)[:, None] * state.v @ problem.basis.T)
    neurons = leave(problem, state)
    off = torch.from_numpy(state.gate[:, problem.gates.gate] != ON)
    wrong = (off & (raw @ x.T > 0)).any(dim=1)
    assert wrong.any()  # rounding alone opens about half of them
    assert not (off & (neurons.w @ x.T > 0)).any()
    assert torch.equal(neurons.w[~wrong], raw[~wrong])
    moved = ((neurons.w - raw) / scale).norm(dim=1) / (raw / scale).norm(dim=1)  # squares of 1e-300 are 0
    assert moved.max() < 1e-13  # a few roundings


def test_a_gate_that_is_off_and_reads_on_by_more_than_rounding_is_told() -> None:
    _, problem, state = on_gates(5, 2, 10, 1.0)
    state.gate[1] = np.where(state.gate[1] == ON, OFF, state.gate[1])
    with pytest.raises(Stalled, match="a closed gate reads open"):
        leave(problem, state)
