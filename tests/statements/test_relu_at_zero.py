"""Proposition 2: what happens at a gate for each choice of relu'(0)."""

from dataclasses import replace

import pytest

from gfflow.model.activations import Activation
from gfflow.model.network import TwoLayerReLU
from gfflow.statements import STATEMENTS, Case, judge, relu_at_zero

ONLY_ZERO = next(entry for entry in STATEMENTS if entry.check is relu_at_zero.only_zero)


@pytest.mark.parametrize("c", relu_at_zero.CHOICES)
def test_speed_missing_at_a_gate_is_the_derivative_at_zero(c: float) -> None:
    """Eq. 39 asks for c times a unit of speed, and a curve can have none."""
    assert relu_at_zero.missing_speed(c) == pytest.approx(c, abs=1e-12)  # rounding, extrapolated


def test_proposition_2_is_violated_by_a_relu_that_ignores_its_derivative_at_zero(case: Case, monkeypatch) -> None:
    assert judge(ONLY_ZERO, case).word == "holds"
    for ignored in (0.0, 1.0):
        monkeypatch.setattr(
            relu_at_zero,
            "TwoLayerReLU",
            lambda start, at=ignored: TwoLayerReLU(replace(start, activation=Activation(at_zero=at))),
        )
        assert judge(ONLY_ZERO, case).word == "violated"
