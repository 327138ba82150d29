"""The limit process: how each neuron moves while the network is small, solved exactly (Eq. 10).

With h = 0 every neuron moves alone: dw/dt = a D, da/dt = <D, w>, D = (1/n) sum_k y_k x_k 1[<w, x_k> > 0].
Between two gate changes D is constant and, with N = ||D||, u = D/N, p = <u, w>,

    w(t) = w + u (p (cosh Nt - 1) + a sinh Nt),     a(t) = a cosh Nt + p sinh Nt.

Sample k with z = <w, x_k>, c = <u, x_k> closes its gate at the E = e^{Nt} > 1 with

    c (p + a)/2 E^2 + (z - c p) E + c (p - a)/2 = 0

at which the left side, E <w(t), x_k>, falls; and on orthogonal inputs a closed gate stays closed (Lemma 6). A
neuron therefore takes at most n + 1 pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons

Array = NDArray[np.float64]
ON_GATE = 1e-14  # some roundings: cosine of w and x_k up to which a neuron that falls towards a gate is on it


@dataclass(frozen=True, eq=False)
class Piece:
    """All m neurons at the start of their i-th piece, each scaled by exp(-log_scale) to ||w|| = 1."""

    time: Array  # (m,)
    log_scale: Array  # (m,)
    w: Array  # (m, d)
    a: Array  # (m,)
    u: Array  # (m, d), the unit vector along D; zero for a neuron with all gates closed
    rate: Array  # (m,), N = ||D||

    def of(self, neurons: Any) -> Piece:
        """That of some of the neurons."""
        parts = (self.time, self.log_scale, self.w, self.a, self.u, self.rate)
        return Piece(*(part[neurons] for part in parts))


@dataclass(frozen=True, eq=False)
class LimitProcess:
    """The exact solution for every neuron of a start on orthogonal inputs; independent of lambda but for the
    log-norms, which it shifts."""

    pieces: tuple[Piece, ...]
    gates: NDArray[np.bool_]  # (m, n), after the last gate change

    @property
    def rate(self) -> Array:
        """N after the last gate change, shape (m,)."""
        return self.pieces[-1].rate

    @cached_property
    def log_amplitude(self) -> Array:
        """ln(||w_j(t)|| e^{-N t}) as t grows: ln(|a + p| / 2) - N t at the last gate change, with the log-norm
        carried; kappa_j + ln lambda. Shape (m,); -inf where the neuron shrinks for ever or has vanished."""
        last = self.pieces[-1]
        growing = np.abs(last.a + (last.u * last.w).sum(axis=1)) / 2
        with np.errstate(divide="ignore"):
            amplitude = np.log(np.where(last.rate > 0, growing, np.linalg.norm(last.w, axis=1)))
        return amplitude - last.rate * last.time + last.log_scale

    def members(self, sign: int, samples: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which neurons end with the sign of a_j, on all the `samples` (n,), those of this sign: shape (m,).

        They are the ones that align with D+ (sign +1) or -D- (sign -1) and grow at its full rate. From a balanced
        start they are S+ or S- (Eq. 5 and 6) but for neurons exactly on a gate, which stay on it; from an unbalanced
        one a_j can change its sign on the way.
        """
        last = self.pieces[-1]
        ends = sign * (last.a + (last.u * last.w).sum(axis=1)) > 0
        return ends & self.gates[:, samples].all(axis=1)

    def of(self, neurons: Any) -> LimitProcess:
        """That of some of the neurons."""
        return LimitProcess(tuple(piece.of(neurons) for piece in self.pieces), self.gates[neurons])

    def directions(self, times: Array) -> Array:
        """Directions of the neurons at the given flow times (T,), shape (T, m, d); zero for one that has vanished."""
        first = self.pieces[0]
        directions = np.zeros((len(times), *first.w.shape))
        later = np.zeros(directions.shape[:2], dtype=np.bool_)  # where a later piece has been reached
        for piece in reversed(self.pieces):
            reached = (piece.time <= times[:, None]) & ~later
            if reached.any():
                w, _, _ = _move(piece, np.where(reached, times[:, None] - piece.time, 0.0))
                norms = np.linalg.norm(w, axis=-1)
                np.divide(w, norms[..., None], out=directions, where=(reached & (norms > 0))[..., None])
            later |= reached
            if later.all():
                break
        return directions

    def at(self, time: float) -> tuple[Array, Array]:
        """Log-norms (m,) and directions (m, d) of the neurons at the given flow time; -inf and zero for a neuron
        that has vanished or shrunk by more than float64 can hold."""
        log_norms = np.empty(len(self.rate))
        directions = np.empty_like(self.pieces[0].w)
        for piece in self.pieces:  # later pieces overwrite earlier ones for the neurons that have reached them
            reached = piece.time <= time
            w, _, growth = _move(piece, np.where(reached, time - piece.time, 0.0))
            norms = np.linalg.norm(w, axis=1)
            with np.errstate(divide="ignore"):
                log_norms[reached] = (piece.log_scale + growth + np.log(norms))[reached]
            directions[reached] = (w / np.where(norms > 0, norms, 1.0)[:, None])[reached]
        return log_norms, directions


