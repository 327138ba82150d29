"""Points at rest on many gates at once: the weights nearest to a network's where all that it is active on is fitted
as well as its gates allow, and gates that would be crossed are held closed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Gates = NDArray[np.bool_]
ROUNDS = 50  # of holding gates; Figure 6's plateau takes 5
BEHIND = 2e-15  # how far behind a gate no rounding of a product opens it, on the scale of AT_ZERO
DEPENDENT = 1e-9  # share of the largest singular value below which samples count as linearly dependent
SMALLEST = 1e-12  # share of the largest singular value below which a least-squares problem is taken as singular
PUSHES = 3  # of a neuron behind its gates: each has rounding of its own, and nearly always one is enough
AT_ZERO = 1e-13  # of <w_j, x_k> over ||w_j|| ||x_k||, that is rounding


def along_gates(x: Array, d: int) -> Array:
    """An orthonormal basis (d, ...) of the directions orthogonal to the samples x (k, d)."""
    if not len(x):
        return np.eye(d)
    _, singular, right = np.linalg.svd(x)
    return right[int((singular > DEPENDENT * singular[0]).sum()) :].T


def classes(rows: Gates) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which rows (m, n) are equal: the first row of each class, and the class of each row (m,)."""
    bits = np.packbits(rows, axis=1)
    whole = np.zeros((len(bits), max(8, -(-bits.shape[1] // 8) * 8)), dtype=np.uint8)
    whole[:, : bits.shape[1]] = bits
    words = whole.view(np.uint64)
    keys = words[:, 0] if words.shape[1] == 1 else words.view(f"V{whole.shape[1]}")[:, 0]  # numbers sort faster
    _, first, found = np.unique(keys, return_index=True, return_inverse=True)
    return first, found.reshape(-1)


class Along:
    """Neurons kept on gates (m, n), each moved along the directions orthogonal to those samples alone; neurons on the
    same gates share a basis."""

    def __init__(self, x: Array, kept: Gates) -> None:
        self.kept = kept
        first, self._of = classes(kept)
        self._bases = [along_gates(x[kept[j]], x.shape[1]) for j in first]

    def basis(self, j: int) -> Array:
        """The directions (d, ...) of neuron j."""
        return self._bases[self._of[j]]

    @property
    def dimensions(self) -> NDArray[np.int64]:
        """How many directions each neuron has, (m,)."""
        return np.array([basis.shape[1] for basis in self._bases])[self._of]

    def project(self, v: Array) -> Array:
        """v (m, d), each row along the directions of its neuron."""
        found = np.empty_like(v)
        for members, basis in zip(members_of(self._of, len(self._bases)), self._bases, strict=True):
            found[members] = v[members] @ basis @ basis.T
        return found


def members_of(classes: NDArray[np.intp], count: int) -> list[NDArray[np.intp]]:
    """The members of each of so many classes, in their order."""
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.searchsorted(classes[order], np.arange(1, count)))


def held_on_gates(x: Array, y: Array, w: Array, a: Array, gates: Gates, held: Gates) -> tuple[Array, Gates] | None:
    """The w (m, d) nearest to the given ones that minimise L with a and the gates fixed, and the gates that it then
    has; None where no such point was found in ROUNDS.

    Neurons stay on the gates `held`, which count as closed (relu'(0) = 0); a gate that the solution would cross is
    closed and held too, and all is solved again. Every neuron with a_j != 0 may move. Neurons slide in this way on
    general data, each along many gates; freezing those that cross leaves too few to fit anything.
    """
    gates, held = gates & ~held, held.copy()
    lengths = np.linalg.norm(x, axis=1)
    moving = a != 0
    for _ in range(ROUNDS):
        along = Along(x, held)
        moved = np.where(moving[:, None], along.project(w), w)
        kernel = np.zeros((len(y), len(y)))
        first, of = classes(np.hstack([gates, held]))
        weights = np.bincount(of, a * a)
        for j, weight in zip(first, weights, strict=True):  # neurons of the same gates, held alike, are one
            part = gates[j][:, None] * (x @ along.basis(j))
            kernel += weight * (part @ part.T)
        r = y - (gates * (moved @ x.T)).T @ a
        multipliers = np.linalg.lstsq(kernel, r, rcond=SMALLEST)[0]  # of the least change that fits best
        moved += along.project(a[:, None] * ((gates * multipliers) @ x))
        cosines = moved @ x.T / lengths / np.maximum(np.linalg.norm(moved, axis=1), np.finfo(float).tiny)[:, None]
        crossed = ((cosines > AT_ZERO) != gates) & (np.abs(cosines) > AT_ZERO) & ~held & moving[:, None]
        if not crossed.any():
            return moved, gates
        held |= crossed
        gates &= ~crossed
    return None


def closed_in_rounding(w: Array, x: Array, gates: Gates) -> Array:
    """The w, each moved by a few roundings to where every closed gate has <w_j, x_k> < 0 in floating point too,
    in whichever order the product is summed."""
    w = w.copy()
    sizes = np.linalg.norm(w, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    for _ in range(PUSHES):
        near = ~gates & (w @ x.T > -BEHIND * sizes) & (sizes > 0)
        (pushed,) = np.nonzero(near.any(axis=1))
        if not len(pushed):
            break
        first, of = classes(near[pushed])
        for j, members in zip(pushed[first], members_of(of, len(first)), strict=True):
            k, rows = near[j], pushed[members]
            w[rows] -= (w[rows] @ x[k].T + 2 * BEHIND * sizes[rows][:, k]) @ np.linalg.pinv(x[k]).T
    return w
