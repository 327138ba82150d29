"""The span of the normals of the gates at which a neuron is at zero: an orthonormal basis, by Gram and Schmidt.

A gate more costs one projection, a gate less those of the gates after it, so that a neuron which passes many gates,
one after the other, does not find its whole basis anew at each.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import SLIDING, copy, dot, put

DEPENDENT = 1e-10  # part of a unit normal outside a span, below which it is in the span
LITTLE = 0.5  # part of a vector outside the span, below which rounding asks for a second projection


@lean(fastmath={"reassoc", "contract"})
def _project_once(basis, rank, v, along):  # type: ignore[no-untyped-def]
    """Takes off v (Q,) its part in the span of the first `rank` rows of the basis, which is put into `along`."""
    for i in range(rank):
        total = 0.0
        for q in range(v.size):
            total += basis[i, q] * v[q]
        along[i] = total
    for i in range(rank):
        part = along[i]
        for q in range(v.size):
            v[q] -= part * basis[i, q]


@lean
def take_off(f, v, along):  # type: ignore[no-untyped-def]
    """Takes off v (Q,) its part in the span, whose coefficients are put into `along` (Q,); the length of the rest."""
    if f.info[0] == 0:
        return np.sqrt(dot(v, v))
    before = np.sqrt(dot(v, v))
    _project_once(f.basis, f.info[0], v, along)
    length = np.sqrt(dot(v, v))
    if length < LITTLE * before:
        again = f.spare[3]
        _project_once(f.basis, f.info[0], v, again)
        for i in range(f.info[0]):
            along[i] += again[i]
        length = np.sqrt(dot(v, v))
    return length


@lean
def outside(f, normal, part):  # type: ignore[no-untyped-def]
    """The part (Q,) of a vector outside the span; returns its length."""
    copy(normal, part)
    return take_off(f, part, f.spare[4])


@lean
def append(gates, f, g):  # type: ignore[no-untyped-def]
    """Gate g's normal into the span, unless it is in it already."""
    rank = f.info[0]
    if rank == gates.rank:
        f.info[3] += 1
        return
    part = f.spare[0]
    copy(gates.normal[g], part)
    size = take_off(f, part, f.triangle[rank])
    if size <= DEPENDENT:
        f.info[3] += 1
        return
    f.triangle[rank, rank] = size
    put(part, f.basis[rank], 1.0 / size)
    f.index[rank] = g
    f.info[0] += 1


@lean
def span_zero(gates, f):  # type: ignore[no-untyped-def]
    """The span for the gate states as they are. The sliding gates come first: a gate that depends on those before it
    adds nothing."""
    f.info[0] = 0
    f.info[3] = 0
    held = False
    for g in range(f.state.size):
        if f.state[g] == SLIDING:
            append(gates, f, g)
        held |= f.state[g] > SLIDING
    if held:
        for g in range(f.state.size):
            if f.state[g] > SLIDING:
                append(gates, f, g)


@lean
def span_changed(gates, f, gate, before):  # type: ignore[no-untyped-def]
    """The span after the state of one gate has changed, from what it was `before`."""
    state = f.state[gate]
    if (state >= SLIDING) == (before >= SLIDING):
        return
    if f.info[3] > 0:  # gates depend on each other: others may take its place, or give it theirs
        span_zero(gates, f)
    elif state >= SLIDING:
        append(gates, f, gate)
        if f.info[3] > 0:
            span_zero(gates, f)
    else:
        place = 0
        while f.index[place] != gate:
            place += 1
        rank, f.info[0] = f.info[0], place
        for i in range(place + 1, rank):
            append(gates, f, f.index[i])


@lean
def multipliers(f, v, b):  # type: ignore[no-untyped-def]
    """Takes off v (Q,) its part in the span, which is - sum_i b_i n_i: b (Q,)."""
    rank = f.info[0]
    length = take_off(f, v, b)
    for i in range(rank - 1, -1, -1):
        b[i] = -b[i]
        for o in range(i + 1, rank):
            b[i] -= f.triangle[o, i] * b[o]
        b[i] /= f.triangle[i, i]
    return length


@lean
def clear_rounding(f, v, unit, watch):  # type: ignore[no-untyped-def]
    """Puts v back on the gates at zero, and back to length one."""
    along, change = f.spare[4], 0.0
    _project_once(f.basis, f.info[0], v, along)
    for i in range(f.info[0]):
        change = max(change, abs(along[i]))
    watch[1] = max(watch[1], change)
    if unit:
        size = np.sqrt(dot(v, v))
        watch[0] = max(watch[0], abs(size - 1.0))
        if size > 0.0:
            put(v, v, 1.0 / size)
