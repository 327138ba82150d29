"""Neurons with the same gates and the same sign, which one field moves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import lean


class Groups(NamedTuple):
    """Groups 0, 1, ..., count - 1 by first appearance; `order` lists their members, group after group."""

    order: Any  # (m,) int64
    first: Any  # (m + 1,) int64: group g has the members order[first[g]:first[g + 1]]
    group: Any  # (m,) int64, the group of each neuron
    table: Any  # (2^p,) int64, a hash table of neurons
    known: Any  # (m,) int64, the keys that made them
    count: Any  # (1,) int64, how many there are; -1 before


def no_groups(m: int) -> Groups:
    """Room for the groups of m neurons."""
    size = 2 ** int(np.ceil(np.log2(2 * m + 2)))
    order, first, group, table, known = (np.zeros(length, np.int64) for length in (m, m + 1, m, size, m))
    return Groups(order, first, group, table, known, np.full(1, -1))


@lean
def regroup(groups, key):  # type: ignore[no-untyped-def]
    """Groups the neurons by their keys (m,), hashes that are equal only for equal gates and signs; the number of
    groups. Costs one pass over the neurons, whatever the number of groups, and next to nothing if no key is new."""
    if groups.count[0] >= 0:
        j = 0
        while j < key.size and key[j] == groups.known[j]:
            j += 1
        if j == key.size:
            return groups.count[0]
    groups.table[:] = -1
    mask, count = groups.table.size - 1, 0
    for j in range(key.size):
        groups.known[j] = key[j]
        place = key[j] & mask
        while groups.table[place] >= 0 and key[groups.table[place]] != key[j]:
            place = (place + 1) & mask
        if groups.table[place] < 0:
            groups.table[place] = j
            groups.group[j] = count
            groups.first[count] = 0
            count += 1
        else:
            groups.group[j] = groups.group[groups.table[place]]
        groups.first[groups.group[j]] += 1
    total = 0
    for g in range(count):
        size = groups.first[g]
        groups.first[g] = total
        total += size
    groups.first[count] = total
    for j in range(key.size):
        g = groups.group[j]
        groups.order[groups.first[g]] = j
        groups.first[g] += 1
    for g in range(count, 0, -1):
        groups.first[g] = groups.first[g - 1]
    groups.first[0] = 0
    groups.count[0] = count
    return count
