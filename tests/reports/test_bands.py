"""Mean and band on a common grid; slopes with their errors."""

from pathlib import Path

import numpy as np
import pytest

from gfflow.records.run import Run
from gfflow.reports.bands import band, iterations, rescaled_time
from gfflow.reports.scaling import fit_power_law


def run(x, values, scale: float = 0.1, step_size: float = 1.0, stop_reason: str = "iterations") -> Run:
    x = np.asarray(x, dtype=float)
    summary = {"theory": {"lambda": scale}, "stop_reason": stop_reason}
    return Run(Path(), {}, {"step": x, "time": step_size * x, "loss": np.asarray(values, dtype=float)}, summary)


def test_runs_measured_at_other_iterations_are_interpolated_and_not_extrapolated() -> None:
    """Linear curves are interpolated exactly, so that the mean of a x over a is known everywhere."""
    slopes = np.array([1.0, 2.0, 4.0])
    grids = ([0, 1, 5, 10], [0, 3, 8], [0, 2, 4, 12])
    found = band([run(x, slope * np.array(x)) for slope, x in zip(slopes, grids, strict=True)], "loss")
    assert found is not None
    np.testing.assert_array_equal(found.x, [0, 1, 2, 3, 4, 5, 8])  # the second run ends at 8
    np.testing.assert_allclose(found.mean, slopes.mean() * found.x, rtol=1e-14)  # a few roundings
    np.testing.assert_allclose(found.low, 1.2 * found.x, rtol=1e-14)  # 10% quantile of (1, 2, 4): 1 + 0.2 (2 - 1)
    np.testing.assert_allclose(found.high, 3.6 * found.x, rtol=1e-14)  # 90%: 2 + 0.8 (4 - 2)
    assert found.count == 3


def test_runs_without_the_scalar_are_not_counted() -> None:
    with_gaps = run([0, 1, 2, 3], [np.nan, 1, 2, np.nan])
    found = band([run([0, 1, 2, 3], [0, 1, 2, 3]), with_gaps, run([0, 1], [np.nan, np.nan])], "loss")
    assert found is not None and found.count == 2
    np.testing.assert_array_equal(found.x, [1, 2])
    assert band([with_gaps], "mass/u_plus") is None


def test_a_stationary_run_stays_where_it_is() -> None:
    moving, still = run([0, 5, 10], [0, 5, 10]), run([0, 2], [8, 4], stop_reason="stationary")
    found = band([moving, still], "loss")
    assert found is not None
    np.testing.assert_array_equal(found.x, [0, 2, 5, 10])
    np.testing.assert_array_equal(found.mean, [4, 3, 4.5, 7])


def test_a_long_grid_is_thinned_and_keeps_its_ends() -> None:
    x = np.arange(5001)
    found = band([run(x, x**2)], "loss", points=300)
    assert found is not None and len(found.x) == 300 and found.x[0] == 0 and found.x[-1] == 5000
    np.testing.assert_array_equal(found.mean, found.x**2)


def test_rescaled_time_counts_in_units_of_minus_log_lambda() -> None:
    assert iterations(run([0, 10], [1, 1])) == 1
    assert rescaled_time(run([0, 10], [1, 1], scale=np.exp(-5), step_size=0.25)) == pytest.approx(0.05, rel=1e-14)
    assert rescaled_time(run([0, 10], [1, 1], scale=2.0)) is None


def test_a_power_law_is_found_with_the_textbook_error() -> None:
    """Against the formulas of simple regression: slope S_xy / S_xx, error sqrt(residuals / (n - 2) / S_xx)."""
    rng = np.random.default_rng(0)
    x = np.repeat(np.logspace(-8, -1, 8), 5)
    y = 3 * x**0.4 * np.exp(0.1 * rng.standard_normal(len(x)))
    law = fit_power_law(x, y)
    u, v = np.log(x), np.log(y)
    sxx, sxy = ((u - u.mean()) ** 2).sum(), ((u - u.mean()) * (v - v.mean())).sum()
    residuals = v - v.mean() - sxy / sxx * (u - u.mean())
    assert law is not None
    assert law.slope == pytest.approx(sxy / sxx, rel=1e-12)  # rounding of 40 terms
    assert law.error == pytest.approx(np.sqrt((residuals**2).sum() / (len(x) - 2) / sxx), rel=1e-10)
    assert abs(law.slope - 0.4) < 3 * law.error
    np.testing.assert_allclose(law(x), 3 * x**0.4, rtol=0.1)  # noise of 10% over 40 runs leaves a few percent


def test_what_has_no_slope_gives_none() -> None:
    assert fit_power_law([1, 1, 1], [1, 2, 3]) is None
    assert fit_power_law([1, 2], [1, 2]) is None
    assert fit_power_law([1, 2, 3, 4], [0, -1, 1, 2]) is None
