"""Exact motion of every neuron while the residual is frozen, through all its gate changes.

With c_k = r_k / n fixed and gates fixed a neuron obeys the linear system dw/dt = a D, da/dt = <D, w>. With N = ||D||,
p = <D, w> / N and E = e^{N t} its pre-activations z and output weight a move as (Eq. 3)

    z(t) = z + G b / N * phi(t),  phi(t) = p (cosh N t - 1) + a sinh N t,  a(t) = a cosh N t + p sinh N t.

phi' = N a(t), so every z_k is monotone until a changes its sign (never for a balanced neuron), and the first gate to
reach zero is the one with the smallest |z_k N / (G b)_k|: one division a sample, one square root a gate change.
Pre-activations and output weight carry a common factor e^{log_scale}: no number is tiny or huge.
"""

from __future__ import annotations

import numpy as np

from gfflow.motion.gates import OFF, ON, SLIDING, compiled, on_coefficients, project, settle

LONGEST = 30.0  # N t in one piece, at most: e^-30 is still more than rounding beside 1
BARELY = 1e-200  # an output weight that has just changed its sign
NEGLIGIBLE = 1e-6
PIECES = 100  # gate changes a sample in one move, at most


@compiled
def _duration_to(phi, p, a):  # type: ignore[no-untyped-def]
    """N t at which phi(t) reaches the value phi, of the sign of a, without cancellation."""
    later = np.copysign(np.sqrt(max(0.0, a * a + phi * (2.0 * p + phi))), a)
    rise = (2.0 * p + phi) / (later + a)  # (a(t) - a) / phi
    if abs(p + a) >= abs(p - a):
        return np.log1p(phi * (1.0 + rise) / (p + a))
    return -np.log1p(phi * (1.0 - rise) / (p - a))


@compiled
def _first_event(z, a, p, gate, push, longest):  # type: ignore[no-untyped-def]
    """(N t, k) of the first event within N t <= longest: gate k reaches zero; k = -1 for none, n for a = 0."""
    fall = -np.expm1(-longest)
    grow = 1.0 / (1.0 - fall)
    phi = grow * (0.5 * p * fall * fall + 0.5 * a * fall * (2.0 - fall))
    duration, first = longest, -1
    if (p + a) * a < 0.0:
        turn = 0.5 * np.log((p - a) / (p + a))
        if turn < longest:
            duration, first = turn, z.size
            phi = -p + np.copysign(np.sqrt(p * p - a * a), p)
    nearest = abs(phi)
    for k in range(z.size):
        if z[k] == 0.0 or gate[k] == SLIDING or z[k] * push[k] * a >= 0.0:
            continue
        reach = abs(z[k] / push[k])
        if reach < nearest:
            nearest, first = reach, k
    if 0 <= first < z.size:
        duration = min(max(0.0, _duration_to(np.copysign(nearest, a), p, a)), duration)
    return duration, first


@compiled
def _move_neuron(z, a, gate, duration, c, gram, on_field, b_on, balanced, scratch, index, factor, counts):  # type: ignore[no-untyped-def]
    """One neuron for the duration: z (n,) and gate (n,) in place; returns its new a and the growth of log_scale."""
    field, b, work = scratch[0], scratch[1], scratch[2]
    growth, left = 0.0, duration
    for _ in range(PIECES * z.size):
        for k in range(z.size):  # rounding may have carried a gate past zero
            if (gate[k] == ON and z[k] < 0.0) or (gate[k] == OFF and z[k] > 0.0) or gate[k] == SLIDING:
                z[k] = 0.0
        settle(z, a, gate, c, gram, on_field, b_on, field, b, index, factor, work, counts)
        square, p = 0.0, 0.0
        for k in range(z.size):
            square += b[k] * field[k]
            p += b[k] * z[k]
        if not square > 0.0:  # no active sample pulls: the neuron rests
            return a, growth
        rate = np.sqrt(square)
        p /= rate
        if a == 0.0 and p != 0.0:  # only an unbalanced neuron: it is about to have p's sign
            a = np.copysign(BARELY, p)
            continue
        if balanced and (p + a) * a < 0.0:
            p = -a  # |p| <= ||w|| = |a|; only rounding says otherwise
        for k in range(z.size):
            field[k] /= rate
        longest = min(rate * left, LONGEST)
        elapsed, event = _first_event(z, a, p, gate, field, longest)
        fall = -np.expm1(-elapsed)
        even, odd = 0.5 * fall * fall, 0.5 * fall * (2.0 - fall)
        along = p * even + a * odd
        for k in range(z.size):
            z[k] = z[k] * (1.0 - fall) + field[k] * along
        growth += elapsed
        left -= elapsed / rate
        if event == z.size:  # all drifts turn round with a's sign
            a = -np.copysign(BARELY, a)
            continue
        a = a * (1.0 - fall + even) + p * odd
        if event >= 0:
            z[event] = 0.0
        elif longest < LONGEST:
            return a, growth
    counts[2] += 1
    return a, growth


