"""What moves: the state of all neurons, what stays of their start, and the room in which they are moved.

A neuron is e^{rho} (v, a) with max(||v||, |a|) = 1: lambda enters through rho alone, and no number is tiny or huge.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import lean
from gfflow.motion.gates import Gates, copy, dot, key_of, new_field, put
from gfflow.motion.groups import no_groups
from gfflow.motion.sliding import project
from gfflow.motion.span import outside


class State(NamedTuple):
    """All m neurons e^{rho} (v, a)."""

    v: Any  # (m, Q)
    a: Any  # (m,), the sign alone for a balanced neuron
    rho: Any  # (m,)
    gate: Any  # (m, g) int8
    perp: Any  # (m, Q), unit: the part of w across the line that its gates leave to D
    omega: Any  # (m,), the logarithm of that part's length; NaN where it is not kept
    margin: Any  # (m,), how far it may go without meeting a gate: an angle; of descent's steps a length in v
    key: Any  # (m,) int64, a hash of gates and sign

    def copy(self) -> State:
        return State(*(part.copy() for part in self))


class Start(NamedTuple):
    """What stays of the start for the whole run."""

    imbalance: Any  # (m,), (a^2 - ||w||^2) e^{-2 scale}; 0 for a balanced neuron
    scale: Any  # (m,), rho at the start
    beside: Any  # (m,), the logarithm of the length of the part of w outside the span of the inputs


class Room(NamedTuple):
    """The workspace of a move."""

    group: Any  # Field of a group of neurons
    alone: Any  # Field of a neuron that has left its group
    moved: Any  # (m,) bool, neurons that have been moved with their group
    e: Any  # (Q,)
    z: Any  # (g,)
    force: Any  # (g,)
    base: Any  # (Q,)
    ray: Any  # (Q,), the direction in which a neuron has met a gate (motion/zero.py)
    groups: Any  # Groups
    counts: Any  # (3,) int64: gate changes, entries into sliding, neurons whose gates did not settle
    watch: Any  # (3,): largest changes by which norm, gates and balance were put right


def new_room(gates: Gates, m: int) -> Room:
    """The workspace for m neurons on these gates."""
    g, q = gates.normal.shape
    vectors = np.zeros(q), np.zeros(g), np.zeros(g), np.zeros(q), np.zeros(q)
    return Room(
        new_field(gates),
        new_field(gates),
        np.zeros(m, np.bool_),
        *vectors,
        no_groups(m),
        np.zeros(3, np.int64),
        np.zeros(3),
    )


def of_neurons(arrays: Any, chosen: Any) -> Any:
    """The part of a State or Start that is the chosen neurons', copied."""
    return type(arrays)(*(part[chosen] for part in arrays))


@lean
def take_states(gates, state, j, f):  # type: ignore[no-untyped-def]
    """Gives neuron j the field's gate states."""
    copy(f.state, state.gate[j])
    state.key[j] = key_of(gates, f.state, state.a[j])
    state.omega[j] = np.nan
    state.margin[j] = 0.0


@lean
def different(states, others):  # type: ignore[no-untyped-def]
    """How many gates have another state."""
    count = 0
    for g in range(states.size):
        count += states[g] != others[g]
    return count


@lean
def count_changes(f, changes, counts):  # type: ignore[no-untyped-def]
    counts[0] += abs(changes)
    if changes < 0:
        counts[2] += 1


@lean
def group_field(gates, state, lead, room):  # type: ignore[no-untyped-def]
    """D for the gates of neuron `lead`, and of its whole group, as they are, into room.group."""
    copy(state.gate[lead], room.group.state)
    project(gates, room.group, room.force, room.base)


@lean
def keep_across(gates, state, j, f):  # type: ignore[no-untyped-def]
    """Keeps the part of w across the line that the gates leave to D, while it is still told from rounding."""
    perp = state.perp[j]
    outside(f, state.v[j], perp)
    along = dot(perp, f.u)
    for q in range(perp.size):
        perp[q] -= along * f.u[q]
    if f.info[0] == gates.rank - 1:
        perp[: gates.rank] = 0.0
    size = np.sqrt(dot(perp, perp))
    if size > 0.0:
        put(perp, perp, 1.0 / size)
        state.omega[j] = state.rho[j] + np.log(size)
    else:
        state.omega[j] = -np.inf
