"""Random data sets and starts for the references: numpy alone, each a function of its seed."""

import numpy as np


def plane_set(seed, width=20):
    """x (n, 2), y (n,), w (width, 2), signs (width,): n = 3 to 7, every second five seeds with a bias coordinate,
    labels of both signs. Rows of w are the start at scale 1; a = signs times their norms."""
    rng = np.random.default_rng(seed)
    n = 3 + seed % 5
    x = rng.standard_normal((n, 2))
    if seed // 5 % 2:
        x[:, 1] = 1
    y = 0.7 * rng.standard_normal(n)
    if (y > 0).all() or (y < 0).all():
        y[0] *= -1
    return x, y, rng.standard_normal((width, 2)), rng.choice([-1.0, 1.0], width)
