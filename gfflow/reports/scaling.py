"""Power laws: the slope of final values against a swept key, with its standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import linregress


@dataclass(frozen=True)
class PowerLaw:
    """y = 10^intercept x^slope."""

    slope: float
    error: float  # the slope's standard error; zero residuals give zero
    intercept: float
    r_squared: float  # the part of the variance of log10 y that it explains

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        return 10.0 ** (self.intercept + self.slope * np.log10(np.asarray(x, dtype=np.float64)))


def fit_power_law(x: ArrayLike, y: ArrayLike) -> PowerLaw | None:
    """Least squares of log10 y on log10 x over the pairs that are positive, each pair counted as independent.

    None for fewer than three pairs, or where all x are equal: the slope would then have no error.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    good = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    if good.sum() < 3 or len(np.unique(x[good])) < 2:
        return None
    fit = linregress(np.log10(x[good]), np.log10(y[good]))
    return PowerLaw(float(fit.slope), float(fit.stderr), float(fit.intercept), float(fit.rvalue**2))
