"""Exact motion of every neuron while the residual is frozen, through all its gate changes.

With c_k = r_k / n fixed and gates fixed a neuron obeys dw/dt = a D, da/dt = <D, w> (Eq. 3). The part of w across D
stays, and along u = D/N, N = ||D||, p = <u, w> and a are the sum and difference of two modes:

    p = A e^{Nt} + B e^{-Nt},  a = A e^{Nt} - B e^{-Nt},  4 A B = p^2 - a^2.

A neuron is e^{rho} (w, a) with max(||w||, |a|) = 1: lambda enters through rho alone, and no number is tiny or huge.

A balanced neuron, a = s ||w||, is a unit vector v alone. At the angle theta to s u it turns on a great circle by
tan(theta/2) -> tan(theta/2) e^{-Nt}, its part across D being constant: with L = ln tan(theta/2), which falls at the
rate N,

    v = -tanh(L) s u + sech(L) e,  rho = const + ln cosh L,  <v, n_g> = 0 where cot(theta) = -<e, n_g> / (s <u, n_g>).

So nothing that rounding adds can grow against a neuron that shrinks (L > 0), but for the part across D itself. Where
the gates leave D one line, so that the neuron may shrink along it for as long as it has grown, that part is kept as a
unit vector `perp` and a logarithm `omega`; for a neuron that its gates leave one ray, it is zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import (
    OFF,
    ON,
    SLIDING,
    Gates,
    copy,
    direct,
    dot,
    forces,
    key_of,
    new_field,
    outside,
    products,
    project,
    put,
    resolve,
)
from gfflow.motion.groups import no_groups, regroup
from gfflow.motion.unbalanced import BARELY, conserve, swing

AT_ZERO = 1e-13  # of a unit vector's product with a normal, that is rounding
LEVEL = 1e-15  # of a drift over ||D||: the neuron moves along the gate
ROUNDED = 3e-8  # the sine of an angle whose cosine rounds to 1
PIECES = 100  # gate changes a gate in one move, at most
AHEAD = -0.9  # cos(theta) above which the motion's modes may be added up
LONG = 30.0  # N t up to which they may


class State(NamedTuple):
    """All m neurons e^{rho} (v, a)."""

    v: Any  # (m, Q)
    a: Any  # (m,), the sign alone for a balanced neuron
    rho: Any  # (m,)
    gate: Any  # (m, g) int8
    perp: Any  # (m, Q), unit: the part of w across the line that its gates leave to D
    omega: Any  # (m,), the logarithm of that part's length; NaN where it is not kept
    margin: Any  # (m,), an angle by which the neuron may turn without meeting a gate
    key: Any  # (m,) int64, a hash of gates and sign

    def copy(self) -> State:
        return State(*(part.copy() for part in self))


class Start(NamedTuple):
    """What stays of the start for the whole run."""

    imbalance: Any  # (m,), (a^2 - ||w||^2) e^{-2 scale}; 0 for a balanced neuron
    scale: Any  # (m,), rho at the start
    beside: Any  # (m,), the logarithm of the length of the part of w outside the span of the inputs


class Room(NamedTuple):
    """The workspace of a move."""

    group: Any  # Field of a group of neurons
    alone: Any  # Field of a neuron that has left its group
    moved: Any  # (m,) bool, neurons that have been moved with their group
    e: Any  # (Q,)
    z: Any  # (g,)
    force: Any  # (g,)
    base: Any  # (Q,)
    groups: Any  # Groups
    counts: Any  # (3,) int64: gate changes, entries into sliding, neurons whose gates did not settle
    watch: Any  # (3,): largest changes by which norm, gates and balance were put right


def new_room(gates: Gates, m: int) -> Room:
    """The workspace for m neurons on these gates."""
    g, q = gates.normal.shape
    vectors = np.zeros(q), np.zeros(g), np.zeros(g), np.zeros(q)
    return Room(
        new_field(gates),
        new_field(gates),
        np.zeros(m, np.bool_),
        *vectors,
        no_groups(m),
        np.zeros(3, np.int64),
        np.zeros(3),
    )


def of_neurons(arrays: Any, chosen: Any) -> Any:
    """The part of a State or Start that is the chosen neurons', copied."""
    return type(arrays)(*(part[chosen] for part in arrays))


@lean
def lncosh(x):  # type: ignore[no-untyped-def]
    """ln cosh x + ln 2."""
    return abs(x) + np.log1p(np.exp(-2.0 * abs(x)))


