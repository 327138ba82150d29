"""Plateaus of staircases whose steps are known, and against a search over all stretches."""

from itertools import pairwise

import numpy as np
import pytest

from gfflow.measures import plateaus


def staircase(step: np.ndarray, falls: list[float], levels: list[float], width: float) -> np.ndarray:
    """Levels joined by logistic falls of the given width."""
    loss = np.full(len(step), levels[0])
    for place, high, low in zip(falls, levels[:-1], levels[1:], strict=True):
        loss -= (high - low) / (1 + np.exp(-(step - place) / width))
    return loss


def test_the_steps_of_a_staircase_are_found() -> None:
    step = np.linspace(0, 1000, 501)
    found = plateaus(step, staircase(step, [300, 700], [1.0, 0.4, 0.0], 5.0))
    assert [round(plateau.loss, 2) for plateau in found] == [1.0, 0.4]
    # within 5% of a level: the fall of height h is 5% done at width * ln(...) before its middle, here below 30
    for plateau, (start, stop) in zip(found, [(0, 300), (300, 700)], strict=True):
        assert start <= plateau.start <= start + 30
        assert stop - 30 <= plateau.stop <= stop


def test_fitted_labels_and_a_steady_fall_are_no_plateaus() -> None:
    step = np.linspace(0, 1000, 501)
    assert plateaus(step, np.exp(-step / 20) + 1e-9) == []  # ends at 1e-9 of its start
    assert plateaus(step, 1.0 - step / 1001) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_longest_is_the_longest_of_all_stretches(seed: int) -> None:
    generator = np.random.default_rng(seed)
    step = np.cumsum(generator.integers(1, 20, 60)).astype(float)
    loss = np.exp(np.cumsum(generator.normal(-0.03, 0.05, 60)))
    best = max(
        step[j] - step[i]
        for i in range(60)
        for j in range(i, 60)
        if loss[i : j + 1].max() <= 1.05 * loss[i : j + 1].min() and loss[i : j + 1].min() > 1e-3 * loss.max()
    )
    found = plateaus(step, loss, least=0.0, flatter=0.0)
    assert max(plateau.stop - plateau.start for plateau in found) == best
    for one, other in pairwise(found):
        assert one.stop < other.start
