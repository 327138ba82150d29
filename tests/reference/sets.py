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


def space_set(seed, d=3, width=5, balanced=True):
    """As plane_set in R^d: n = 2 to 5, so that n < d, n = d and n > d all come; a (width,) in place of signs."""
    rng = np.random.default_rng(1000 + seed)
    n = 2 + seed % 4
    x, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    y[0] = -np.sign(y[1]) * abs(y[0])
    w, signs = rng.standard_normal((width, d)), rng.choice([-1.0, 1.0], width)
    return x, y, w, signs * np.linalg.norm(w, axis=1) if balanced else rng.standard_normal(width)


def embedded(vectors, d, seed=0):
    """Rows of R^2 carried into R^d by an isometry: the flow on them is the plane's, but for rounding."""
    frame, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    return vectors @ frame[:2]


def split(x, y, factors=(0.6, 1.7), gap=0.3):
    """The set with its first sample given as two multiples of one input, whose labels disagree; and what that adds to
    the loss: sum_i (c_i h - y_i)^2 = C (h - y_0)^2 + const for C = sum c_i^2, C y_0 = sum c_i y_i.

    All samples are scaled so that the sums over n + 1 samples, divided by n + 1, are those over n divided by n.
    """
    n, c = len(y), np.array(factors)
    parts = c * y[0] + gap * np.array([c[1], -c[0]])  # sum_i c_i y_i = C y_0
    weight = np.sqrt((n + 1) / n)
    shrink = weight / np.sqrt((c**2).sum())
    x_split = np.concatenate([shrink * c[:, None] * x[0], weight * x[1:]])
    y_split = np.concatenate([shrink * parts, weight * y[1:]])
    return x_split, y_split, (shrink * gap) ** 2 * (c**2).sum() / (2 * (n + 1))