@lean
def _first_gate(gates, f, s, c, s0, e, cot0, cot1, across, watch):  # type: ignore[no-untyped-def]
    """(cot(theta), gate) of the first gate to be met from cot0 to cot1, gate -1 for none; and the angle to the
    nearest gate at the start."""
    if f.info[2] == 0:
        products(gates, f.u, f.drift)
        f.info[2] = 1
    products(gates, e, across)
    best, first, margin = cot1, -1, 1.0
    for g in range(f.state.size):
        state = f.state[g]
        if state >= SLIDING:
            continue
        d, along = s * f.drift[g], across[g]
        z = c * d + s0 * along
        margin = min(margin, abs(z))
        if (z < 0.0) == (state == ON):
            watch[1] = max(watch[1], abs(z))
        if (state == ON and d < -LEVEL) or (state == OFF and d > LEVEL):
            cot = -along / d
            if cot < best:
                best, first = cot, g
    return best, first, margin


@lean
def _turned_at_most(c, tau):  # type: ignore[no-untyped-def]
    """A bound of the angle by which a neuron at the angle theta, c = cos(theta), turns within N t = tau."""
    if c > 0.0:  # the rate N sin(theta) only falls
        return min(tau, 1.6) * np.sqrt(1.0 - c * c) + ROUNDED
    return min(tau, 3.2)


@lean
def clear_rounding(f, v, unit, watch):  # type: ignore[no-untyped-def]
    """Puts v back on the gates at zero, and back to length one."""
    change = 0.0
    for i in range(f.info[0]):
        along = dot(f.basis[i], v)
        change = max(change, abs(along))
        for q in range(v.size):
            v[q] -= along * f.basis[i, q]
    watch[1] = max(watch[1], change)
    if unit:
        size = np.sqrt(dot(v, v))
        watch[0] = max(watch[0], abs(size - 1.0))
        if size > 0.0:
            put(v, v, 1.0 / size)


@lean
def keep_across(gates, state, j, f):  # type: ignore[no-untyped-def]
    """Keeps the part of w across the line that the gates leave to D, while it is still told from rounding."""
    perp = state.perp[j]
    outside(f, state.v[j], perp)
    along = dot(perp, f.u)
    for q in range(perp.size):
        perp[q] -= along * f.u[q]
    if f.info[0] == gates.rank - 1:
        perp[: gates.rank] = 0.0
    size = np.sqrt(dot(perp, perp))
    if size > 0.0:
        put(perp, perp, 1.0 / size)
        state.omega[j] = state.rho[j] + np.log(size)
    else:
        state.omega[j] = -np.inf


@lean
def _great_circle(state, j, f, s, c, room):  # type: ignore[no-untyped-def]
    """L and sin(theta) of a balanced neuron, with e in room.e; L is infinite on the axis itself."""
    v, e = state.v[j], room.e
    for q in range(e.size):
        e[q] = v[q] - c * s * f.u[q]
    s0 = np.sqrt(dot(e, e))
    if f.info[1] == 1:
        copy(state.perp[j], e)
        depth = state.rho[j] - state.omega[j]
        if depth == np.inf:
            return -np.inf if c > 0.0 else np.inf, 0.0
        if s0 < 0.1:
            angle = depth + np.log1p(np.sqrt(-np.expm1(-2.0 * depth)))
            return np.copysign(angle, -c), np.exp(-depth)
        return -np.arcsinh(c / s0), s0
    if s0 < 1e-150:
        e[:] = 0.0
        return -np.inf if c > 0.0 else np.inf, 0.0
    put(e, e, 1.0 / s0)
    return -np.arcsinh(c / s0), s0


