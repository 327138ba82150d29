"""Uncentred principal components against the eigenvectors of w^T w."""

import pytest
import torch

from gfflow.measures import principal_components
from gfflow.model.neurons import Neurons


@pytest.mark.parametrize(("m", "d"), [(2, 1), (3, 7), (7, 3), (9, 9), (40, 5)])
def test_components_are_eigenvectors_of_the_second_moment(m: int, d: int) -> None:
    w = torch.randn(m, d, generator=torch.Generator().manual_seed(m), dtype=torch.float64) + 0.5
    components, shares = principal_components(Neurons(w, torch.ones(m, dtype=torch.float64)))
    values, vectors = torch.linalg.eigh(w.T @ w)
    k = min(m, d)
    values, vectors = values.flip(0)[:k], vectors.flip(1)[:, :k].T
    torch.testing.assert_close(shares, values / w.square().sum(), rtol=0, atol=1e-13)
    # the largest entry is positive; eigenvalues are apart, so that the vectors agree to rounding over the gap
    aligned = (components * vectors).sum(dim=1).abs()
    torch.testing.assert_close(aligned, torch.ones(k, dtype=torch.float64), rtol=0, atol=1e-11)
    assert bool((components.gather(1, components.abs().argmax(dim=1, keepdim=True)) > 0).all())


def test_share_explained_is_what_projection_keeps_even_of_tiny_weights() -> None:
    w = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    components, shares = principal_components(Neurons(w * 1e-300, torch.ones(20, dtype=torch.float64)))
    kept = (w @ components[:2].T).square().sum() / w.square().sum()
    torch.testing.assert_close(shares[:2].sum(), kept)


def test_zero_weights_have_no_component() -> None:
    with pytest.raises(ValueError, match="every weight is zero"):
        principal_components(Neurons(torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)))
