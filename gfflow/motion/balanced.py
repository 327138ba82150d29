"""The exact motion of a balanced neuron, a = s ||w||, along the field of its gates: a unit vector v alone.

At the angle theta to s u it turns on a great circle by tan(theta/2) -> tan(theta/2) e^{-Nt}, its part across D being
constant: with L = ln tan(theta/2), which falls at the rate N,

    v = -tanh(L) s u + sech(L) e,  rho = const + ln cosh L,  <v, n_g> = 0 where cot(theta) = -<e, n_g> / (s <u, n_g>).

So nothing that rounding adds can grow against a neuron that shrinks (L > 0), but for the part across D itself. Where
the gates leave D one line, so that the neuron may shrink along it for as long as it has grown, that part is kept as a
unit vector `perp` and a logarithm `omega`; for a neuron that its gates leave one ray, it is zero.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import LEVEL, OFF, ON, SLIDING, copy, dot, products, put
from gfflow.motion.sliding import find_drifts
from gfflow.motion.span import clear_rounding
from gfflow.motion.state import keep_across

ROUNDED = 3e-8  # the sine of an angle whose cosine rounds to 1
AHEAD = -0.9  # cos(theta) above which the motion's modes may be added up
LONG = 30.0  # N t up to which they may
BESIDE = 1e-3  # sin(theta) below which the part across D is a difference that has lost digits


@lean
def lncosh(x):  # type: ignore[no-untyped-def]
    """ln cosh x + ln 2."""
    return abs(x) + np.log1p(np.exp(-2.0 * abs(x)))


@lean
def _first_gate(gates, f, s, c, s0, cot0, cot1, across, watch):  # type: ignore[no-untyped-def]
    """(cot(theta), gate) of the first gate to be met from cot0 to cot1, gate -1 for none; and the angle to the
    nearest gate at the start. `across` has the gates' <e, n_g>."""
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
def _find_across(gates, v, f, s, c, s0, known, e, z):  # type: ignore[no-untyped-def]
    """<e, n_g> of all gates into z (g,), which has <v, n_g> if that is known. On a line, where e is kept apart, and
    next to the axis, where it is a small difference, from e itself."""
    find_drifts(gates, f)
    if f.info[1] == 1 or s0 < BESIDE:
        products(gates, e, z)
        return
    if not known:
        products(gates, v, z)
    for g in range(z.size):
        z[g] = (z[g] - c * s * f.drift[g]) / s0


@lean
def _turned_at_most(c, tau):  # type: ignore[no-untyped-def]
    """A bound of the angle by which a neuron at the angle theta, c = cos(theta), turns within N t = tau."""
    if c > 0.0:  # the rate N sin(theta) only falls
        return min(tau, 1.6) * np.sqrt(1.0 - c * c) + ROUNDED
    return min(tau, 3.2)


@lean
def great_circle(state, j, f, s, c, room):  # type: ignore[no-untyped-def]
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
def circle(angle):  # type: ignore[no-untyped-def]
    """(-tanh(L), sech(L)) of L = `angle`."""
    return -np.tanh(angle), 0.0 if np.isinf(angle) else 1.0 / np.cosh(min(abs(angle), 700.0))


@lean
def put_on_circle(v, f, s, angle, e):  # type: ignore[no-untyped-def]
    """v = -tanh(L) s u + sech(L) e for L = `angle`."""
    along, across = circle(angle)
    for q in range(v.size):
        v[q] = along * s * f.u[q] + across * e[q]


@lean
def turn(gates, state, j, f, left, start, known, room):  # type: ignore[no-untyped-def]
    """A balanced neuron along its field for the time `left`, or until it meets a gate: (time used, gate or -1).
    Where it ends at a gate, room.z has <v, n_g> of all gates; `known` says that it has at the beginning."""
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
        from_, s0 = great_circle(state, j, f, s, c, room)
        to = from_ - tau
        on_axis = np.isinf(from_)
        if not on_axis and bound >= state.margin[j]:
            _find_across(gates, v, f, s, c, s0, known, room.e, room.z)
            cot0, cot1 = -np.sinh(from_), -np.sinh(to)
            cot, gate, margin = _first_gate(gates, f, s, c, s0, cot0, cot1, room.z, room.watch)
            if gate >= 0:
                to = max(to, min(from_, -np.arcsinh(cot)))
                left = (from_ - to) / rate
            state.margin[j] = margin
        state.margin[j] -= bound
        if not on_axis:
            state.rho[j] += lncosh(to) - lncosh(from_)
            put_on_circle(v, f, s, to, room.e)
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
    if gate >= 0:
        along, across = circle(to)
        for g in range(room.z.size):
            room.z[g] = (along * s * f.drift[g] + across * room.z[g]) / size
    return left, gate


@lean
def turn_freely(gates, state, members, f, duration, start, room):  # type: ignore[no-untyped-def]
    """Moves those members of a group that need no care, as `turn` would, and marks them in room.moved: balanced
    neurons that meet no gate and do not shrink, and those that their gates leave one ray."""
    v, rho, margin, moved, u, e = state.v, state.rho, state.margin, room.moved, f.u, room.e
    rate, rank, size, s = f.rate[0], f.info[0], state.v.shape[1], state.a[members[0]]
    tau = rate * duration
    easy = tau < LONG and f.info[1] != 1 and rate > 0.0 and size == gates.rank
    growth, decay = np.expm1(min(tau, LONG)), np.expm1(-tau)
    for i in range(members.size):
        j = members[i]
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
