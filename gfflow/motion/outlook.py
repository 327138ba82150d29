"""How each neuron's motion in a frozen field goes on for ever, once its gates change no more."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.frozen_residual import keep_across
from gfflow.motion.gates import OFF, ON, copy, direct, dot, forces, project, put
from gfflow.motion.groups import regroup
from gfflow.motion.unbalanced import modes

RESTS, GROWS, SHRINKS, TURNS = 0, 1, 2, 3
LEVEL = 1e-12  # of a drift over ||D||, that is rounding


@lean
def outlook(gates, state, r, start, room, fate, rate, mode, direction):  # type: ignore[no-untyped-def]
    """What comes of all m neurons in the field of the residual r (n,), given that `move` has made their gates agree
    with it.

    fate (m,): RESTS, no sample pulls; GROWS, along `direction` (m, Q), unit, at the rate ||D||: its log-norm tends to
    mode + rate t; SHRINKS for ever, on the one line that its gates leave it, by the rate -||D||; TURNS, a gate is
    still to change or its output weight its sign, and nothing else is told.
    """
    size = forces(gates, r, room.force, room.base)
    f, groups = room.group, room.groups
    count = regroup(groups, state.key)
    for i in range(count):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        copy(state.gate[members[0]], f.state)
        project(gates, f, room.force, room.base)
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
                pulls = room.force[g] != 0.0 or gates.minus[g]
                if pulls and ((f.state[g] == ON and drift < -LEVEL) or (f.state[g] == OFF and drift > LEVEL)):
                    fate[j] = TURNS
                    break
