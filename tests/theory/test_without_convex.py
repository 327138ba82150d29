"""Without the extra `convex`: one line that names it, and nothing else that fails."""

import sys

import pytest

from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.model.data import five_points
from gfflow.run import build
from gfflow.theory.minimum_norm import minimum_norm


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)  # as if it were not installed
    with pytest.raises(InvalidInput, match=r"pip install -e '\.\[convex\]'"):
        minimum_norm(five_points())
    asked = {"data": {"name": "five_points"}, "callbacks": {"minimum_norm": True}}
    with pytest.raises(InvalidInput, match=r"pip install -e '\.\[convex\]'"):
        build(RunConfig.of(asked))
    orthogonal = build(RunConfig.of({**asked, "data": {"name": "orthogonal_pair"}}))  # known without the program
    assert orthogonal.prediction.min_half_norm == pytest.approx(3 / 5**0.5, rel=1e-12)
