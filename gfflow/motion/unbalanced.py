"""The exact motion of a neuron that is not balanced, a^2 - ||w||^2 = I, conserved (Lemma 1).

Its two modes A = (p + a)/2 and B = (p - a)/2 along the field have A B = -(I + ||w_across||^2)/4. Where one of them is
far smaller than the other, it is taken from this product: the difference that defines it would be rounding, and the
one that grows grows e^{2Nt} times against the neuron. Relative to a neuron that has grown by many e-folds I is
nothing, and it moves as a balanced one; when it shrinks back, I is there again.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import LEVEL, OFF, ON, SLIDING, dot, products, put
from gfflow.motion.sliding import find_drifts
from gfflow.motion.span import clear_rounding
from gfflow.motion.state import keep_across

LONGEST = 30.0  # N t in one piece, at most: e^-30 is still more than rounding beside 1
BARELY = 1e-200  # an output weight that has just changed its sign
CANCELLED = 1e-2  # of the larger mode, below which the smaller one is taken from the product


@lean
def _duration_to(phi, p, a, rising, falling):  # type: ignore[no-untyped-def]
    """N t at which p(t) - p reaches phi, of the sign of a, without cancellation."""
    later = np.copysign(np.sqrt(max(0.0, a * a + phi * (2.0 * p + phi))), a)
    rise = (2.0 * p + phi) / (later + a)  # (a(t) - a) / phi
    if abs(rising) >= abs(falling):
        return np.log1p(max(-1.0, 0.5 * phi * (1.0 + rise) / rising))
    return -np.log1p(max(-1.0, 0.5 * phi * (1.0 - rise) / falling))


@lean
def _first_event(gates, f, v, a, p, rising, falling, longest, z_of, watch):  # type: ignore[no-untyped-def]
    """(N t, event) of the first event within N t <= longest: a gate, the number of gates for a = 0, -1 for none."""
    find_drifts(gates, f)
    products(gates, v, z_of)
    phi = rising * np.expm1(longest) + falling * np.expm1(-longest)
    duration, first = longest, -1
    if rising * falling > 0.0 and rising * a < 0.0:
        turn = 0.5 * np.log(falling / rising)
        if turn < longest:
            duration, first = max(0.0, turn), f.drift.size
            phi = np.copysign(2.0 * np.sqrt(rising * falling), p) - p
    nearest = abs(phi)
    for g in range(f.drift.size):
        state, d = f.state[g], np.copysign(f.drift[g], f.drift[g] * a)
        if state >= SLIDING or (state == ON and d > -LEVEL) or (state == OFF and d < LEVEL):
            continue
        z = z_of[g]
        if (z < 0.0) == (state == ON):  # rounding has carried it past zero
            watch[1] = max(watch[1], abs(z))
            return 0.0, g
        if abs(z / d) < nearest:
            nearest, first = abs(z / d), g
    if 0 <= first < f.drift.size:
        duration = min(max(0.0, _duration_to(np.copysign(nearest, a), p, a, rising, falling)), duration)
    return duration, first


@lean
def imbalance_at(start, j, rho):  # type: ignore[no-untyped-def]
    """a^2 - ||v||^2 of neuron j = e^{rho} (v, a)."""
    if start.imbalance[j] == 0.0:
        return 0.0
    return start.imbalance[j] * np.exp(2.0 * (start.scale[j] - rho))


@lean
def conserve(v, a, imbalance, watch):  # type: ignore[no-untyped-def]
    """Puts a^2 - ||v||^2 = imbalance right by the one of the two that can bear it; returns a."""
    square = dot(v, v)
    watch[2] = max(watch[2], abs(a * a - square - imbalance))
    if a * a >= 0.25 and square + imbalance > 0.0:
        return np.copysign(np.sqrt(square + imbalance), a)
    if square > 0.0 and a * a - imbalance > 0.0:
        put(v, v, np.sqrt((a * a - imbalance) / square))
    return a


@lean
def modes(state, j, f, start, e):  # type: ignore[no-untyped-def]
    """The neuron's modes A and B along u, and p; the part of w across it into e (Q,)."""
    v = state.v[j]
    a, p = state.a[j], dot(v, f.u)
    if f.info[1] == 1:
        length = np.exp(state.omega[j] - state.rho[j])
        for q in range(e.size):
            e[q] = length * state.perp[j, q]
    else:
        for q in range(e.size):
            e[q] = v[q] - p * f.u[q]
    product = -0.25 * (imbalance_at(start, j, state.rho[j]) + dot(e, e))
    rising, falling = 0.5 * (p + a), 0.5 * (p - a)
    if abs(rising) < CANCELLED * abs(falling):
        rising = product / falling
    elif abs(falling) < CANCELLED * abs(rising):
        falling = product / rising
    return rising, falling, p


@lean
def swing(gates, state, j, f, left, start, room):  # type: ignore[no-untyped-def]
    """The neuron along the field f of its gates for the time `left`, or until an event: (time used, event)."""
    v, e, rate = state.v[j], room.e, f.rate[0]
    if f.info[0] > 0:
        clear_rounding(f, v, False, room.watch)
    if f.info[1] == 1 and np.isnan(state.omega[j]):
        keep_across(gates, state, j, f)
    if rate == 0.0:
        return left, -1
    used = 0.0
    while True:
        a = state.a[j]
        rising, falling, p = modes(state, j, f, start, e)
        longest = min(rate * (left - used), LONGEST)
        tau, event = _first_event(gates, f, v, a, p, rising, falling, longest, room.z, room.watch)
        once = np.exp(-tau)
        along, a = rising + falling * once * once, rising - falling * once * once
        for q in range(v.size):
            v[q] = once * e[q] + along * f.u[q]
        state.rho[j] += tau
        if event == f.drift.size:  # all drifts turn round with a's sign
            a = -np.copysign(BARELY, state.a[j])
        size = max(np.sqrt(dot(v, v)), abs(a))
        put(v, v, 1.0 / size)
        state.rho[j] += np.log(size)
        a /= size
        imbalance = imbalance_at(start, j, state.rho[j])
        state.a[j] = a if event == f.drift.size else conserve(v, a, imbalance, room.watch)
        used += tau / rate
        if event >= 0:
            return used, event
        if longest < LONGEST:
            return left, -1
