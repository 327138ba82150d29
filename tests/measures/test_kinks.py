"""Kinks against the second difference of the function itself on a fine grid."""

import torch

from gfflow.measures import kinks
from gfflow.model.neurons import Neurons


def neurons_bending_at(places: list[float], changes: list[float], facing: list[int]) -> Neurons:
    """Neuron j: slope +-1 in its hidden weights (facing), kink at places[j], slope change changes[j]."""
    slope = torch.tensor(facing, dtype=torch.float64)
    w = torch.stack([slope, -slope * torch.tensor(places, dtype=torch.float64)], dim=1)
    return Neurons(w, torch.tensor(changes, dtype=torch.float64))


def brute_force(neurons: Neurons, low: float, high: float) -> list[float]:
    """Kinks seen on a grid: where the slope of h changes between neighbouring cells, neighbours joined."""
    t = torch.linspace(low, high, 20001, dtype=torch.float64)
    h = (torch.stack([t, torch.ones_like(t)], 1) @ neurons.w.T).clamp(min=0) @ neurons.a
    change = h.diff().diff() / (t[1] - t[0])
    places: list[float] = []
    for i in torch.nonzero(change.abs() > 1e-6).flatten().tolist():
        if places and float(t[i + 1]) - places[-1] < 3 * float(t[1] - t[0]):
            continue
        places.append(float(t[i + 1]))
    return places


def test_kinks_are_those_of_the_function() -> None:
    generator = torch.Generator().manual_seed(0)
    for m in range(1, 8):
        places = (torch.randperm(40, generator=generator)[:m] / 10 - 2).tolist()
        changes = (torch.randn(m, generator=generator) + 2).tolist()
        facing = (2 * torch.randint(2, (m,), generator=generator) - 1).tolist()
        neurons = neurons_bending_at(places, changes, facing)
        found = kinks(neurons, -3, 3)
        seen = brute_force(neurons, -3, 3)
        assert len(found) == len(seen) == m
        # the grid's cells are 3e-4 wide; a kink within a cell shows in two neighbouring differences
        torch.testing.assert_close(found, torch.tensor(seen, dtype=torch.float64), atol=4e-4, rtol=0)


def test_coinciding_kinks_count_once_at_their_weighted_mean() -> None:
    found = kinks(neurons_bending_at([1.0, 1.003, -1.0], [3.0, 1.0, 2.0], [1, -1, 1]), -2, 2)
    assert len(found) == 2
    assert abs(float(found[1]) - (3 * 1.0 + 1.003) / 4) < 1e-12


def test_cancelling_negligible_and_outside_kinks_are_left_out() -> None:
    neurons = neurons_bending_at([0.0, 0.001, 1.0, -1.0, 5.0], [1.0, -1.0, 2.0, 1e-3, 2.0], [1, 1, -1, 1, 1])
    found = kinks(neurons, -2, 2)
    assert found.tolist() == [1.0]


def test_no_kink() -> None:
    flat = Neurons(torch.tensor([[0.0, 1.0]], dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    assert len(kinks(flat, -1, 1)) == 0
