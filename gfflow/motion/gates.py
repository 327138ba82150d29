"""Gates of a set of inputs, the forces that a residual puts on them, and the states in which neurons meet them.

A gate is a hyperplane through 0 with the unit normal n_g; neuron j is ON, OFF or at zero there. Samples along n_g
(`plus`) pull where the gate is on, samples against it (`minus`) where it is off, so that with c_k = r_k / n

    D(w) = sum_k c_k x_k [<w, x_k> > 0] = base + sum over gates that are on of C_g n_g,
    base = sum_{k minus} c_k x_k,   C_g = sum_{k plus} c_k ||x_k|| + sum_{k minus} c_k ||x_k||.

States at zero: SLIDING; HELD, at which nothing pulls (f = 0 but no drift away: a closed gate on orthogonal inputs,
Lemma 6); HELD_ON, the same with f = 1, only where gates depend on each other (motion/sliding.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import compiled, lean

OFF, ON, SLIDING, HELD, HELD_ON = 0, 1, 2, 3, 4
FRACTION = 1e-11  # by which rounding may carry a fraction out of [0, 1]
LEVEL = 1e-15  # of a drift over ||D||: the neuron moves along the gate


class Gates(NamedTuple):
    """The gates of a set of inputs, in coordinates of the span of the inputs and, where the neurons have a part
    outside it, one more coordinate for that part: q or q + 1 of them, Q for short."""

    inputs: Any  # (n, Q)
    samples: Any  # (Q, n), the same transposed
    gate: Any  # (n,) int64, the gate of each sample
    side: Any  # (n,), 1 for a sample along the normal, -1 for one against it
    length: Any  # (n,), ||x_k||
    normal: Any  # (g, Q), unit
    columns: Any  # (Q, g), the same transposed
    plus: Any  # (g,) bool, whether the gate has a sample along its normal
    minus: Any  # (g,) bool, whether it has one against it
    hashes: Any  # (g + 1, 5) int64, random numbers for the states of each gate and, last, for the sign of the neuron
    rank: int  # q, the dimension of the span of the inputs


class Field(NamedTuple):
    """The field of one set of gate states, and room for finding it."""

    state: Any  # (g,) int8
    zero: Any  # (g,) bool, gates at zero that may be in any state
    on: Any  # (Q,), base + sum_on C_g n_g
    d: Any  # (Q,), D
    u: Any  # (Q,), D/||D||; where only one line is left to D, made of the gates alone, but for its sign
    rate: Any  # (1,), ||D||
    slack: Any  # (1,), by which a fraction may lie outside [0, 1]: what the residual's accuracy lets it be known to
    drift: Any  # (g,), <u, n_g>, once somebody has asked for it
    basis: Any  # (Q, Q), orthonormal rows that span the normals of the gates at zero
    triangle: Any  # (Q, Q), with which they were made: n_i = sum_{j <= i} triangle_ij basis_j
    index: Any  # (Q,) int64, the gates at zero that made the basis
    multiplier: Any  # (Q,), b_i: D = base + sum_on C_g n_g + sum_i b_i n_i
    spare: Any  # (5, Q)
    info: Any  # (4,) int64: rank of the gates at zero; dimensions left to D (0, 1 or 2 for more); whether `drift` is
    # known; how many gates at zero depend on those that made the basis


def arrangement(inputs: Any, rank: int) -> Gates:
    """The gates of the inputs (n, Q); those that are positive multiples of each other share one."""
    length = np.linalg.norm(inputs, axis=1)
    unit = inputs / length[:, None]
    gate, side = np.empty(len(unit), np.int64), np.ones(len(unit), np.int64)
    normals: list[Any] = []
    for k, direction in enumerate(unit):
        known = np.array(normals).reshape(-1, inputs.shape[1])
        near = np.abs(known + direction).max(axis=1, initial=0.0)
        opposite = np.flatnonzero(near <= 8 * np.finfo(float).eps)
        same = np.flatnonzero(np.abs(known - direction).max(axis=1, initial=0.0) <= 4 * np.finfo(float).eps)
        gate[k] = opposite[0] if len(opposite) else same[0] if len(same) else len(normals)
        if len(opposite):
            side[k] = -1
        elif len(same):
            continue
        else:
            normals.append(direction)
    g, normal = len(normals), np.array(normals)
    plus, minus = (np.bincount(gate[side == sign], minlength=g) > 0 for sign in (1, -1))
    hashes = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, size=(g + 1, 5))
    inputs = np.ascontiguousarray(inputs)
    return Gates(inputs, inputs.T.copy(), gate, side, length, normal, normal.T.copy(), plus, minus, hashes, rank)


def new_field(gates: Gates) -> Field:
    """An empty field."""
    g, q = gates.normal.shape
    vectors = (
        np.zeros(q),
        np.zeros(q),
        np.zeros(q),
        np.zeros(1),
        np.full(1, FRACTION),
        np.zeros(g),
        np.zeros((q, q)),
        np.zeros((q, q)),
    )
    states = (np.zeros(g, np.int8), np.zeros(g, np.bool_))
    return Field(*states, *vectors, np.zeros(q, np.int64), np.zeros(q), np.zeros((5, q)), np.zeros(4, np.int64))


@lean
def inherit(f, other):  # type: ignore[no-untyped-def]
    """The field `other` into f, but for what `direct` finds."""
    copy(other.state, f.state)
    copy(other.on, f.on)
    copy(other.d, f.d)
    copy(other.info, f.info)
    f.info[2] = 0
    for i in range(f.info[0]):
        copy(other.basis[i], f.basis[i])
        copy(other.triangle[i], f.triangle[i])
        f.index[i], f.multiplier[i] = other.index[i], other.multiplier[i]


@lean
def copy(source, target):  # type: ignore[no-untyped-def]
    """target = source, element by element: slices would allocate."""
    for i in range(target.size):
        target[i] = source[i]


@lean
def put(source, target, factor):  # type: ignore[no-untyped-def]
    """target = factor * source."""
    for i in range(target.size):
        target[i] = factor * source[i]


@lean(fastmath={"reassoc", "contract"})
def dot(p, q):  # type: ignore[no-untyped-def]
    """<p, q> of two short vectors."""
    total = 0.0
    for i in range(p.size):
        total += p[i] * q[i]
    return total


@lean
def products(gates, v, out):  # type: ignore[no-untyped-def]
    """<v, n_g> for all gates, into out (g,)."""
    columns, first = gates.columns, v.size % 4
    out[:] = 0.0
    for q in range(first):
        part = v[q]
        for g in range(out.size):
            out[g] += part * columns[q, g]
    for q in range(first, v.size, 4):  # four at a time: `out` is read and written less often
        one, two, three, four = v[q], v[q + 1], v[q + 2], v[q + 3]
        for g in range(out.size):
            out[g] += (
                one * columns[q, g] + two * columns[q + 1, g] + three * columns[q + 2, g] + four * columns[q + 3, g]
            )


@lean
def forces(gates, r, force, base):  # type: ignore[no-untyped-def]
    """C (g,) and base (Q,) of the residual r (n,); returns the sum of all forces, which rounding is relative to."""
    force[:] = 0.0
    base[:] = 0.0
    size, n = 0.0, r.size
    for k in range(n):
        pull = r[k] / n * gates.length[k]
        force[gates.gate[k]] += pull
        size += abs(pull)
        if gates.side[k] < 0:
            for i in range(base.size):
                base[i] += r[k] / n * gates.inputs[k, i]
    return size


@lean
def key_of(gates, states, a):  # type: ignore[no-untyped-def]
    """A hash of a neuron's gate states and the sign of its output weight: 64 bits, equal for equal ones."""
    g = states.size
    key = gates.hashes[g, 0 if a < 0.0 else (1 if a > 0.0 else 2)]
    for k in range(g):
        key ^= gates.hashes[k, states[k]]
    return key


@compiled
def keys_of(gates, states, a):  # type: ignore[no-untyped-def]
    """The keys of all neurons, for states (m, g) and a (m,)."""
    keys = np.empty(a.size, np.int64)
    for j in range(a.size):
        keys[j] = key_of(gates, states[j], a[j])
    return keys