@compiled
def move(z, a, gate, log_scale, duration, c, gram, sizes, balanced, counts):  # type: ignore[no-untyped-def]
    """All m neurons for the flow time `duration`, in place, with c = r / n frozen.

    z (m, n), a (m,), gate (m, n) and log_scale (m,); sizes (n,) are the ||x_k||, by which z is brought back to order
    one. counts (3,): gate changes, entries into sliding, neurons whose gates did not settle.
    """
    n = c.size
    b = np.empty_like(z)
    on_coefficients(gate, c, b)
    field = np.dot(b, gram)
    scratch, factor = np.empty((3, n)), np.empty((n, n))
    index = np.empty(n, np.int64)
    for j in range(a.size):
        a[j], growth = _move_neuron(
            z[j], a[j], gate[j], duration, c, gram, field[j], b[j], balanced, scratch, index, factor, counts
        )
        size = abs(a[j])
        for k in range(n):
            size = max(size, abs(z[j, k]) / sizes[k])
        if size > 0.0:
            z[j] /= size
            a[j] /= size
            log_scale[j] += growth + np.log(size)


@compiled
def residual(z, a, log_scale, y):  # type: ignore[no-untyped-def]
    """r_k = y_k - sum_j a_j relu(z_jk), shape (n,)."""
    r = y.copy()
    for j in range(a.size):
        share = np.exp(2.0 * log_scale[j]) * a[j]
        for k in range(y.size):
            if z[j, k] > 0.0:
                r[k] -= share * z[j, k]
    return r


@compiled
def output_size(z, a, log_scale):  # type: ignore[no-untyped-def]
    """max_k sum_j |a_j| relu(z_jk): what the residual's rounding is relative to."""
    total = np.zeros(z.shape[1])
    for j in range(a.size):
        share = np.exp(2.0 * log_scale[j]) * abs(a[j])
        for k in range(total.size):
            if z[j, k] > 0.0:
                total[k] += share * z[j, k]
    return total.max()


@compiled
def slope(z, a, gate, log_scale, r, gram):  # type: ignore[no-untyped-def]
    """dr/dt along the flow, shape (n,), with the gates as they are (those that slide slide)."""
    n = r.size
    c = r / n
    b = np.empty_like(z)
    on_coefficients(gate, c, b)
    field = np.dot(b, gram)
    factor, index = np.empty((n, n)), np.empty(n, np.int64)
    change = np.zeros(n)
    for j in range(a.size):
        project(gate[j], gram, field[j], b[j], index, factor)
        turn = 0.0
        for k in range(n):
            turn += b[j, k] * z[j, k]
        share = np.exp(2.0 * log_scale[j])
        for k in range(n):
            if gate[j, k] == ON:
                change[k] -= share * (turn * z[j, k] + a[j] * a[j] * field[j, k])
    return change


@compiled
def relaxation(z, a, gate, log_scale, gram):  # type: ignore[no-untyped-def]
    """K (n, n) with dr/dt = -K r for the gates as they are: the neural tangent kernel over n, sliding included.

    Neurons below NEGLIGIBLE of the whole slide unseen: K only speeds up the solution of a step's equations.
    """
    m, n = z.shape
    factor, index = np.empty((n, n)), np.empty(n, np.int64)
    active, on, spare = np.empty_like(z), np.empty_like(z), np.empty(n)
    size = np.exp(log_scale) * np.abs(a)
    rows = 0
    for j in range(m):
        for k in range(n):
            active[j, k] = np.exp(log_scale[j]) * z[j, k] if z[j, k] > 0.0 else 0.0
            on[j, k] = size[j] if gate[j, k] == ON else 0.0
            rows += gate[j, k] == SLIDING
    projected = np.zeros((rows, n))
    least, row = NEGLIGIBLE * size.max(), 0
    for j in range(m):
        if size[j] <= least:
            continue
        s = project(gate[j], gram, np.zeros(n), spare, index, factor)
        for i in range(s):
            for o in range(n):
                total = gram[index[i], o]
                for q in range(i):
                    total -= factor[i, q] * projected[row + q, o]
                projected[row + i, o] = total / factor[i, i]
        for i in range(s):
            for o in range(n):
                projected[row + i, o] *= on[j, o]
        row += s
    kernel = np.dot(active.T, active) + np.dot(on.T, on) * gram
    return (kernel - np.dot(projected[:row].T, projected[:row])) / n