@lean
def _turn(gates, state, j, f, left, start, room):  # type: ignore[no-untyped-def]
    """A balanced neuron along its field for the time `left`, or until it meets a gate: (time used, gate or -1)."""
    v, s = state.v[j], state.a[j]
    if f.info[1] == 1 and np.isnan(state.omega[j]):
        clear_rounding(f, v, True, room.watch)
        keep_across(gates, state, j, f)
    elif f.info[0] > 0 and f.info[1] != 1:
        clear_rounding(f, v, True, room.watch)
    rate = f.rate[0]
    if rate == 0.0:
        return left, -1
    c = min(1.0, max(-1.0, s * dot(v, f.u)))
    tau = rate * left
    bound = _turned_at_most(c, tau)
    gate = -1
    if f.info[1] != 1 and bound < state.margin[j] and c > AHEAD and tau < LONG:
        up, down = 0.5 * (1.0 + c) * np.expm1(tau), 0.5 * (1.0 - c) * np.expm1(-tau)
        factor, along = 1.0 + up + down, s * (up - down)
        for q in range(v.size):
            v[q] = (v[q] + along * f.u[q]) / factor
        state.rho[j] += np.log(factor)
        state.margin[j] -= bound
    else:
        from_, s0 = _great_circle(state, j, f, s, c, room)
        to = from_ - tau
        on_axis = np.isinf(from_)
        if not on_axis and bound >= state.margin[j]:
            cot0, cot1 = -np.sinh(from_), -np.sinh(to)
            cot, gate, margin = _first_gate(gates, f, s, c, s0, room.e, cot0, cot1, room.z, room.watch)
            if gate >= 0:
                to = max(to, min(from_, -np.arcsinh(cot)))
                left = (from_ - to) / rate
            state.margin[j] = margin
        state.margin[j] -= bound
        if not on_axis:
            state.rho[j] += lncosh(to) - lncosh(from_)
            th, sech = -np.tanh(to) * s, 1.0 / np.cosh(min(abs(to), 700.0))
            for q in range(v.size):
                v[q] = th * f.u[q] + sech * room.e[q]
        else:
            state.rho[j] += np.copysign(tau, c)
            along = np.copysign(1.0, c) * s
            for q in range(v.size):
                v[q] = along * f.u[q]
    last = v.size - 1
    if last == gates.rank:  # the part outside the span does not move
        length = np.exp(start.beside[j] - state.rho[j])
        if length < 0.5:
            v[last] = length
    size = np.sqrt(dot(v, v))
    room.watch[0] = max(room.watch[0], abs(size - 1.0))
    put(v, v, 1.0 / size)
    return left, gate


@lean
def _turn_freely(gates, state, members, f, duration, start, room):  # type: ignore[no-untyped-def]
    """Moves those members of a group that need no care, as _turn would, and marks them in room.moved: balanced
    neurons that meet no gate and do not shrink, and those that their gates leave one ray."""
    v, rho, margin, moved, u, e = state.v, state.rho, state.margin, room.moved, f.u, room.e
    rate, rank, size, s = f.rate[0], f.info[0], state.v.shape[1], state.a[members[0]]
    tau = rate * duration
    easy = tau < LONG and f.info[1] != 1 and rate > 0.0 and size == gates.rank
    growth, decay = np.expm1(min(tau, LONG)), np.expm1(-tau)
    for i in range(members.size):
        j = members[i]
        moved[j] = False
        if start.imbalance[j] != 0.0:
            continue
        if f.info[1] == 1 and state.omega[j] == -np.inf and rate > 0.0:
            along = 0.0
            for q in range(size):
                along += v[j, q] * u[q]
            rho[j] += np.copysign(tau, s * along)
            for q in range(size):
                v[j, q] = np.copysign(u[q], u[q] * along)
            moved[j] = True
        if not easy:
            continue
        if rank > 0:
            for b in range(rank):
                along = 0.0
                for q in range(size):
                    along += f.basis[b, q] * v[j, q]
                for q in range(size):
                    v[j, q] -= along * f.basis[b, q]
        c = 0.0
        for q in range(size):
            c += v[j, q] * u[q]
        c = min(1.0, max(-1.0, s * c))
        bound = _turned_at_most(c, tau)
        if c <= AHEAD or bound >= margin[j]:
            continue
        up, down = 0.5 * (1.0 + c) * growth, 0.5 * (1.0 - c) * decay
        factor, along, square = 1.0 + up + down, s * (up - down), 0.0
        for q in range(size):
            e[q] = (v[j, q] + along * u[q]) / factor
            square += e[q] * e[q]
        length = np.sqrt(square)
        room.watch[0] = max(room.watch[0], abs(length - 1.0))
        for q in range(size):
            v[j, q] = e[q] / length
        rho[j] += np.log(factor)
        margin[j] -= bound
        moved[j] = True


@lean
def _follow(gates, state, j, f, left, start, room):  # type: ignore[no-untyped-def]
    """One neuron along the field f of its gates: (time used, event), where an event is a gate, the number of gates
    for a change of the sign of a, or -1 for none."""
    if start.imbalance[j] == 0.0:
        return _turn(gates, state, j, f, left, start, room)
    if f.info[0] > 0:
        clear_rounding(f, state.v[j], False, room.watch)
    if f.info[1] == 1 and np.isnan(state.omega[j]):
        keep_across(gates, state, j, f)
    return swing(gates, state, j, f, left, start, room)


