"""The field that a small neuron feels, on any data: G(w) = (1/n) sum_k r_k relu(<w, x_k>) on the unit sphere.

A neuron (w, a) next to zero, balanced and of sign s, grows at the rate s G(w/||w||) and turns to s D(w), the gradient
of s G (Eq. 9, Eq. 28). With r = y this is the early phase; with the residuals of a saddle it is the escape from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from gfflow.motion.patterns import SPAN, arc_ends, arc_middles, cells, flats, listed_patterns, most_patterns

Array = NDArray[np.float64]
Gates = NDArray[np.bool_]
LISTED = 100_000  # sets of equal gates up to which the extremal directions are all listed
ROUNDING = 1e-12  # of an angle, and of D against its largest possible size


@dataclass(frozen=True, eq=False)
class ExtremalDirection:
    """A unit vector w with w = sign D/||D||, where neurons of that sign stop turning and grow (Maennel et al. 2018).

    On open gates D is D(w). Gates on which w lies take shares f_k in [0, 1] of their force r_k x_k, means of those
    around w (Filippov; the critical points of G in Clarke's sense); with them D is the projection of D(w) along these
    gates. Where some share is not 0 the direction is sliding. It is stable where it is a local maximum of sign G: for
    independent gates, where sign r_k < 0 on all on which it lies, so that the field points back from both sides.
    """

    sign: int
    direction: Array  # (d,)
    rate: float  # ||D||, at which a neuron there grows
    gates: Gates  # (n,), the samples that it is active on, those on whose gates it lies not counted
    sliding: bool = False
    stable: bool = True


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


def extremal_directions(x: Array, r: Array, slope: float = 0.0) -> list[ExtremalDirection] | None:
    """All extremal directions, exactly: at most one for each sign and each set of w with the same gates open, closed
    and at zero, of every dimension. None where there may be more than LISTED such sets.

    A gate at zero counts as off in D(w): a direction with shares 0 is one by the definition with relu'(0) = 0.
    Sorted by rate, the fastest first. Directions in which D vanishes, where neurons rest, are none of them. `slope`
    is that of the activation below 0: closed gates then weigh so much, and shares are of the rest of a gate's force.
    """
    x, r = np.asarray(x, dtype=np.float64), np.asarray(r, dtype=np.float64)  # tensors will do
    n = len(r)
    pulls = np.flatnonzero(r)
    if not len(pulls):
        return []
    lengths = np.linalg.norm(x[pulls], axis=1)
    sizes, rows = np.linalg.svd(x[pulls] / lengths[:, None])[1:]
    basis = rows[: int((sizes > SPAN).sum())]  # every D lies in the span of the inputs
    unit, force = x[pulls] @ basis.T / lengths[:, None], r[pulls] * lengths / n
    rank, always = len(basis), slope * (force @ unit)  # what pulls whatever the gates
    force = (1 - slope) * force
    if sum(comb(len(unit), i) * most_patterns(len(unit) - i, rank - i) for i in range(rank)) > LISTED:
        return None
    found = []
    for i in range(rank):
        for held, across in flats(unit, i):
            for sign, w, rate, drift, shares in _critical_on(unit, force, held, across, always):
                direction = w @ basis
                z = x @ direction / np.linalg.norm(x, axis=1)
                stable = _is_peak(unit[held], sign * force[held], sign * drift, i)
                found.append(ExtremalDirection(sign, direction, rate, z > ROUNDING, bool(shares.any()), stable))
    return sorted(found, key=lambda direction: -direction.rate)


def _critical_on(
    x: Array, force: Array, held: Gates, across: Array, always: Array
) -> Iterator[tuple[int, Array, float, Array, Array]]:
    """(sign, w, rate, D(w) off that space, shares of the held gates) of the extremal directions on which exactly the
    gates `held` (n,) are at zero; `across` is a basis of that space, the inputs x have length one and pull with
    force_k x_k where their gates are open, and `always` (d,) everywhere."""
    rest = x[~held] @ across.T
    patterns = cells(rest)
    full = (patterns * force[~held]) @ x[~held] + always
    d = full @ across.T
    rates = np.linalg.norm(d, axis=1)
    smallest = ROUNDING * float(np.abs(force).sum() + np.abs(always).sum())
    for sign in (1, -1):
        w = sign * d / np.where(rates > smallest, rates, 1.0)[:, None]
        z = w @ rest.T
        there = (rates > smallest) & np.where(patterns, z > ROUNDING, z < -ROUNDING).all(axis=1)
        for i in np.flatnonzero(there):
            drift = full[i] - d[i] @ across
            shares = _shares(x[held], force[held], drift, x.shape[1] - len(across))
            if shares is not None:
                yield sign, w[i] @ across, float(rates[i]), drift, shares


def _is_peak(x: Array, force: Array, drift: Array, rank: int) -> bool:
    """Whether <drift, v> + sum_k force_k relu(<x_k, v>) > 0 for no v, given that shares of the gates undo the drift;
    for k gates x (k, d) of length one that span `rank` dimensions."""
    if len(x) == rank:
        return bool((force < 0).all())
    basis = np.linalg.svd(x)[2][:rank]
    rays = np.concatenate([across for _, across in flats(x @ basis.T, rank - 1)]) @ basis
    rays = np.concatenate([rays, -rays])  # it is linear on the cells, whose edges these are
    return bool((rays @ drift + np.maximum(rays @ x.T, 0) @ force <= SPAN * np.abs(force).sum()).all())


def _shares(x: Array, force: Array, drift: Array, rank: int) -> Array | None:
    """The shares f (k,) of the gates x (k, d), of length one and spanning `rank` dimensions, that undo the drift
    (d,); None where none do: means of the patterns around, hence any in [0, 1] if the gates are independent."""
    if not len(x):
        return np.zeros(0)
    pulls = x * force[:, None]
    if len(x) == rank:
        shares = np.asarray(np.linalg.lstsq(pulls.T, -drift, rcond=None)[0], dtype=np.float64)
        if np.any((shares < -ROUNDING) | (shares > 1 + ROUNDING)):
            return None
    else:
        near = cells(x @ np.linalg.svd(x)[2][:rank].T)
        weights, _ = nnls(np.column_stack([near @ pulls, np.ones(len(near))]).T, np.append(-drift, 1.0))
        shares = weights @ near
    shares[np.abs(shares) <= ROUNDING] = 0.0
    return shares if np.abs(shares @ pulls + drift).max() <= SPAN * np.abs(force).max() else None


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
