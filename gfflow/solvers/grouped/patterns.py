"""Patterns: the sets of samples on which a neuron is open, each described by its differences from another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gfflow.compiled import compiled
from gfflow.solvers.grouped.state import EDGES, INPUTS, PATTERNS, PULLS, Array, state_of


@compiled
def classify(w, x, keys, most):  # type: ignore[no-untyped-def]
    """The pattern of each neuron as a number from 1 on, 0 for those that are off on every sample, and the first
    neuron of each pattern; no neuron where there are more than `most` patterns."""
    m, n, d = w.shape[0], x.shape[0], x.shape[1]
    codes = np.zeros(m, np.uint64)
    zero = np.uint64(0)
    columns = np.ascontiguousarray(w.T)
    z = np.empty(256)
    for begin in range(0, m, 256):
        width = min(256, m - begin)
        for k in range(n):
            for j in range(width):
                z[j] = columns[0, begin + j] * x[k, 0]
            for i in range(1, d):
                for j in range(width):
                    z[j] += columns[i, begin + j] * x[k, i]
            key = keys[k]
            for j in range(width):
                codes[begin + j] ^= zero if z[j] <= 0 else key
    room = 64
    while room < 4 * most:
        room *= 2
    mask = np.uint64(room - 1)
    table = np.zeros(room, np.int32)
    number = np.zeros(m, np.int32)
    first = np.empty(most + 1, np.int64)
    found = 0
    for j in range(m):
        code = codes[j]
        if code == zero:
            continue
        at = code & mask
        while table[at] != 0 and codes[first[table[at] - 1]] != code:
            at = (at + np.uint64(1)) & mask
        if table[at] == 0:
            if found == most:
                return number, first[:0]
            first[found] = j
            found += 1
            table[at] = found
        number[j] = table[at]
    return number, first[:found]


def chain_of_patterns(gates: NDArray[np.bool_], members: Array) -> tuple[NDArray[np.int64], list[int]]:
    """The patterns (p, n) in an order in which each differs in few gates from an earlier one, and the rank of that
    one, 0 standing for no open gate and 1 for the first in the order. In the plane they follow by angle."""
    if members.shape[1] == 2:
        order = np.arctan2(members[:, 1], members[:, 0]).argsort(kind="stable")
    elif len(gates) <= 2048:
        return nearest_first(gates)
    else:
        order = np.lexsort(gates.T)
    ordered = gates[order]
    changes = (ordered[1:] != ordered[:-1]).sum(axis=1)
    opened = ordered.sum(axis=1)
    parents = [0] + [rank + 1 if changes[rank] < opened[rank + 1] else 0 for rank in range(len(order) - 1)]
    return order, parents


def nearest_first(gates: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[int]]:
    """The tree of fewest differences (Prim), from no open gate on."""
    nearest = gates.sum(axis=1)
    parent = np.zeros(len(gates), dtype=np.int64)
    order, parents = [], []
    for rank in range(1, len(gates) + 1):
        chosen = int(nearest.argmin())
        order.append(chosen)
        parents.append(int(parent[chosen]))
        distance = (gates != gates[chosen]).sum(axis=1)
        closer = distance < nearest
        nearest[closer], parent[closer] = distance[closer], rank
        nearest[order] = np.iinfo(np.int64).max
    return np.array(order, dtype=np.int64), parents


@compiled
def find_pattern(s, code):  # type: ignore[no-untyped-def]
    """The pattern of this code, or -1."""
    mask = np.uint64(s.table.size - 1)
    at = code & mask
    while s.table[at] != 0:
        if s.patterns[s.table[at] - 1].code == code:
            return np.int64(s.table[at] - 1)
        at = (at + np.uint64(1)) & mask
    return np.int64(-1)


@compiled
def add_pattern(s, parent, gates):  # type: ignore[no-untyped-def]
    """A new pattern with these gates, described by its differences from the parent; -1 where there is no room."""
    p, edge = s.counts[PATTERNS], s.counts[EDGES]
    if p >= s.gates.shape[0] - 1 or edge + gates.size > s.edge.size:
        return np.int64(-1)
    code = np.uint64(0)
    for i in range(s.fields.shape[0]):
        s.fields[i, p] = s.fields[i, parent]
    for k in range(gates.size):
        s.gates[p, k] = gates[k]
        if gates[k]:
            code ^= s.sample[k].key
        if gates[k] != s.gates[parent, k]:
            sign = 1.0 if gates[k] else -1.0
            s.edge[edge] = k if gates[k] else -1 - k
            edge += 1
            for i in range(s.fields.shape[0]):
                s.fields[i, p] += sign * s.planes[PULLS, k, i]
    s.patterns[p].parent = parent
    s.counts[EDGES], s.patterns[p + 1].edges = edge, edge
    s.patterns[p].code = code
    s.patterns[p].newest, s.patterns[p].page = -1, -1
    mask = np.uint64(s.table.size - 1)
    at = code & mask
    while s.table[at] != 0:
        at = (at + np.uint64(1)) & mask
    s.table[at] = p + 1
    s.counts[PATTERNS] = p + 1
    return p


@compiled
def add_patterns(arrays, parents, gates):  # type: ignore[no-untyped-def]
    """The first patterns: that of dead neurons, and these."""
    s = state_of(arrays)
    add_pattern(s, np.int64(0), np.zeros(gates.shape[1], np.bool_))
    for p in range(len(parents)):
        add_pattern(s, parents[p], gates[p])


@compiled
def pattern_of(s, theta, code, old):  # type: ignore[no-untyped-def]
    """The number of the pattern of theta, new if need be, described from pattern `old`; -1 without room."""
    p = find_pattern(s, code)
    if p >= 0:
        return p
    n, d = s.planes.shape[1:]
    gates = np.empty(n, np.bool_)
    for k in range(n):
        z = 0.0
        for i in range(d):
            z += theta[i] * s.planes[INPUTS, k, i]
        gates[k] = not z <= 0
    return add_pattern(s, old, gates)


@compiled
def with_gates_closed(s, pattern, count):  # type: ignore[no-untyped-def]
    """The pattern without the `count` gates that find_near has listed; -1 without room."""
    code = s.patterns[pattern].code
    for i in range(count):
        k = s.near_gates[i]
        if s.gates[pattern, k]:
            code ^= s.sample[k].key
    p = find_pattern(s, code)
    if p >= 0:
        return p
    gates = s.gates[pattern].copy()
    for i in range(count):
        gates[s.near_gates[i]] = False
    return add_pattern(s, pattern, gates)