@lean
def take_states(gates, state, j, f):  # type: ignore[no-untyped-def]
    """Gives neuron j the field's gate states."""
    copy(f.state, state.gate[j])
    state.key[j] = key_of(gates, f.state, state.a[j])
    state.omega[j] = np.nan
    state.margin[j] = 0.0


@lean
def count_changes(f, changes, counts):  # type: ignore[no-untyped-def]
    counts[0] += abs(changes)
    if changes < 0:
        counts[2] += 1


@lean
def settle_event(gates, state, j, event, size, room):  # type: ignore[no-untyped-def]
    """The field of a neuron alone, its gates at zero made to agree with their drifts, in room.alone; False where it
    rests for ever."""
    f, before = room.alone, 0
    products(gates, state.v[j], room.z)
    for k in range(f.state.size):
        f.state[k] = state.gate[j, k]
        f.zero[k] = abs(room.z[k]) <= AT_ZERO or k == event
        before += f.state[k] == SLIDING
    for _ in range(2):
        count_changes(f, resolve(gates, f, room.force, room.base, state.a[j], size), room.counts)
        if state.a[j] != 0.0 or f.rate[0] == 0.0:
            break
        along = dot(state.v[j], f.u)  # an unbalanced neuron: it is about to have the sign of <D, w>
        if along == 0.0:
            return False
        state.a[j] = np.copysign(BARELY, along)
    for k in range(f.state.size):
        before -= f.state[k] == SLIDING
    room.counts[1] += max(0, -before)
    take_states(gates, state, j, f)
    return True


@lean
def move(gates, state, duration, r, start, room):  # type: ignore[no-untyped-def]
    """All neurons for the flow time `duration`, in place, with the residual r (n,) frozen; room.counts and room.watch
    gather what happens."""
    size = forces(gates, r, room.force, room.base)
    groups, most = room.groups, PIECES * (gates.normal.shape[0] + 1)
    count = regroup(groups, state.key)
    for i in range(count):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        sign = state.a[members[0]]
        if sign != 0.0:
            copy(state.gate[members[0]], room.group.state)
            room.group.zero[:] = False
            changes = resolve(gates, room.group, room.force, room.base, sign, size)
            if changes != 0:
                for j in members:
                    count_changes(room.group, changes, room.counts)
                    take_states(gates, state, j, room.group)
            _turn_freely(gates, state, members, room.group, duration, start, room)
        for j in members:
            if (sign != 0.0 and room.moved[j]) or (sign == 0.0 and dot(state.v[j], state.v[j]) == 0.0):
                continue
            left, event, pieces = duration, -1, 0
            alone = sign == 0.0
            while pieces < most:
                if alone and not settle_event(gates, state, j, event, size, room):
                    break
                f = room.alone if alone else room.group
                used, event = _follow(gates, state, j, f, left, start, room)
                left -= used
                if event < 0:
                    break
                alone, pieces = True, pieces + 1
            if pieces == most:
                room.counts[2] += 1


@lean
def polish(gates, state, r, start, room):  # type: ignore[no-untyped-def]
    """Puts right what steps that are not exact motions leave: v on the gates at zero, its length, the balance, and
    the part across a line that is all that its gates leave to D (n,)."""
    forces(gates, r, room.force, room.base)
    f, groups = room.group, room.groups
    count = regroup(groups, state.key)
    for i in range(count):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        copy(state.gate[members[0]], f.state)
        project(gates, f, room.force, room.base)
        direct(gates, f, 0.0)
        for j in members:
            balanced = start.imbalance[j] == 0.0
            clear_rounding(f, state.v[j], balanced, room.watch)
            state.margin[j] = 0.0
            if not balanced:
                excess = start.imbalance[j] * np.exp(2.0 * (start.scale[j] - state.rho[j]))
                state.a[j] = conserve(state.v[j], state.a[j], excess, room.watch)
            elif f.info[1] == 1 and f.rate[0] > 0.0 and not np.isnan(state.omega[j]):
                s = state.a[j]
                c = min(1.0, max(-1.0, s * dot(state.v[j], f.u)))
                angle, _ = _great_circle(state, j, f, s, c, room)
                for q in range(room.e.size):
                    sech = 0.0 if np.isinf(angle) else 1.0 / np.cosh(min(abs(angle), 700.0))
                    state.v[j, q] = -np.tanh(angle) * s * f.u[q] + sech * room.e[q]
            elif balanced and f.info[1] == 1 and f.rate[0] > 0.0:
                keep_across(gates, state, j, f)
