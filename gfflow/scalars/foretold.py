"""A predicted curve at the flow times of measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Foretold:
    """A curve of the prediction, computed at all scheduled flow times at once, which is cheap; one by one is not."""

    def __init__(self, curve: Callable[[list[float]], Array | None]) -> None:
        """`curve` gives the values at the flow times (T,); None where nothing is predicted."""
        self.curve = curve
        self._times = self._values = np.empty(0)

    def prepare(self, times: Sequence[float]) -> None:
        """Computes it at these flow times, increasing; without any nothing is done."""
        values = self.curve(list(times)) if times else None
        if values is not None:
            self._times, self._values = np.array(times), values

    def at(self, moments: Sequence[float]) -> Array:
        """The values at the flow times (T,): those computed before, others one by one; NaN where there is none."""
        wanted = np.array(moments)
        places = np.searchsorted(self._times, wanted)
        known = places < len(self._times)
        known[known] = self._times[places[known]] == wanted[known]
        found = np.full(wanted.shape, np.nan)
        found[known] = self._values[places[known]]
        for i in np.flatnonzero(~known):
            value = self.curve([float(wanted[i])])
            found[i] = np.nan if value is None else value[0]
        return np.where(np.isfinite(found), found, np.nan)
