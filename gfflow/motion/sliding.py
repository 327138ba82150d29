"""Gates that may slide (Filippov): which state a gate at zero takes, and the field that results.

A neuron with output weight of the sign s moves along s D, that is up F = s sum_k c_k relu(<w, x_k>). Where s C_g <
0 the kink of F at gate g is concave (motion/gates.py): the field points back from both sides, and the neuron may
slide. It then moves along the shortest D = base + sum_on C_g n_g + sum_{g at zero} f_g C_g n_g with fractions f_g in
[0, 1] (the subgradient of least norm): f_g = 0 where it may leave to OFF, f_g = 1 to ON, and <D, n_g> = 0 where
0 < f_g < 1. This bounded least squares problem is solved by active sets; gates that depend on each other, as on a
lattice, are no exception in it.

A neuron lives in the orthogonal complement of the gates at which it is at zero, of which an orthonormal basis is
kept.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import FRACTION, HELD, HELD_ON, OFF, ON, SLIDING, copy, dot, products
from gfflow.motion.span import DEPENDENT, multipliers, outside, span_changed, span_zero

ROUNDING = 1e-13  # of the sum of all forces: a drift below this is rounding
UNCLEAR = 0.1  # part of the pull of a gate that has just begun to push away, below which a drift may be an error
ROUNDS = 8  # changes of each gate, at most, in search of states that agree with their drifts


@lean
def project(gates, f, force, base):  # type: ignore[no-untyped-def]
    """D and the multipliers for the states as they are."""
    copy(base, f.on)
    for g in range(f.state.size):
        if f.state[g] == ON or f.state[g] == HELD_ON:
            for q in range(f.on.size):
                f.on[q] += force[g] * gates.normal[g, q]
    span_zero(gates, f)
    _project_on(gates, f)


@lean
def _project_on(gates, f):  # type: ignore[no-untyped-def]
    """D and the multipliers, given the sum of the gates that are on and the span of those at zero."""
    copy(f.on, f.d)
    f.info[2] = 0
    if f.info[0] > 0:
        multipliers(f, f.d, f.multiplier)
    if f.info[0] == gates.rank:
        f.d[:] = 0.0


@lean
def direct(gates, f, size):  # type: ignore[no-untyped-def]
    """u and ||D|| of the field, and how many dimensions its gates leave to D whatever the forces.

    Where that is one, u is made of the gates alone: D moves along a line, to and fro, without turning."""
    rank, g = f.info[0], f.state.size
    line, part = f.spare[1], f.spare[2]
    longest, found = 0.0, 0
    for k in range(g):
        if not ((f.state[k] == ON and gates.plus[k]) or (f.state[k] == OFF and gates.minus[k])):
            continue
        if rank == 0:  # no two normals are parallel
            found += 1
            if found == 2:
                break
            copy(gates.normal[k], line)
            continue
        length = outside(f, gates.normal[k], part)
        if length <= DEPENDENT:
            continue
        if found == 0 or (rank == gates.rank - 1 and length > longest):
            for q in range(part.size):
                line[q] = part[q] / length
            longest, found = length, 1
        elif rank < gates.rank - 1:
            along, across = dot(line, part), 0.0
            for q in range(part.size):
                across += (part[q] - along * line[q]) ** 2
            if np.sqrt(across) > DEPENDENT:
                found = 2
                break
    f.info[1] = found
    along = dot(f.d, line) if found == 1 else np.sqrt(dot(f.d, f.d))
    if found == 0 or abs(along) <= 1e-16 * size:
        f.rate[0] = 0.0
        if found == 1:  # what a neuron has across the line is kept, although nothing pulls along it yet
            copy(line, f.u)
        return
    f.rate[0] = abs(along)
    for q in range(line.size):
        f.u[q] = np.copysign(line[q], line[q] * along) if found == 1 else f.d[q] / along


@lean
def _leaving(f, force, sign, size):  # type: ignore[no-untyped-def]
    """(gate, state to leave to) of the gate at zero whose fraction is furthest outside [0, 1]; gate -1 for none."""
    gate, state, worst = -1, OFF, 0.0
    smallest = 1.0
    for i in range(f.info[0]):
        smallest = min(smallest, f.triangle[i, i])
    noise = ROUNDING * size / smallest
    for i in range(f.info[0]):
        g, b = f.index[i], f.multiplier[i]
        if abs(b) <= noise and f.state[g] == HELD:
            continue
        if sign * force[g] < 0.0 and abs(force[g]) > noise:
            fraction = b / force[g] + (1.0 if f.state[g] == HELD_ON else 0.0)
            excess = max(-fraction, fraction - 1.0) - noise / abs(force[g]) - f.slack[0]
            to = ON if fraction > 0.5 else OFF
        else:  # nothing to slide on any more: the neuron goes where the drift with the gate off leads. Where that is
            # too small to be known it goes on: it was positive while the neuron slid
            slid = f.state[g] == SLIDING and sign * force[g] > noise
            unclear = slid and abs(b) <= UNCLEAR * abs(force[g])
            excess = np.inf if slid or abs(b) > noise else 0.0
            to = ON if unclear or sign * b < 0.0 else OFF
        if excess > worst:
            gate, state, worst = g, to, excess
    return gate, state


@lean
def _entering(gates, f, force, sign, size):  # type: ignore[no-untyped-def]
    """(gate, new state) of the first gate at zero whose state and drift disagree; gate -1 for none."""
    least = ROUNDING * size
    for g in range(f.state.size):
        if not f.zero[g] or f.state[g] >= SLIDING:
            continue
        drift = sign * dot(f.d, gates.normal[g])
        length = outside(f, gates.normal[g], f.spare[2])
        if length <= DEPENDENT:
            return g, HELD if f.state[g] == OFF else HELD_ON
        if abs(drift) <= least:
            return g, HELD if f.state[g] == OFF else HELD_ON
        if (drift > 0.0) == (f.state[g] == ON):
            continue
        jump = sign * force[g] * length * length
        d_off = drift if f.state[g] == OFF else drift - jump
        d_on = d_off + jump
        if d_off > least and d_on < 0.0:
            return g, SLIDING
        if d_on < 0.0 and abs(d_off) <= least:
            return g, HELD
        return g, ON if f.state[g] == OFF else OFF
    return -1, OFF


@lean
def _change(gates, f, gate, state, force):  # type: ignore[no-untyped-def]
    """Gives one gate another state; D and the multipliers for it."""
    before = f.state[gate]
    was_on, is_on = before % 3 == ON, state % 3 == ON  # ON and HELD_ON
    f.state[gate] = state
    if was_on != is_on:
        pull = force[gate] if is_on else -force[gate]
        for q in range(f.on.size):
            f.on[q] += pull * gates.normal[gate, q]
    span_changed(gates, f, gate, before)
    _project_on(gates, f)


@lean
def agree(gates, f, force, a, size):  # type: ignore[no-untyped-def]
    """As `resolve`, for a field whose D and multipliers are known for its states as they are."""
    any_zero, sign, changes = False, np.sign(a), 0
    for g in range(f.state.size):
        f.zero[g] |= f.state[g] >= SLIDING
        any_zero |= f.zero[g]
    while any_zero:
        gate, state = _leaving(f, force, sign, size)
        if gate < 0:
            gate, state = _entering(gates, f, force, sign, size)
        if gate < 0:
            break
        if changes == ROUNDS * (f.state.size + 1):
            direct(gates, f, size)
            return -1
        changes += 1
        _change(gates, f, gate, state, force)
    for i in range(f.info[0]):
        g = f.index[i]
        if f.state[g] == HELD and abs(f.multiplier[i]) > FRACTION * abs(force[g]) + ROUNDING * size:
            f.state[g] = SLIDING
            changes += 1
    direct(gates, f, size)
    return changes


@lean
def resolve(gates, f, force, base, a, size):  # type: ignore[no-untyped-def]
    """Makes the states of all gates at zero, those marked in f.zero and those that slide or are held, agree with
    their drifts for a neuron with the output weight a, and finds the field. Returns the number of changes, -1 where
    it found no end."""
    project(gates, f, force, base)
    return agree(gates, f, force, a, size)


@lean
def find_drifts(gates, f):  # type: ignore[no-untyped-def]
    """<u, n_g> of all gates into f.drift, unless they are there already."""
    if f.info[2] == 0:
        products(gates, f.u, f.drift)
        f.info[2] = 1
