"""Gates that may slide (Filippov): which state a gate at zero takes, and the field that results.

A gate of neuron j at sample k is OFF, ON or SLIDING. Sliding holds z_k = <w_j, x_k> at zero where the field points
back from both sides; on the sliding samples S the field D is replaced by its projection onto the orthogonal
complement of {x_k : k in S}. With c_k = r_k / n, G = x x^T and A the gates that are on, D = sum_k b_k x_k with
b_A = c_A, b_S = -G_SS^{-1} G_SA c_A and b = 0 elsewhere, so that z moves along `field` = G b.

Seen with k alone put off or on, z_k drifts at d_off or d_on (both times the neuron's output weight): d_off > 0 > d_on
is sliding; otherwise the gate is on where d_off > 0, and off where not. A sample opposite to k (a negative multiple
of x_k) has the same gate, on where that of k is off: it belongs to d_off, and its gate is kept so.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled

OFF, ON, SLIDING = 0, 1, 2
ROUNDING = 1e-12  # relative size below which a drift, or a sample's part outside a span, is rounding
ROUNDS = 8  # changes of each gate, at most, in search of states that agree with their drifts


@compiled
def on_coefficients(gate, c, b):  # type: ignore[no-untyped-def]
    """b_jk = c_k where gate jk is on, 0 elsewhere; shapes (m, n), (n,), (m, n)."""
    for j in range(gate.shape[0]):
        for k in range(c.size):
            b[j, k] = c[k] if gate[j, k] == ON else 0.0


@compiled
def project(gate, gram, field, b, index, factor):  # type: ignore[no-untyped-def]
    """Adds the sliding samples' part to one neuron's field (n,) and b (n,), both given for the gates that are on.

    Leaves the sliding samples in `index` and the Cholesky factor of G_SS in `factor`; returns their number."""
    s = 0
    for k in range(gate.size):
        if gate[k] == SLIDING:
            index[s] = k
            s += 1
    for i in range(s):
        for o in range(i + 1):
            total = gram[index[i], index[o]]
            for q in range(o):
                total -= factor[i, q] * factor[o, q]
            factor[i, o] = np.sqrt(total) if o == i else total / factor[o, o]
    for i in range(s):
        total = -field[index[i]]
        for q in range(i):
            total -= factor[i, q] * b[index[q]]
        b[index[i]] = total / factor[i, i]
    for i in range(s - 1, -1, -1):
        total = b[index[i]]
        for q in range(i + 1, s):
            total -= factor[q, i] * b[index[q]]
        b[index[i]] = total / factor[i, i]
    for i in range(s):
        k = index[i]
        for o in range(field.size):
            field[o] += b[k] * gram[k, o]
    for i in range(s):
        field[index[i]] = 0.0
    return s


@compiled
def _outside_span(k, s, gram, index, factor, work):  # type: ignore[no-untyped-def]
    """||x_k||^2 after projection onto the complement of the s sliding samples; 0 where only rounding is left."""
    rest = gram[k, k]
    for i in range(s):
        total = gram[k, index[i]]
        for q in range(i):
            total -= factor[i, q] * work[q]
        work[i] = total / factor[i, i]
        rest -= work[i] * work[i]
    return rest if rest > ROUNDING * gram[k, k] else 0.0


@compiled
def opposite(k, gram):  # type: ignore[no-untyped-def]
    """The sample that is a negative multiple of sample k, -1 where there is none."""
    for o in range(gram.shape[0]):
        if gram[k, o] < 0.0 and gram[k, o] * gram[k, o] >= (1.0 - ROUNDING) * gram[k, k] * gram[o, o]:
            return o
    return -1


@compiled
def pull_when_off(k, c, gram):  # type: ignore[no-untyped-def]
    """What stands for c_k where gate k is off: c_l x_l over x_k for the opposite sample l, whose gate is on then."""
    partner = opposite(k, gram)
    return c[partner] * gram[k, partner] / gram[k, k] if partner >= 0 else 0.0


@compiled
def _change(k, state, gate, c, gram, on_field, b_on):  # type: ignore[no-untyped-def]
    """Puts gate k in the state and keeps the field of the gates that are on."""
    difference = (c[k] if state == ON else 0.0) - b_on[k]
    if difference != 0.0:
        b_on[k] += difference
        for o in range(on_field.size):
            on_field[o] += difference * gram[k, o]
    gate[k] = state


@compiled
def settle(z, a, gate, c, gram, on_field, b_on, field, b, index, factor, work, counts):  # type: ignore[no-untyped-def]
    """Makes one neuron's gates agree with their drifts, and gives its field and b (n,), sliding included.

    on_field and b_on are those of the gates that are on, and are kept so. counts gathers gate changes, entries into
    sliding, and failures to agree within ROUNDS changes a gate (the neuron then goes on with what it has).
    """
    n = c.size
    for _attempt in range(ROUNDS * n):
        field[:] = on_field
        b[:] = b_on
        s = project(gate, gram, field, b, index, factor)
        changed = -1
        state = OFF
        worst = 0.0
        for i in range(s):  # the sliding sample furthest outside [0, 1] leaves first
            k = index[i]
            least = pull_when_off(k, c, gram)
            fraction = (b[k] - least) / (c[k] - least) if a * (c[k] - least) < 0.0 else np.inf
            outside = max(-fraction, fraction - 1.0)
            if outside > worst:
                changed, worst = k, outside
                state = ON if a * (least - b[k]) > 0.0 else OFF
        if changed < 0:
            for k in range(n):
                if z[k] != 0.0 or gate[k] == SLIDING:
                    continue
                drift = a * field[k]
                if (gate[k] == OFF and drift > 0.0) or (gate[k] == ON and drift < 0.0):
                    outside = _outside_span(k, s, gram, index, factor, work)
                    jump = a * c[k] * outside
                    if jump == 0.0:
                        continue
                    d_off = drift if gate[k] == OFF else drift - jump
                    d_on = d_off + jump
                    partner = opposite(k, gram)
                    if partner >= 0:
                        other = a * pull_when_off(k, c, gram) * outside
                        if gate[partner] == ON:
                            d_on -= other
                        else:
                            d_off += other
                    state = OFF
                    if d_off > ROUNDING * abs(jump):
                        state = SLIDING if d_on < 0.0 else ON
                    if state != gate[k]:
                        changed = k
                        break
        if changed < 0:
            return
        counts[0] += 1
        if state == SLIDING:
            counts[1] += 1
        _change(changed, state, gate, c, gram, on_field, b_on)
        partner = opposite(changed, gram)
        if partner >= 0:  # the two gates are one
            z[changed] = z[partner] = 0.0
            _change(partner, ON if state == OFF else OFF, gate, c, gram, on_field, b_on)
    counts[2] += 1
