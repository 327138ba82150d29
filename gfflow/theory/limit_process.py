"""The limit process: how each neuron moves while the network is small, solved exactly (Eq. 10).

With h = 0 every neuron moves alone: dw/dt = a D, da/dt = <D, w>, D = (1/n) sum_k y_k x_k 1[<w, x_k> > 0].
Between two gate changes D is constant and, with N = ||D||, u = D/N, p = <u, w>,

    w(t) = w + u (p (cosh Nt - 1) + a sinh Nt),     a(t) = a cosh Nt + p sinh Nt.

Sample k with z = <w, x_k>, c = <u, x_k> closes its gate at the smallest E = e^{Nt} > 1 with

    c (p + a)/2 E^2 + (z - c p) E + c (p - a)/2 = 0,

and on orthogonal inputs a closed gate stays closed (Lemma 6). A neuron therefore takes at most n + 1 pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gfflow.data import TrainingSet
from gfflow.neurons import Neurons

Array = NDArray[np.float64]
VANISHED = 1e-13  # size, relative to the neuron at the start of a piece, below which rounding alone is left of it


@dataclass(frozen=True, eq=False)
class Piece:
    """All m neurons at the start of their i-th piece, each scaled by exp(-log_scale) to ||w|| = 1."""

    time: Array  # (m,)
    log_scale: Array  # (m,)
    w: Array  # (m, d)
    a: Array  # (m,)
    u: Array  # (m, d), the unit vector along D; zero for a neuron with all gates closed
    rate: Array  # (m,), N = ||D||


@dataclass(frozen=True, eq=False)
class LimitProcess:
    """The exact solution for every neuron of a start on orthogonal inputs; independent of lambda but for the
    log-norms, which it shifts."""

    pieces: tuple[Piece, ...]

    @property
    def rate(self) -> Array:
        """N after the last gate change, shape (m,)."""
        return self.pieces[-1].rate

    @property
    def log_amplitude(self) -> Array:
        """ln(||w_j(t)|| e^{-N t}) as t grows: ln(|a + p| / 2) - N t at the last gate change, with the log-norm
        carried; kappa_j + ln lambda. Shape (m,); -inf where the neuron shrinks for ever."""
        last = self.pieces[-1]
        p = (last.u * last.w).sum(axis=1)
        with np.errstate(divide="ignore"):
            return np.log(np.abs(last.a + p) / 2) - last.rate * last.time + last.log_scale

    def at(self, time: float) -> tuple[Array, Array]:
        """Log-norms (m,) and directions (m, d) of the neurons at the given flow time."""
        log_norms = np.empty(len(self.rate))
        directions = np.empty_like(self.pieces[0].w)
        for piece in self.pieces:  # later pieces overwrite earlier ones for the neurons that have reached them
            reached = piece.time <= time
            w, _, growth = _move(piece, np.where(reached, time - piece.time, 0.0))
            norms = np.linalg.norm(w, axis=1)
            with np.errstate(divide="ignore"):  # a neuron that has shrunk to nothing: log-norm -inf, direction zero
                log_norms[reached] = (piece.log_scale + growth + np.log(norms))[reached]
            directions[reached] = (w / np.where(norms > 0, norms, 1.0)[:, None])[reached]
        return log_norms, directions


def solve_limit_process(training_set: TrainingSet, start: Neurons) -> LimitProcess:
    """Solves the limit process from the start, balanced or not, piece by piece; inputs must be orthogonal."""
    x, y = training_set.x.numpy(), training_set.y.numpy()
    squares = (x**2).sum(axis=1)
    w, norms = start.directions.numpy().copy(), start.norms.numpy()
    a = start.a.numpy() / norms
    time, log_scale = np.zeros(len(a)), np.log(norms)
    z = w @ x.T
    gates = z > 0
    vanishing = np.zeros(len(a), dtype=bool)  # shrinking for ever: would close its last gate at w = 0 only
    pieces = []
    while True:
        field = (gates * (y / len(y))) @ x
        rate = np.linalg.norm(field, axis=1)
        u = field / np.where(rate > 0, rate, 1.0)[:, None]
        piece = Piece(time, log_scale, w, a, u, rate)
        pieces.append(piece)
        closing, k = _first_closing(piece, x, np.where(gates, z, 0.0), gates & ~vanishing[:, None])
        moving = np.isfinite(closing)
        duration = np.where(moving, np.log(closing) / np.where(moving, rate, 1.0), 0.0)
        moved, moved_a, growth = _move(piece, duration)
        along = (moved * x[k]).sum(axis=1) / squares[k]
        moved = moved - np.where(moving, along, 0.0)[:, None] * x[k]  # exactly on the gate
        vanishing |= moving & (np.linalg.norm(moved, axis=1) <= VANISHED * np.exp(-growth))
        moving &= ~vanishing
        if not moving.any():
            return LimitProcess(tuple(pieces))
        duration = np.where(moving, duration, 0.0)
        w, a = np.where(moving[:, None], moved, w), np.where(moving, moved_a, a)
        gates[moving, k[moving]] = False
        size = np.linalg.norm(w, axis=1)
        w, a = w / size[:, None], a / size
        log_scale = log_scale + np.log(size) + np.where(moving, growth, 0.0)
        time = time + duration  # a neuron without further events is carried on unchanged
        z = w @ x.T


def _move(piece: Piece, duration: Array) -> tuple[Array, Array, Array]:
    """(w, a) after the duration (m,), both times e^{-growth}, and the growth N * duration, each (m,)."""
    growth = piece.rate * duration
    once, twice = np.exp(-growth), np.exp(-2 * growth)
    p = (piece.u * piece.w).sum(axis=1)
    along = p * ((1 + twice) / 2 - once) + piece.a * (1 - twice) / 2
    w = piece.w * once[:, None] + piece.u * along[:, None]
    a = piece.a * (1 + twice) / 2 + p * (1 - twice) / 2
    return w, a, growth


def _first_closing(piece: Piece, x: Array, z: Array, gates: NDArray[np.bool_]) -> tuple[Array, NDArray[np.int64]]:
    """For each neuron the smallest E > 1 at which an open gate closes (inf: none), and that sample's index."""
    p = (piece.u * piece.w).sum(axis=1)
    c = piece.u @ x.T
    square, linear, constant = (
        c * ((p + piece.a) / 2)[:, None],
        z - c * p[:, None],
        c * ((p - piece.a) / 2)[:, None],
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = np.sqrt(linear**2 - 4 * square * constant)
        q = -(linear + np.copysign(root, linear)) / 2  # the form of the quadratic formula without cancellation
        roots = np.stack([q / square, constant / q])
        roots = np.where(np.isfinite(roots) & (roots > 1) & gates, roots, np.inf).min(axis=0)
    k = roots.argmin(axis=1)
    return roots[np.arange(len(k)), k], k
