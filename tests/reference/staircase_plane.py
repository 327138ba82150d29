"""Reference for the limit lambda -> 0: slopes A_k of the jump times over ln(1/lambda), from flows at two tiny scales.

The k-th jump of the loss stands at T_k = A_k ell + B_k + o(1), ell = ln(1/lambda). In (log-norm, angle) coordinates a
scale is a shift of log-norms, so that any ell will do; T_k is when the loss passes the middle between two plateaus.
Own error: a second pair of scales.
"""

import itertools

import numpy as np
from reference.plane import Plane

LN10 = np.log(10)


def slopes(x, y, w, signs, decades=(200, 290), end_per_ell=60.0, **options):
    """The plateaus' losses, A_k and B_k, from the scales 10^-decades; B_k belongs to the start w times lambda."""
    times = []
    levels = None
    for decade in sorted(decades, reverse=True):
        curve = Plane(x, y, w, signs, -decade * LN10).run(end_per_ell * decade * LN10, longest=1000.0, **options)
        if levels is None:
            levels = curve.plateaus()
        times.append([curve.time_below((high + low) / 2) for high, low in itertools.pairwise(levels)])
    late, early = np.array(times, dtype=float)
    a = (late - early) / ((max(decades) - min(decades)) * LN10)
    return levels, a, late - a * max(decades) * LN10


# Plateaus' losses and A_k, B_k as `slopes` gave them from the scales 1e-1000 and 1e-2000; test_references.py computes
# them anew. 'five points', 'pair' and 'three points' (x = -0.75, -0.5, 0.125 with bias; y = 1.1, 0.1, 0.8): the start
# draw_start(60, 2, 1.0, seed=0, balanced); a number: plane_set(number). B_k belongs to these starts times lambda.
# The pairs (200, 290) and (1000, 2000) agree to 1e-9 in A_k and 2e-6 in B_k.
STAIRCASES = {
    "five points": (
        [0.087, 0.038, 0.0318157894737, 0.0],
        [6.0971076085, 6.8997191975, 22.6763559946],
        [41.798903, -8.473017, 115.453189],
    ),
    "pair": ([0.5, 0.25, 0.0], [0.894427191, 1.788854382], [-2.024451, -3.659189]),
    "three points": ([0.31, 0.0875213675214], [1.3986621978], [-3.622833]),
    5: ([0.1210234255, 0.0540081769, 0.0], [3.0064383663, 4.2215258978], [-4.584416, -4.821275]),
    11: (
        [0.3940715523, 0.2059988712, 0.1718312862, 0.0],
        [2.2822037111, 5.6248676188, 6.0218840221],
        [-3.205838, -6.623039, -2.032627],
    ),
    12: (
        [0.2323378888, 0.0688658955, 0.0448406768, 0.012048955, 0.0],
        [1.9068792066, 9.7376085101, 12.625110429, 18.0917364178],
        [-1.630515, -7.386565, -7.634128, -31.687526],
    ),
    17: (
        [0.6837808799, 0.4297776203, 0.2284805679, 0.0040247568],
        [2.2873530345, 3.6007685496, 4.8188352017],
        [-2.26985, -4.530104, -0.580707],
    ),
    28: (
        [0.2400936482, 0.2273956187, 0.2070927221, 0.1682868961],
        [11.2458697546, 12.7845615146, 19.23218217],
        [-22.883899, -20.793986, -16.789526],
    ),
}
