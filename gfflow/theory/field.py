"""The field that a small neuron feels, on any data: G(w) = (1/n) sum_k r_k relu(<w, x_k>) on the unit sphere.

A neuron (w, a) next to zero, balanced and of sign s, grows at the rate s G(w/||w||) and turns to s D(w), the gradient
of s G (Eq. 9, Eq. 28). With r = y this is the early phase; with the residuals of a saddle it is the escape from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from gfflow.theory.patterns import arc_ends, arc_middles, listed_patterns

Array = NDArray[np.float64]
Gates = NDArray[np.bool_]
ROUNDING = 1e-12  # of an angle, and of D against its largest possible size


@dataclass(frozen=True, eq=False)
class ExtremalDirection:
    """A unit vector w with w = sign D(w)/||D(w)||: where neurons of that sign stop turning (Maennel et al. 2018).

    Where it is sliding, w lies on a gate at which the field points from both sides, and D is the projection of D(w)
    along that gate: Filippov's.
    """

    sign: int
    direction: Array  # (d,)
    rate: float  # ||D(w)||, at which a neuron there grows
    gates: Gates  # (n,), the samples that it is active on
    sliding: bool = False


@dataclass(frozen=True, eq=False)
class Escape:
    """The largest |G| on the unit sphere: how fast the fastest neuron leaves zero, which way, and with which sign."""

    rate: float
    direction: Array  # (d,)
    sign: int
    exact: bool  # False: found by ascent from many starts, so only a lower bound of the rate


def field(x: Array, r: Array, w: Array) -> Array:
    """D(w) = (1/n) sum_k r_k x_k 1[<w, x_k> > 0] for each row of w (..., d)."""
    return ((w @ x.T > 0) * r) @ x / len(r)


def growth(x: Array, r: Array, w: Array) -> Array:
    """G(w) = <w, D(w)> for each row of w (..., d): positive where a neuron with a > 0 grows."""
    return np.maximum(w @ x.T, 0) @ r / len(r)


def extremal_directions(x: Array, r: Array) -> list[ExtremalDirection]:
    """All extremal directions of data in the plane, exactly: one candidate for each sign and arc of equal gates, and
    one for each sign and gate on which neurons slide.

    A direction on the boundary of its arc (a gate at exactly zero, counted as off) belongs to the arc without that
    sample. Sorted by rate, the fastest first. Raises ValueError unless d = 2.
    """
    found: list[ExtremalDirection] = []
    n = len(r)
    smallest = ROUNDING * float(np.abs(r) @ np.linalg.norm(x, axis=1)) / n
    for middle in arc_middles(x):
        gates = x @ middle > 0
        d = (gates * r) @ x / n
        size = float(np.linalg.norm(d))
        if size <= smallest:
            continue
        for sign in (1, -1):
            w = sign * d / size
            z = x @ w / np.linalg.norm(x, axis=1)
            if np.all(np.where(gates, z > ROUNDING, z <= ROUNDING)):
                found.append(ExtremalDirection(sign, w, size, gates))
    found += _sliding_directions(x, r, smallest)
    return sorted(found, key=lambda direction: -direction.rate)


def _sliding_directions(x: Array, r: Array, smallest: float) -> list[ExtremalDirection]:
    """The gates of the plane to which s D turns from both sides, and along which the neuron grows."""
    ends, after = arc_ends(x), arc_middles(x)
    before = np.roll(after, 1, axis=0)
    gates = (before @ x.T > 0) & (after @ x.T > 0)
    turning = [ends[:, 0] * d[:, 1] - ends[:, 1] * d[:, 0] for d in (field(x, r, before), field(x, r, after))]
    rates = growth(x, r, ends)
    return [
        ExtremalDirection(sign, ends[i], float(sign * rates[i]), gates[i], sliding=True)
        for sign in (1, -1)
        for i in np.flatnonzero(
            (sign * turning[0] > smallest) & (sign * turning[1] < -smallest) & (sign * rates > smallest)
        )
    ]


def escape(x: Array, r: Array, starts: int = 2000, seed: int = 0) -> Escape:
    """max over unit w of |G(w)|: exact where all patterns can be listed, else by ascent from `starts` directions.

    In the plane G is a sinusoid ||D|| cos on every arc of equal gates, so its extremes are the extremal directions or
    lie between arcs. A rate of 0 means that no neuron can leave zero.
    """
    patterns = listed_patterns(x)
    if x.shape[1] == 2:
        inner = [field(x, r, middle) for middle in arc_middles(x)]
        lengths = [float(np.linalg.norm(v)) for v in inner]
        peaks = [sign * v / size for v, size in zip(inner, lengths, strict=True) if size > 0 for sign in (1, -1)]
        candidates = np.array([*peaks, *arc_ends(x)])
    elif patterns is not None:
        candidates = _cone_peaks(x, r, patterns)
    else:
        candidates = _ascended(x, r, starts, seed)
    values = growth(x, r, candidates)
    best = int(np.abs(values).argmax())
    return Escape(
        float(abs(values[best])), candidates[best], 1 if values[best] >= 0 else -1, exact=patterns is not None
    )


def _cone_peaks(x: Array, r: Array, patterns: Gates) -> Array:
    """Where |G| is largest on each cell's closure: the directions of the projections of D and -D onto that cone.

    The projection of v onto {w : S w >= 0} is v + S^T c, c >= 0 the least-squares solution of v + S^T c = 0 (Moreau).
    """
    peaks = []
    for gates in patterns:
        sides = np.where(gates, 1.0, -1.0)[:, None] * x
        d = (gates * r) @ x / len(r)
        for v in (d, -d):
            w = v + sides.T @ nnls(sides.T, -v)[0]
            if np.linalg.norm(w) > ROUNDING * np.linalg.norm(v):
                peaks.append(w / np.linalg.norm(w))
    return np.array(peaks or [np.eye(x.shape[1])[0]])


def _ascended(x: Array, r: Array, starts: int, seed: int) -> Array:
    """Directions climbed to along s D from random ones and from the samples' own, for both signs s; (2 starts, d)."""
    random = np.random.default_rng(seed).standard_normal((starts, x.shape[1]))
    w = np.concatenate([random, x, -x])
    w = np.concatenate([w, w]) / np.linalg.norm(np.concatenate([w, w]), axis=1)[:, None]
    signs = np.repeat([1.0, -1.0], len(w) // 2)
    best, value = w, signs * growth(x, r, w)
    for step in np.geomspace(1, 1e-6, 200):
        d = signs[:, None] * field(x, r, w)
        size = np.linalg.norm(d, axis=1)
        w = w + step * d / np.where(size > 0, size, 1.0)[:, None]
        w = w / np.linalg.norm(w, axis=1)[:, None]
        now = signs * growth(x, r, w)
        best, value = np.where((now > value)[:, None], w, best), np.maximum(now, value)
    return best
