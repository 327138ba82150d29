"""Clusters against planted ones and against connected components of the graph of small angles."""

import math

import pytest
import torch
from scipy.sparse.csgraph import connected_components

from gfflow.measures import clusters
from gfflow.model.neurons import Neurons


def planted(d: int, sizes: list[int], generator: torch.Generator) -> Neurons:
    """Tight clusters (spread 1e-3 rad) along random axes, the c-th with sizes[c] neurons and sign (-1)^c."""
    axes = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    w, a = [], []
    for c, size in enumerate(sizes):
        for _ in range(size):
            v = axes[c] + 1e-3 * torch.randn(d, generator=generator, dtype=torch.float64) / math.sqrt(d)
            norm = 0.5 + float(torch.rand(1, generator=generator))
            w.append(norm * v / v.norm())
            a.append((-1) ** c * norm)
    return Neurons(torch.stack(w), torch.tensor(a, dtype=torch.float64))


def test_planted_clusters_are_found_with_their_shares() -> None:
    generator = torch.Generator().manual_seed(1)
    for d in range(2, 8):
        neurons = planted(d, list(range(3, 3 + d)), generator)
        found = clusters(neurons, share=1 - 1e-9)
        near = neurons.directions @ neurons.directions.T >= math.cos(math.radians(5))
        same = neurons.signs[:, None] == neurons.signs[None, :]
        count, label = connected_components((near & same).numpy())
        masses = neurons.w.square().sum(dim=1)
        shares = torch.stack([masses[torch.from_numpy(label) == c].sum() for c in range(count)]) / masses.sum()
        assert len(found) == count == d
        torch.testing.assert_close(found.shares, shares.sort(descending=True).values)  # the same sums


def test_only_as_many_as_carry_the_share() -> None:
    w = torch.diag(torch.tensor([10.0, 3.0, 1.0, 0.1], dtype=torch.float64))
    neurons = Neurons(w, torch.ones(4, dtype=torch.float64))  # masses 100, 9, 1, 0.01 of 110.01
    assert [len(clusters(neurons, share)) for share in (0.5, 0.95, 0.995, 0.99995)] == [1, 2, 3, 4]


def test_opposite_signs_in_one_direction_are_two_clusters() -> None:
    w = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    assert len(clusters(Neurons(w, torch.tensor([1.0, -2.0], dtype=torch.float64)))) == 2
    assert len(clusters(Neurons(w, torch.tensor([1.0, 2.0], dtype=torch.float64)))) == 1


def test_scale_and_order_do_not_matter_and_zeros_count_nowhere() -> None:
    generator = torch.Generator().manual_seed(2)
    neurons = planted(4, [3, 5, 2], generator)
    shuffled = torch.randperm(10, generator=generator)
    tiny = Neurons(
        torch.cat([neurons.w[shuffled] * 1e-290, torch.zeros(2, 4)]), torch.cat([neurons.a[shuffled], torch.zeros(2)])
    )
    assert len(clusters(tiny)) == len(clusters(neurons)) == 3
    zero = Neurons(torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    assert len(clusters(zero)) == 0


def by_definition(neurons: Neurons, share: float, angle: float) -> tuple[list[int], list[float]]:
    """Leaders and shares, neuron by neuron, as the definition says."""
    norms = neurons.norms.tolist()
    leaders: dict[int, float] = {}
    for j in sorted((j for j in range(len(norms)) if norms[j] > 0), key=lambda j: -norms[j]):
        for leader in leaders:
            same = float(neurons.signs[j]) == float(neurons.signs[leader])
            if same and float(neurons.directions[j] @ neurons.directions[leader]) >= math.cos(angle):
                leaders[leader] += norms[j] ** 2
                break
        else:
            leaders[j] = norms[j] ** 2
    whole, carried, chosen = sum(leaders.values()), 0.0, []
    for leader, mass in sorted(leaders.items(), key=lambda item: -item[1]):
        if carried < share * whole:
            chosen.append(leader)
        carried += mass
    return chosen, [leaders[leader] / whole for leader in chosen]


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("angle", [0.05, 0.5, 2.0, 3.2])
def test_equals_the_definition(d: int, angle: float) -> None:
    generator = torch.Generator().manual_seed(d)
    for m in (1, 2, 7, 80):
        axes = torch.randn(3, d, generator=generator, dtype=torch.float64)
        spread = 0.3 * torch.randn(m, d, generator=generator, dtype=torch.float64)
        w = (axes[torch.randint(3, (m,), generator=generator)] + spread) * torch.rand(m, 1, generator=generator) ** 2
        neurons = Neurons(w, torch.randn(m, generator=generator, dtype=torch.float64))
        for share in (0.5, 0.99):
            leaders, shares = by_definition(neurons, share, angle)
            found = clusters(neurons, share, angle)
            torch.testing.assert_close(found.directions, (neurons.signs[:, None] * neurons.directions)[leaders])
            torch.testing.assert_close(found.shares, torch.tensor(shares, dtype=torch.float64))


def test_a_wide_network_is_measured_without_a_square_matrix() -> None:
    m = 300_000  # an m x m matrix of bits alone would take 11 GB
    generator = torch.Generator().manual_seed(0)
    neurons = Neurons(torch.randn(m, 2, generator=generator, dtype=torch.float64), torch.ones(m, dtype=torch.float64))
    found = clusters(neurons)
    assert 36 <= len(found) <= 72  # leaders are more than 5 degrees apart, and no direction is farther from one
    assert float(found.shares.sum()) >= 0.99
