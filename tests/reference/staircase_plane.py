"""Reference for the limit lambda -> 0: slopes A_k of the jump times over ln(1/lambda), from flows at two tiny scales.

The k-th jump of the loss stands at T_k = A_k ell + B_k + o(1), ell = ln(1/lambda). In (log-norm, angle) coordinates a
scale is a shift of log-norms, so that any ell will do; T_k is read where the loss passes the middle between two plateaus.
Own error: a second pair of scales.
"""

import numpy as np

from reference.plane import Plane

LN10 = np.log(10)


def slopes(x, y, w, signs, decades=(200, 290), end_per_ell=60.0, **options):
    """The plateaus' losses, A_k and B_k, from the scales 10^-decades; B_k belongs to the start w itself at scale 1."""
    times = []
    levels = None
    for decade in sorted(decades, reverse=True):
        curve = Plane(x, y, w, signs, -decade * LN10).run(end_per_ell * decade * LN10, longest=1000.0, **options)
        if levels is None:
            levels = curve.plateaus()
        times.append([curve.time_below((high + low) / 2) for high, low in zip(levels, levels[1:], strict=False)])
    late, early = np.array(times, dtype=float)
    a = (late - early) / ((max(decades) - min(decades)) * LN10)
    return levels, a, late - a * max(decades) * LN10
