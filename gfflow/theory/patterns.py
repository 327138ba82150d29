"""Activation patterns: which samples one neuron can be active on, 1[<w, x_k> > 0] over all w."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

Array = NDArray[np.float64]
Gates = NDArray[np.bool_]
LISTED = 500  # patterns up to which they are listed one by one outside the plane
ANGLE = 1e-12  # between two gates in the plane, below which they count as one


def arc_ends(x: Array) -> Array:
    """The unit vectors of the plane at which a gate changes, by angle: both normals of every sample, (at most 2n, 2).

    Raises ValueError unless d = 2.
    """
    if x.shape[1] != 2:
        raise ValueError(f"the directions of data with d = {x.shape[1]} are not listed; those with d = 2 are")
    angles = np.arctan2(x[:, 1], x[:, 0])
    ends = np.sort(np.concatenate([angles + np.pi / 2, angles - np.pi / 2]) % (2 * np.pi))
    ends = ends[np.concatenate([[True], np.diff(ends) > ANGLE])]
    return np.column_stack([np.cos(ends), np.sin(ends)])


def arc_middles(x: Array) -> Array:
    """One direction inside every arc of the plane on which no gate changes, of the same shape as the arcs' ends."""
    ends = arc_ends(x)
    angles = np.arctan2(ends[:, 1], ends[:, 0])
    middles = angles + (np.diff(angles, append=angles[:1]) % (2 * np.pi)) / 2
    return np.column_stack([np.cos(middles), np.sin(middles)])


def listed_patterns(x: Array) -> Gates | None:
    """Every pattern of the open cells that the hyperplanes <w, x_k> = 0 cut, (number, n); None where there may be
    more than LISTED. Patterns of w on a hyperplane are limits of these.

    In the plane by angles; elsewhere sample by sample, with a linear program for each cell and side.
    """
    n, d = x.shape
    if d == 2:
        return arc_middles(x) @ x.T > 0
    if 2 * sum(comb(n - 1, i) for i in range(min(d, n))) > LISTED:  # Cover's bound
        return None
    unit = x / np.linalg.norm(x, axis=1)[:, None]
    cells = [np.zeros(0, dtype=bool)]
    for k in range(n):
        halves = [np.append(cell, side) for cell in cells for side in (True, False)]
        cells = [half for half in halves if _open(unit[: k + 1], half)]
    return np.array(cells)


def sampled_patterns(x: Array, count: int = 300, seed: int = 0) -> Gates:
    """The different patterns of so many Gaussian directions, (at most `count`, n)."""
    w = np.random.default_rng(seed).standard_normal((count, x.shape[1]))
    return np.unique(w @ x.T > 0, axis=0)


def _open(x: Array, gates: Gates) -> bool:
    """Whether some w with all |w_i| <= 1 is at a distance from every hyperplane, on the sides that the gates say."""
    signed = np.where(gates, -1.0, 1.0)[:, None] * x
    d = x.shape[1]
    solution = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.column_stack([signed, np.ones(len(x))]),
        b_ub=np.zeros(len(x)),
        bounds=[(-1, 1)] * d + [(None, 1)],
    )
    return bool(solution.x[-1] > 1e-9)
