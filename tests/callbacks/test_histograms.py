"""Histograms of values that are all but equal."""

import numpy as np
import pytest
import torch

from gfflow.callbacks.histograms import BINS, bin_edges


@pytest.mark.parametrize(
    "values", [[1.0], [1.0, 1.0 - 1e-16], [0.0, 0.0], [-1.0, 1.0], [-300.0, -299.9999], [1e-9, 2e-9]], ids=str
)
def test_every_value_has_a_bin(values):
    """Cosines of aligned neurons differ by rounding: numpy alone refuses to part so narrow a range."""
    edges = bin_edges(torch.tensor(values, dtype=torch.float64))
    counts, _ = np.histogram(values, bins=edges)
    assert len(edges) == BINS + 1 and (np.diff(edges) > 0).all()
    assert counts.sum() == len(values)
