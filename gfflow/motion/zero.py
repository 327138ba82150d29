"""What becomes of a neuron that reaches w = 0 with an output weight a that is not.

All gates are at zero there at once. Near w = 0 the output weight does not move, and w' = a D(w) is the steepest
ascent of F(w) = s sum_k c_k relu(<w, x_k>), s the sign of a, homogeneous of degree one: the ways out of 0 are the
extremal directions v, s D(v) = ||D|| v, with F(v) > 0. To rest at 0 is a solution too, as D(0) = 0 for relu'(0) = 0,
and where several gates meet Filippov's solutions need not be unique forward in time (the field has lost its
determinacy, says the theory of discontinuous systems).

Here the neuron goes straight on through 0 by however little, its sliding gates sliding on, and from there along the
flow. So it leaves in the direction to which this leads; or it rests, where no sample is open there; or it comes back
to 0, perhaps several times. If that has no end it takes the steepest of the ways out that are found from the sides of
all gates; if there is none it is pinned at 0, as a sliding neuron at a gate, until the residuals open one. None of it
depends on the order of neurons and samples. Small steps of descent do the same, as far as tried, where there is one
way out or none, with rare exceptions; where there are several, or samples may all be closed, their last step across 0
decides.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import LEVEL, OFF, ON, SLIDING, dot, products, put
from gfflow.motion.sliding import find_drifts, resolve
from gfflow.motion.span import clear_rounding

AT_ZERO = 1e-13  # of a unit vector's product with a normal, that is rounding
BACK = 1e-10  # of a length, to which it has shrunk where a neuron is back at 0
COMES_BACK, RESTS, LEAVES = 0, 1, 2
PIECES = 20  # gate changes a gate on the way out, at most


@lean
def all_at_zero(gates, zero):  # type: ignore[no-untyped-def]
    """Whether all gates are at zero, of more than one: a single gate's own rule is enough."""
    count = 0
    for g in range(zero.size):
        count += zero[g]
    return count == zero.size and count > 1


@lean
def _go_on(gates, f, sign, size, returns, room):  # type: ignore[no-untyped-def]
    """From next to 0 in the direction room.ray, along the flow, at most so often back through 0. The states and the
    field of the neuron then in f; COMES_BACK, RESTS or LEAVES, at the rate f.rate along sign f.u."""
    ray, z, event = room.ray, room.z, -1
    for _ in range(PIECES * z.size):
        products(gates, ray, z)
        for g in range(z.size):
            f.zero[g] = abs(z[g]) <= AT_ZERO or g == event
            if not f.zero[g]:
                f.state[g] = ON if z[g] > 0.0 else OFF
        if resolve(gates, f, room.force, room.base, sign, size) < 0:
            return COMES_BACK
        if f.rate[0] == 0.0:
            return RESTS
        find_drifts(gates, f)
        event, way = -1, np.inf
        for g in range(z.size):
            drift = sign * f.drift[g]
            towards = (f.state[g] == ON and drift < -LEVEL) or (f.state[g] == OFF and drift > LEVEL)
            if towards and abs(z[g] / drift) < way:
                event, way = g, abs(z[g] / drift)
        if event < 0:
            return LEAVES
        for q in range(ray.size):
            ray[q] += way * sign * f.u[q]
        length = np.sqrt(dot(ray, ray))
        if length <= BACK:
            if returns == 0:
                return COMES_BACK
            returns, event = returns - 1, -1
            put(f.u, ray, sign)
            continue
        put(ray, ray, 1.0 / length)
        clear_rounding(f, ray, True, room.watch)
    return COMES_BACK


@lean
def _start(gates, f, number, room):  # type: ignore[no-untyped-def]
    """One of the sides of all gates, into room.ray, and states that do not know where the neuron has come from."""
    put(gates.normal[number // 2], room.ray, 1.0 if number % 2 == 0 else -1.0)
    f.state[:] = OFF


@lean
def find_way_out(gates, f, sign, size, room):  # type: ignore[no-untyped-def]
    """The steepest way out of 0 that is found from the sides of all gates, its states in f; or states with which it
    rests, where there is none. RESTS, LEAVES, or COMES_BACK where there is neither."""
    best, outcome, steepest = -1, COMES_BACK, 0.0
    for number in range(2 * f.state.size):
        _start(gates, f, number, room)
        found = _go_on(gates, f, sign, size, 0, room)
        if found > outcome or (found == LEAVES and f.rate[0] > steepest):
            best, outcome, steepest = number, found, f.rate[0]
    if best >= 0:
        _start(gates, f, best, room)
        _go_on(gates, f, sign, size, 0, room)
    return outcome


@lean
def pass_zero(gates, f, v, sign, size, room):  # type: ignore[no-untyped-def]
    """A neuron that has come to w = 0 in the direction room.ray: v exactly there, in f its states and its field.
    What it slides on or is held at it goes on to."""
    for q in range(gates.rank):
        v[q] = 0.0
    outcome = _go_on(gates, f, sign, size, 2 * f.state.size, room)
    if outcome == COMES_BACK:
        outcome = find_way_out(gates, f, sign, size, room)
    if outcome == COMES_BACK:
        f.zero[:] = True
        resolve(gates, f, room.force, room.base, sign, size)
    room.z[:] = 0.0


@lean
def is_pinned(gates, f):  # type: ignore[no-untyped-def]
    """Whether a neuron in the states of f is held at w = 0 by gates that pull it back."""
    sliding = 0
    for g in range(f.state.size):
        sliding += f.state[g] == SLIDING
    return sliding > 0 and f.info[0] == gates.rank and f.state.size > 1
