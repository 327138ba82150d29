"""The convex program against closed forms, and between its two bounds."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.figures import least_norm
from gfflow.model.data import TrainingSet, five_points, gaussian_teacher, orthogonal_pair, orthonormal
from gfflow.model.initialization import draw_start
from gfflow.motion.field import growth
from gfflow.motion.patterns import listed_patterns, sampled_patterns
from gfflow.records.run import Run
from gfflow.run import build, train
from gfflow.theory import escape, predict
from gfflow.theory.minimum_norm import minimum_norm

pytest.importorskip("cvxpy")

# Clarabel is asked for 1e-12, and neurons below 1e-7 of the norm are dropped: every bound to 1e-6, relative.
RELATIVE = 1e-6


def check(data, found):
    """The upper bound is that of a real network, and the lower one is below it and near."""
    h = np.maximum(found.neurons.w.numpy() @ data.x.numpy().T, 0).T @ found.neurons.a.numpy()
    np.testing.assert_allclose(h, data.y.numpy(), atol=1e-6)
    assert found.upper == pytest.approx(float((found.neurons.w.norm(dim=1) * found.neurons.a.abs()).sum()), rel=1e-12)
    assert found.exact
    assert found.lower * (1 - RELATIVE) <= found.upper <= found.lower * (1 + 2 * RELATIVE)


def test_five_points():
    found = minimum_norm(five_points())
    check(five_points(), found)
    assert found.upper == pytest.approx(8.204, abs=0.002)
    assert found.lower == pytest.approx(8.204, abs=0.002)


def test_orthogonal_pair_is_proposition_1():
    found = minimum_norm(orthogonal_pair())
    check(orthogonal_pair(), found)
    assert found.upper == pytest.approx(3 / 5**0.5, rel=RELATIVE)  # 1/sqrt(5) + 2/sqrt(5)


@pytest.mark.parametrize("norms", [None, [1.0, 2.0, 0.5, 1.5]])
def test_orthogonal_inputs_in_space_are_proposition_1(norms):
    data = orthonormal([1.0, -0.7, 0.4, -0.2], norms=norms)
    found = minimum_norm(data)
    check(data, found)
    start = draw_start(20, 4, 1e-3, seed=0)
    assert found.upper == pytest.approx(predict(data, start, 1e-3).min_half_norm, rel=RELATIVE)


@pytest.mark.parametrize("d", [2, 3])
def test_one_sample_is_its_label_over_its_norm(d):
    data = TrainingSet(torch.arange(1.0, d + 1)[None], torch.tensor([-2.0]))
    found = minimum_norm(data)
    assert found.upper == pytest.approx(2 / float(data.norms[0]), rel=RELATIVE)


def test_equal_inputs_with_different_labels_fit_no_network():
    data = TrainingSet(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([1.0, -1.0]))
    with pytest.raises(InvalidInput, match="no network fits"):
        minimum_norm(data)


def test_many_patterns_are_sampled_and_said_to_be():
    """A real network that fits, and no bound from below."""
    data = gaussian_teacher(n=10, d=8, teacher_width=3, seed=1)
    assert listed_patterns(data.x.numpy()) is None
    found = minimum_norm(data)
    assert not found.exact and found.lower is None
    assert found.residual < 1e-6


@pytest.mark.parametrize(("n", "d"), [(4, 2), (7, 2), (5, 3), (8, 3), (7, 4)])
def test_patterns_are_as_many_as_covers_theorem_counts(n, d):
    """In general position 2 sum_{i<d} C(n-1, i), and every sampled pattern is among them."""
    from math import comb

    x = np.random.default_rng(n).standard_normal((n, d))
    listed = {tuple(p) for p in listed_patterns(x)}
    assert len(listed) == 2 * sum(comb(n - 1, i) for i in range(d))
    assert {tuple(p) for p in sampled_patterns(x)} <= listed


def test_escape_from_listed_patterns_is_the_best_of_all_directions():
    """In three dimensions: never below any of 200000 directions, and above the best of them by little (their spacing
    is about 0.01, of which the square counts)."""
    generator = np.random.default_rng(4)
    x, r = generator.standard_normal((7, 3)), generator.standard_normal(7)
    w = generator.standard_normal((200_000, 3))
    best = np.abs(growth(x, r, w / np.linalg.norm(w, axis=1)[:, None])).max()
    out = escape(x, r)
    assert out.exact
    assert best <= out.rate <= best * 1.01


@pytest.mark.slow
def test_descent_on_five_points_ends_above_the_minimum(tmp_path):
    """Trained to loss 1e-13 it converges to 8.65: the bias is near the minimum norm on this data, not at it."""
    values = {"data": {"name": "five_points"}, "init": {"scale": 1e-4}, "callbacks": {"minimum_norm": True}}
    values |= {"solver": {"iterations": 3_000_000, "stop_loss": 1e-13}, "figures": False, "verbose": False}
    summary = train(RunConfig.of(values), tmp_path)
    assert summary["stop_reason"] == "loss"
    assert summary["final"]["norm_gap"] == pytest.approx(0.054, abs=0.002)


def test_a_run_on_any_data_has_a_norm_gap(tmp_path):
    values = {"data": {"name": "five_points"}, "solver": {"iterations": 100}, "callbacks": {"minimum_norm": True}}
    values |= {"figures": False, "verbose": False}
    summary = train(RunConfig.of(values), tmp_path)
    _, gaps = Run.read(tmp_path).column("limit/norm_gap")
    assert summary["theory"]["min_half_norm"] == pytest.approx(8.204, abs=0.002)
    half = summary["final"]["half_norm_squared"]
    assert gaps[-1] == pytest.approx(half / summary["theory"]["min_half_norm"] - 1)
    without = build(RunConfig.of({**values, "callbacks": {}})).prediction
    assert without.min_half_norm is None


def test_the_function_of_least_norm_is_drawn_beside_the_learned_one(tmp_path):
    """On three points, in closed form: training ends at h = 1.1, not fitting them; the least norm has one kink, at
    the middle point, between the lines through it and its neighbours."""
    values = {"data": {"name": "three_points"}, "init": {"scale": 1e-3}, "solver": {"iterations": 20_000}}
    values |= {"figures": True, "verbose": False, "callbacks": {"minimum_norm": True}}
    train(RunConfig.of(values), tmp_path)
    assert (tmp_path / "figures" / "least_norm.png").is_file()
    figure = least_norm(Run.read(tmp_path))
    (axes,) = figure.axes
    learned, least, kink, data = axes.lines
    x = least.get_xdata()
    # 1e-4: how far the run of 20,000 steps is from its end; 1e-6: the program's accuracy
    np.testing.assert_allclose(learned.get_ydata(), 1.1, atol=1e-4)
    inside = np.abs(x) <= 0.5
    np.testing.assert_allclose(least.get_ydata()[inside], 1.3 - 0.6 * np.abs(x[inside]), atol=1e-6)
    np.testing.assert_allclose(kink.get_xydata(), [[0.0, 1.3]], atol=1e-5)
    np.testing.assert_allclose(data.get_ydata(), [1.0, 1.3, 1.0])
    assert "not fitted" in axes.get_title()


@pytest.mark.parametrize("seed", range(12))
def test_six_points_in_the_plane_are_fitted_to_rounding_and_the_bounds_are_in_order(seed):
    """What the program leaves is up to 4e-9 in the labels: too small a norm by as much, below the bound of the dual.
    The upper bound is that of a network, evaluated here neuron by neuron in exact rational arithmetic."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(6, 2, generator=generator, dtype=torch.float64), torch.randn(6, generator=generator)
    found = minimum_norm(TrainingSet(x, y))
    for inputs, label in zip(x.tolist(), y.tolist(), strict=True):
        h = Fraction(0)
        for w, a in zip(found.neurons.w.tolist(), found.neurons.a.tolist(), strict=True):
            h += Fraction(a) * max(
                Fraction(0), sum(Fraction(u) * Fraction(v) for u, v in zip(w, inputs, strict=True))
            )
        assert abs(float(h - Fraction(label))) < 1e-12  # norms are up to 240, of terms with a few roundings each
    assert -1e-14 < found.upper / found.lower - 1 < 1e-9  # a quotient of two sums of as many roundings