def solve_limit_process(training_set: TrainingSet, start: Neurons) -> LimitProcess:
    """Solves the limit process from the start, balanced or not, piece by piece; inputs must be orthogonal."""
    x, y = training_set.x.numpy(), training_set.y.numpy()
    lengths = training_set.norms.numpy()
    w, norms = start.directions.numpy(), start.norms.numpy()
    a = start.a.numpy() / norms
    balanced = np.abs(np.abs(a) - 1) <= ON_GATE
    time, log_scale = np.zeros(len(a)), np.log(norms)
    gates = start.w.numpy() @ x.T > 0  # not from the directions: their rounding opens a gate that is exactly zero
    pieces = []
    while True:
        falling = a[:, None] * y < 0  # the sign of d<w, x_k>/dt
        gates = gates & ~(falling & (w @ x.T <= ON_GATE * lengths))
        field = (gates * (y / len(y))) @ x
        rate = np.linalg.norm(field, axis=1)
        u = field / np.where(rate > 0, rate, 1.0)[:, None]
        p = (u * w).sum(axis=1)
        # a = -p: w falls along D and balances a, so it shrinks for ever; a rounding would grow
        a = np.where((rate > 0) & (np.abs(a + p) <= ON_GATE), -p, a)
        piece = Piece(time, log_scale, w, a, u, rate)
        pieces.append(piece)
        closing = _closings(piece, x, gates)
        k = closing.argmin(axis=1)
        j = np.flatnonzero(np.isfinite(closing.min(axis=1)))
        if len(j) == 0:
            return LimitProcess(tuple(pieces), gates)
        duration = np.zeros(len(a))
        duration[j] = np.log(closing[j, k[j]]) / rate[j]
        moved, moved_a, growth = _move(piece, duration)
        moved[j] -= ((moved[j] * x[k[j]]).sum(axis=1) / lengths[k[j]] ** 2)[:, None] * x[k[j]]  # exactly on the gate
        gates[j, k[j]] = False
        size = np.ones(len(a))  # a neuron without further events is carried on unchanged
        size[j] = np.linalg.norm(moved[j], axis=1)
        vanished = size <= ON_GATE  # w fell straight to zero and stays there: no gate is on
        gates[vanished], moved[vanished], size[vanished] = False, 0.0, 1.0
        w, a = w.copy(), a.copy()
        w[j], a[j] = moved[j] / size[j, None], moved_a[j] / size[j]
        a = np.where(balanced, np.sign(a), a)  # Lemma 1, which rounding loses where a neuron has shrunk much
        log_scale = log_scale + np.log(size) + growth
        time = time + duration


def _move(piece: Piece, duration: Array) -> tuple[Array, Array, Array]:
    """(w, a) after the duration (..., m), both times e^{-growth}, and the growth N * duration, each (..., m)."""
    growth = piece.rate * duration
    once, twice = np.exp(-growth), np.exp(-2 * growth)
    p = (piece.u * piece.w).sum(axis=1)
    rising, shrinking = (p + piece.a) / 2, (p - piece.a) / 2 * twice  # the modes e^{Nt} and e^{-Nt} of p
    across = piece.w - p[:, None] * piece.u
    return across * once[..., None] + piece.u * (rising + shrinking)[..., None], rising - shrinking, growth


def _closings(piece: Piece, x: Array, gates: NDArray[np.bool_]) -> Array:
    """The E > 1 at which each open gate would close in this piece, inf where it does not: shape (m, n).

    Of the quadratic's two roots it is the one at which the left side falls, (-linear - root) / (2 square).
    """
    p = (piece.u * piece.w).sum(axis=1)[:, None]
    a, c = piece.a[:, None], piece.u @ x.T
    square, linear, constant = c * (p + a) / 2, piece.w @ x.T - c * p, c * (p - a) / 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = np.sqrt(linear**2 - 4 * square * constant)
        q = -(linear + np.copysign(root, linear)) / 2  # the form of the quadratic formula without cancellation
        closing = np.where(linear >= 0, q / square, constant / q)
    return np.where(gates & np.isfinite(closing) & (closing > 1), closing, np.inf)
