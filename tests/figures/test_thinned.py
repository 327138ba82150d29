"""Pictures of wide networks: bounded, and they say so."""

import numpy as np

from gfflow.figures.thinned import DRAWN, drawn, how_many


def test_narrow_networks_are_drawn_whole() -> None:
    assert drawn(np.random.default_rng(0).random(DRAWN)).tolist() == list(range(DRAWN))
    assert how_many(DRAWN) == ""


def test_of_wide_networks_the_largest_and_a_sample() -> None:
    sizes = np.random.default_rng(0).random(200_000)
    shown = drawn(sizes)
    assert len(shown) == len(set(shown.tolist())) == DRAWN
    assert set(np.argsort(-sizes)[: DRAWN // 2]) <= set(shown.tolist())
    assert abs(np.median(shown) / len(sizes) - 0.5) < 0.05  # from all over the network
    assert how_many(200_000) == "; 1,000 of 200,000 neurons are drawn"
