"""Activation patterns: which samples one neuron can be active on, 1[<w, x_k> > 0] over all w."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Gates = NDArray[np.bool_]
LISTED = 500  # patterns up to which they are listed one by one outside the plane
SPAN = 1e-9  # relative distance from a span within which an input lies in it
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


def most_patterns(n: int, d: int) -> int:
    """Cover's bound on the number of patterns, reached by n inputs in general position in R^d."""
    return 2 * sum(comb(n - 1, i) for i in range(min(d, n)))


def listed_patterns(x: Array) -> Gates | None:
    """Every pattern of the open cells that the hyperplanes <w, x_k> = 0 cut, (number, n); None where there may be
    more than LISTED. Patterns of w on a hyperplane are limits of these.

    In the plane by angles, else as `cells` does.
    """
    n, d = x.shape
    if d == 2:
        return arc_middles(x) @ x.T > 0
    if most_patterns(n, d) > LISTED:
        return None
    unit = x / np.linalg.norm(x, axis=1)[:, None]
    sizes, rows = np.linalg.svd(unit)[1:]
    return cells(unit @ rows[: int((sizes > SPAN).sum())].T)


def cells(x: Array) -> Gates:
    """The patterns of all open cells, (number, n), for n inputs of full rank d and of length about one.

    Each cell has a ray on its boundary on which d - 1 independent hyperplanes meet, and near a ray the cells are
    those of the hyperplanes through it: a problem in one dimension less.
    """
    n, d = x.shape
    if n == d:
        return np.array(list(product((True, False), repeat=n)))
    if d == 1:
        return np.stack([x[:, 0] > 0, x[:, 0] < 0])
    if d == 2:
        return arc_middles(x) @ x.T > 0
    found = []
    for flat, across in flats(x, d - 1):
        z = x @ across[0]
        near = cells(x[flat] @ np.linalg.svd(across)[2][1:].T)
        for side in (z > 0, z < 0):
            patterns = np.tile(side, (len(near), 1))
            patterns[:, flat] = near
            found.append(patterns)
    return np.unique(np.concatenate(found), axis=0)


def flats(x: Array, rank: int) -> Iterator[tuple[Gates, Array]]:
    """The different intersections of `rank` independent hyperplanes <w, x_k> = 0: which of them contain it, (n,), and
    an orthonormal basis of it, (d - rank, d). For inputs of length about one."""
    seen = set()
    for chosen in combinations(range(len(x)), rank):
        if rank == 0:
            yield np.zeros(len(x), dtype=bool), np.eye(x.shape[1])
            return
        sizes, rows = np.linalg.svd(x[list(chosen)])[1:]
        if sizes[-1] <= SPAN:
            continue
        across = rows[rank:]
        flat = np.abs(x @ across.T).max(axis=1) <= SPAN
        if int(flat.sum()) > rank:  # more hyperplanes meet here than in general position: other choices give it too
            if flat.tobytes() in seen:
                continue
            seen.add(flat.tobytes())
        yield flat, across


def sampled_patterns(x: Array, count: int = 300, seed: int = 0) -> Gates:
    """The different patterns of so many Gaussian directions, (at most `count`, n)."""
    w = np.random.default_rng(seed).standard_normal((count, x.shape[1]))
    return np.unique(w @ x.T > 0, axis=0)
