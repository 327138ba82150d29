"""How each neuron's motion in a frozen field goes on for ever, once its gates change no more."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import OFF, ON, copy, dot, forces, put
from gfflow.motion.groups import regroup
from gfflow.motion.sliding import direct
from gfflow.motion.state import State, group_field, keep_across
from gfflow.motion.unbalanced import modes

RESTS, GROWS, SHRINKS, TURNS = 0, 1, 2, 3
LEVEL = 1e-12  # of a drift over ||D||, that is rounding


class Outlook(NamedTuple):
    """What comes of each neuron: its fate, and what its log-norm tends to, mode + rate t."""

    fate: Any  # (m,) int64: RESTS, GROWS, SHRINKS or TURNS
    rate: Any  # (m,), ||D||, negative for a neuron that shrinks
    mode: Any  # (m,)
    direction: Any  # (m, Q), unit, along which it grows or shrinks


def new_outlook(state: State) -> Outlook:
    """Room for the outlook of the neurons of a state."""
    m = len(state.rho)
    return Outlook(np.zeros(m, np.int64), np.zeros(m), np.zeros(m), np.zeros_like(state.v))


@lean
def look_out(gates, state, r, start, room, out):  # type: ignore[no-untyped-def]
    """The outlook of all neurons in the field of the residual r (n,), given that `move` has made their gates agree
    with it, into `out`.

    RESTS: no sample pulls. GROWS: for ever, along `direction` at the rate ||D||. SHRINKS: for ever, on the one line
    that its gates leave it. TURNS: a gate is still to change or its output weight its sign, and nothing else is told.
    """
    fate, rate, mode, direction = out.fate, out.rate, out.mode, out.direction
    size = forces(gates, r, room.force, room.base)
    f, groups = room.group, room.groups
    for i in range(regroup(groups, state.key)):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        group_field(gates, state, members[0], room)
        direct(gates, f, size)
        for j in members:
            v, a = state.v[j], state.a[j]
            if f.rate[0] == 0.0 or (a == 0.0 and dot(v, f.u) == 0.0) or dot(v, v) == 0.0:
                fate[j], rate[j], mode[j] = RESTS, 0.0, state.rho[j]
                copy(v, direction[j])
                continue
            if f.info[1] == 1 and np.isnan(state.omega[j]):
                keep_across(gates, state, j, f)
            rising, falling, _ = modes(state, j, f, start, room.e)
            if rising == 0.0:
                fate[j], rate[j], mode[j] = SHRINKS, -f.rate[0], state.rho[j] + np.log(abs(falling))
                put(f.u, direction[j], np.copysign(1.0, falling))
                continue
            sign = 1.0 if rising > 0.0 else -1.0
            fate[j], rate[j], mode[j] = GROWS, f.rate[0], state.rho[j] + np.log(abs(rising))
            put(f.u, direction[j], sign)
            if rising * a <= 0.0:
                fate[j] = TURNS
            for g in range(f.state.size):
                drift = sign * dot(f.u, gates.normal[g])
                # a sample whose residual is 0 pulls nowhere, but will, once the neuron has grown: its gate counts too
                if (f.state[g] == ON and drift < -LEVEL) or (f.state[g] == OFF and drift > LEVEL):
                    fate[j] = TURNS
                    break
