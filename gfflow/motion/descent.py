"""Exact motion of a neuron by steps of gradient descent while the residual is frozen, in flow time eta * step.

In a fixed field D, N = ||D||, u = D/N, a step multiplies p + a, p = <w, u>, by 1 + eta N and p - a by 1 - eta N;
the part of w across D stays. Between steps the modes go on as e^{t ln(1 + eta N) / eta} and e^{t ln(1 - eta N) /
eta}: they are those of descent at every multiple of eta, and tend to the flow's e^{+-N t}. Their product falls, so
that a^2 - ||w||^2 is not conserved, which a neuron that shrinks feels most.

Descent does not slide along a gate but chatters across it, at a distance of order eta. Its mean motion is
Filippov's, but for a term of first order that only the output weight feels: with D = D_eff + xi, xi the part that
comes and goes with the gates, u the chatter in w has |u|^2 constant on the mean, so that E<xi, u> = -(eta a / 2)
E|xi|^2, and

    da/dt = <D_eff, w> - (eta / 2) V a,  V = E|xi|^2 = sum over sliding gates of f (1 - f) C^2

with the gates' fractions f and forces C (motion/gates.py), the gates taken to chatter independently of each other.
With mu = -ln(1 - eta^2 N^2) / (2 eta), M = ln((1 + eta N) / (1 - eta N)) / (2 eta) and nu = eta V / 2 a neuron so
obeys

    dp/dt = -mu p + M a,  da/dt = M p - (mu + nu) a,

a symmetric matrix, whose exponentials are known. Where a changes its sign p goes on for half a step more; there a
is taken to the value at which p turns, half a step ahead, so that p moves as the sign of a says.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import LEVEL, OFF, ON, SLIDING, dot, products, put
from gfflow.motion.sliding import find_drifts
from gfflow.motion.span import clear_rounding
from gfflow.motion.unbalanced import BARELY, LONGEST

STEEPEST = 0.9  # eta N, at most: beyond it descent is no motion in time
HALVINGS = 60
HALF_STEP = 1.0 + 1e-9


@lean
def _chatter(f, force):  # type: ignore[no-untyped-def]
    """V = E|xi|^2 of the gates on which the field f slides."""
    total = 0.0
    for i in range(f.info[0]):
        g = f.index[i]
        if f.state[g] == SLIDING and force[g] != 0.0:
            fraction = min(1.0, max(0.0, f.multiplier[i] / force[g]))
            total += fraction * (1.0 - fraction) * force[g] * force[g]
    return total


@lean
def _rates(rate, eta):  # type: ignore[no-untyped-def]
    """The rates of the two modes along a field of that size, and the least |a| / |p| at which p moves as the sign of
    a says."""
    rising, falling = np.log1p(eta * rate) / eta, np.log1p(-eta * rate) / eta
    return rising, falling, -HALF_STEP * (rising + falling) / (rising - falling)


@lean
def _along(first, second, rising, falling, t):  # type: ignore[no-untyped-def]
    """first e^{rising t} + second e^{falling t}."""
    return first * np.exp(rising * t) + second * np.exp(falling * t)


@lean
def _vanishes(first, second, rising, falling):  # type: ignore[no-untyped-def]
    """The time at which first e^{rising t} + second e^{falling t} is zero, infinite where it never is."""
    if first * second >= 0.0 or rising == falling:
        return np.inf
    t = np.log(-second / first) / (rising - falling)
    return t if t > 0.0 else np.inf


@lean
def _reaches(first, second, rising, falling, level, t):  # type: ignore[no-untyped-def]
    """The time in [0, t] at which first e^{rising t} + second e^{falling t}, monotone there, passes the level."""
    low, high = 0.0, t
    up = _along(first, second, rising, falling, t) > first + second
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if (_along(first, second, rising, falling, middle) < level) == up:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@lean
def stride(gates, state, j, f, left, eta, room):  # type: ignore[no-untyped-def]
    """One neuron along the field f of its gates for the time `left`, or until an event: (time used, event), where an
    event is a gate, the number of gates for a change of the sign of a, or -1 for none."""
    v, a = state.v[j], state.a[j]
    state.margin[j] = 0.0
    if f.info[0] > 0:
        clear_rounding(f, v, False, room.watch)
    nu = 0.5 * eta * _chatter(f, room.force)
    rate = min(f.rate[0], STEEPEST / eta)
    if rate == 0.0:
        state.a[j] = a * np.exp(-nu * left)
        return left, -1
    up, down, least = _rates(rate, eta)
    mixing, middle = 0.5 * (up - down), 0.5 * (up + down - nu)
    root = np.sqrt(mixing * mixing + 0.25 * nu * nu)
    rising, falling = middle + root, middle - root
    p = dot(v, f.u)
    if p * a > 0.0 and abs(a) < least * abs(p):
        a = np.copysign(least * abs(p), a)
    turn_p, turn_a = (0.5 * nu * p + mixing * a) / root, (mixing * p - 0.5 * nu * a) / root
    p1, p2, a1, a2 = 0.5 * (p + turn_p), 0.5 * (p - turn_p), 0.5 * (a + turn_a), 0.5 * (a - turn_a)
    used, event = min(left, LONGEST / rate), -1
    ends = used == left
    turn = _vanishes(a1, a2, rising, falling)
    if turn < used:
        used, event, ends = turn, f.drift.size, False
    find_drifts(gates, f)
    products(gates, v, room.z)
    change = _along(p1, p2, rising, falling, used) - p
    nearest = abs(change)
    for g in range(f.drift.size):
        moved = np.copysign(f.drift[g], f.drift[g] * change)
        if f.state[g] >= SLIDING or (f.state[g] == ON and moved > -LEVEL) or (f.state[g] == OFF and moved < LEVEL):
            continue
        z = room.z[g]
        if (z < 0.0) == (f.state[g] == ON) and z != 0.0:  # rounding has carried it past zero
            return 0.0, g
        if abs(z / moved) < nearest:
            nearest, event, ends = abs(z / moved), g, False
    if 0 <= event < f.drift.size:
        used = _reaches(p1, p2, rising, falling, p + np.copysign(nearest, change), used)
    change = _along(p1, p2, rising, falling, used) - p
    for q in range(v.size):
        v[q] += change * f.u[q]
    new = _along(a1, a2, rising, falling, used)
    if event == f.drift.size:  # all drifts turn round with a's sign
        new = -np.copysign(BARELY, a)
    state.a[j] = new
    size = max(np.sqrt(dot(v, v)), abs(new))
    put(v, v, 1.0 / size)
    state.a[j] /= size
    state.rho[j] += np.log(size)
    if event < 0 and not ends:
        return used, f.drift.size  # a long way in pieces: the same gates go on
    return used, event


@lean
def stride_freely(gates, state, members, f, duration, eta, room):  # type: ignore[no-untyped-def]
    """Moves those members of a group that meet no event within the time, as `stride` would, and marks them in
    room.moved; where gates are at zero, those alone that rest there. A neuron's margin is its distance to the nearest
    gate, or less, so that gates farther than it moves need not be asked."""
    v, margin, u, rate = state.v, state.margin, f.u, min(f.rate[0], STEEPEST / eta)
    if rate == 0.0 and _chatter(f, room.force) == 0.0:
        for j in members:
            clear_rounding(f, v[j], False, room.watch)
            room.moved[j] = True
        return
    if f.info[0] > 0 or rate == 0.0 or rate * duration > LONGEST:
        return
    rising, falling, least = _rates(rate, eta)
    growth, decay = np.expm1(rising * duration), np.expm1(falling * duration)
    find_drifts(gates, f)
    for j in members:
        p, a = dot(v[j], u), state.a[j]
        first, second = 0.5 * (p + a) * growth, 0.5 * (p - a) * decay
        change, new = first + second, a + (first - second)
        if new * a <= 0.0 or (p * a > 0.0 and abs(a) < least * abs(p)):
            continue
        nearest = margin[j] - abs(change)
        if nearest <= 0.0:
            nearest = np.inf
            for g in range(f.drift.size):
                z = dot(v[j], gates.normal[g])
                later = z + change * f.drift[g]
                if f.state[g] == OFF:
                    z, later = -z, -later
                nearest = min(nearest, z, later)
            if nearest <= 0.0:
                continue
        for q in range(u.size):
            v[j, q] += change * u[q]
        size = max(np.sqrt(dot(v[j], v[j])), abs(new))
        put(v[j], v[j], 1.0 / size)
        state.a[j] = new / size
        state.rho[j] += np.log(size)
        margin[j] = nearest / size
        room.moved[j] = True
