"""Clusters against planted ones and against connected components of the graph of small angles."""

import math

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
