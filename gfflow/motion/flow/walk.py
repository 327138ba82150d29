"""Many steps of the splitting (motion/flow/step.py) in one compiled call: a call costs as much as a small step."""

from __future__ import annotations

from gfflow.compiled import compiled
from gfflow.motion.flow.length import next_length, too_short
from gfflow.motion.flow.step import travel
from gfflow.motion.target import faded

ORDER = 4  # of the error: it is proportional to h^ORDER
EVALUATIONS = 7  # of a step
LOST = 1e-6  # relative change by which what is conserved may be put right: more is no rounding


@compiled
def walk(machine, origin, state, spare, tolerance, clock, tally, corrections, until, most):  # type: ignore[no-untyped-def]
    """Steps until the time is reached, `most` are taken, none can be taken any more or digits are lost; returns how
    many have been taken. Each of them turns the three states: what was the state is the origin, and so on.

    `clock`: when the last step began, the time reached, the length of the next step and how long it may be;
    `tally` (5,): evaluations, steps, rejected steps, gate events and sliding episodes of this call, as an integrator
    counts them."""
    step, room, taken = machine.step, machine.room, 0
    tally[:] = 0
    while taken < most and clock[1] < until and not too_short(clock[2], clock[1]):
        h = clock[2]
        error = travel(machine, state, spare, h, 2, tolerance)
        clock[2], clock[3] = next_length(h, clock[3], error, ORDER)
        tally[0] += EVALUATIONS
        if not error <= 1.0:
            tally[2] += 1
            continue
        origin, state, spare = state, spare, origin
        clock[0], clock[1], taken = clock[1], clock[1] + h, taken + 1
        tally[1] += 1
        tally[3] += room.counts[0]
        tally[4] += room.counts[1]
        step.start[:] = step.end
        for i in range(corrections.size):
            corrections[i] = max(corrections[i], room.watch[i])
        if corrections.max() > LOST or faded(machine.target, step.start[0]):
            break
    return taken
