"""Exact motion of every neuron while the residual is frozen, through all its gate changes.

With c_k = r_k / n fixed and gates fixed a neuron obeys dw/dt = a D, da/dt = <D, w> (Eq. 3). The part of w across D
stays, and along u = D/N, N = ||D||, p = <u, w> and a are the sum and difference of two modes:

    p = A e^{Nt} + B e^{-Nt},  a = A e^{Nt} - B e^{-Nt},  4 A B = p^2 - a^2.

Balanced neurons move as motion/balanced.py says, others as motion/unbalanced.py, and where the steps of gradient
descent are followed instead of the flow, all as motion/descent.py. Neurons with the same gates share one field.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.balanced import great_circle, put_on_circle, turn, turn_freely
from gfflow.motion.descent import stride, stride_freely
from gfflow.motion.gates import SLIDING, copy, dot, forces, inherit, products, put
from gfflow.motion.groups import regroup
from gfflow.motion.sliding import agree, direct, project, resolve
from gfflow.motion.span import clear_rounding
from gfflow.motion.state import count_changes, different, group_field, keep_across, take_states
from gfflow.motion.unbalanced import BARELY, conserve, imbalance_at, swing
from gfflow.motion.zero import AT_ZERO, LEAVES, all_at_zero, find_way_out, is_pinned, pass_zero

PIECES = 100  # gate changes a gate in one move, at most
AFRESH = 64  # gate changes of a neuron after which the sum of its forces is formed anew: each adds a rounding


@lean
def _settle_group(gates, state, members, size, room):  # type: ignore[no-untyped-def]
    """The field of a group, its sliding and held gates made to agree with their drifts, in room.group."""
    f, sign = room.group, state.a[members[0]]
    copy(state.gate[members[0]], f.state)
    f.zero[:] = False
    changes = resolve(gates, f, room.force, room.base, sign, size)
    if is_pinned(gates, f):
        if find_way_out(gates, f, np.sign(sign), size, room) == LEAVES:
            changes += 1
        else:
            copy(state.gate[members[0]], f.state)
            f.zero[:] = False
            changes = resolve(gates, f, room.force, room.base, sign, size)
    if changes != 0:
        for j in members:
            count_changes(f, changes, room.counts)
            take_states(gates, state, j, f)


@lean
def _settle_alone(gates, state, j, event, size, room):  # type: ignore[no-untyped-def]
    """The field in room.alone, known for the neuron's states and for <v, n_g> in room.z, made to agree with the
    drifts of the gates at zero; False where the neuron rests for ever. At an event room.ray has the way it came."""
    f, before = room.alone, 0
    for k in range(f.state.size):
        f.zero[k] = abs(room.z[k]) <= AT_ZERO or k == event
        before += f.state[k] == SLIDING
    if event >= 0 and all_at_zero(gates, f.zero):
        pass_zero(gates, f, state.v[j], np.sign(state.a[j]), size, room)
        count_changes(f, different(f.state, state.gate[j]), room.counts)
        take_states(gates, state, j, f)
        return True
    for _ in range(2):
        count_changes(f, agree(gates, f, room.force, state.a[j], size), room.counts)
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
def _move_alone(gates, state, j, duration, size, start, eta, room):  # type: ignore[no-untyped-def]
    """One neuron for the time `duration`, through its gate changes: along its group's field up to the first.

    Each piece ends with an event: a gate, the number of gates for a change of the sign of a, or -1 for none."""
    most = PIECES * (gates.normal.shape[0] + 1)
    left, event, grouped = duration, -1, state.a[j] != 0.0
    alone, turns, f = not grouped, eta == 0.0 and start.imbalance[j] == 0.0, room.group
    for piece in range(most):
        if alone:
            f = room.alone
            if piece % AFRESH == 0:
                copy(state.gate[j], f.state)
                project(gates, f, room.force, room.base)
            elif grouped:
                inherit(f, room.group)
            grouped = False
            if not turns or piece == 0:
                products(gates, state.v[j], room.z)
            if not _settle_alone(gates, state, j, event, size, room):
                return
        if turns:
            used, event = turn(gates, state, j, f, left, start, piece > 0, room)
        elif eta > 0.0:
            used, event = stride(gates, state, j, f, left, eta, room)
        else:
            used, event = swing(gates, state, j, f, left, start, room)
        left -= used
        if event < 0:
            return
        put(f.u, room.ray, np.sign(state.a[j]))
        alone = True
    room.counts[2] += 1


@lean
def move(gates, state, duration, r, start, eta, room):  # type: ignore[no-untyped-def]
    """All neurons for the flow time `duration`, in place, with the residual r (n,) frozen: along the flow, or where
    eta > 0 by the steps of gradient descent of that size. room.counts and room.watch gather what happens."""
    size = forces(gates, r, room.force, room.base)
    groups = room.groups
    room.moved[:] = False
    for i in range(regroup(groups, state.key)):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        acts = state.a[members[0]] != 0.0
        if acts:
            _settle_group(gates, state, members, size, room)
            if room.group.rate[0] == 0.0 and room.group.info[0] == 0 and room.group.info[1] != 1:
                continue  # no force, and nothing that would have to be kept clear of rounding
            if eta == 0.0:
                turn_freely(gates, state, members, room.group, duration, start, room)
            else:
                stride_freely(gates, state, members, room.group, duration, eta, room)
        for j in members:
            if not room.moved[j] and (acts or dot(state.v[j], state.v[j]) != 0.0):
                _move_alone(gates, state, j, duration, size, start, eta, room)


@lean
def polish(gates, state, r, start, room):  # type: ignore[no-untyped-def]
    """Puts right what steps that are not exact motions leave: v on the gates at zero, its length, the balance, and
    the part across a line that is all that its gates leave to D."""
    forces(gates, r, room.force, room.base)
    f, groups = room.group, room.groups
    for i in range(regroup(groups, state.key)):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        group_field(gates, state, members[0], room)
        direct(gates, f, 0.0)
        for j in members:
            balanced = start.imbalance[j] == 0.0
            clear_rounding(f, state.v[j], balanced, room.watch)
            state.margin[j] = 0.0
            if not balanced:
                imbalance = imbalance_at(start, j, state.rho[j])
                state.a[j] = conserve(state.v[j], state.a[j], imbalance, room.watch)
            elif f.info[1] != 1 or f.rate[0] == 0.0:
                continue
            elif np.isnan(state.omega[j]):
                keep_across(gates, state, j, f)
            else:
                s = state.a[j]
                c = min(1.0, max(-1.0, s * dot(state.v[j], f.u)))
                angle, _ = great_circle(state, j, f, s, c, room)
                put_on_circle(state.v[j], f, s, angle, room.e)
