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


def held_on_gates(x: Array, y: Array, w: Array, a: Array, gates: Gates, held: Gates) -> tuple[Array, Gates] | None:
    """The w (m, d) nearest to the given ones that minimise L with a and the gates fixed, and the gates that it then
    has; None where no such point was found in ROUNDS.

    Neurons stay on the gates `held`, which count as closed (relu'(0) = 0); a gate that the solution would cross is
    closed and held too, and all is solved again. Every neuron with a_j != 0 may move. Neurons slide in this way on
    general data, each along many gates; freezing those that cross leaves too few to fit anything.
    """
    gates, held = gates & ~held, held.copy()
    lengths = np.linalg.norm(x, axis=1)
    moving = np.flatnonzero(a)
    for _ in range(ROUNDS):
        bases = {j: along_gates(x[held[j]], x.shape[1]) for j in moving}
        moved = w.copy()
        for j, basis in bases.items():
            moved[j] = basis @ (basis.T @ w[j])
        columns = {j: a[j] * gates[j][:, None] * (x @ basis) for j, basis in bases.items()}
        kernel = sum((part @ part.T for part in columns.values()), np.zeros((len(y), len(y))))
        r = y - (gates * (moved @ x.T)).T @ a
        multipliers = np.linalg.lstsq(kernel, r, rcond=SMALLEST)[0]  # of the least change that fits best
        for j, basis in bases.items():
            moved[j] += basis @ (columns[j].T @ multipliers)
        cosines = moved @ x.T / lengths / np.maximum(np.linalg.norm(moved, axis=1), np.finfo(float).tiny)[:, None]
        crossed = ((cosines > AT_ZERO) != gates) & (np.abs(cosines) > AT_ZERO) & ~held & (a != 0)[:, None]
        if not crossed.any():
            return moved, gates
        held |= crossed
        gates &= ~crossed
    return None


def closed_in_rounding(w: Array, x: Array, gates: Gates) -> Array:
    """The w, each moved by a few roundings to where every closed gate has <w_j, x_k> < 0 in floating point too,
    in whichever order the product is summed."""
    w = w.copy()
    lengths = np.linalg.norm(x, axis=1)
    for j in np.flatnonzero(np.linalg.norm(w, axis=1)):
        size = np.linalg.norm(w[j]) * lengths
        for _ in range(PUSHES):
            near = ~gates[j] & (x @ w[j] > -BEHIND * size)
            if not near.any():
                break
            w[j] -= np.linalg.pinv(x[near]) @ (x[near] @ w[j] + 2 * BEHIND * size[near])
    return w
