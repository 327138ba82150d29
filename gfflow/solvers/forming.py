"""Groups formed from a network's weights, and written back into them (compiled; the state is in grouping)."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouping import (
    GROUPS,
    LOOSE_COUNT,
    PAGE,
    PAGES,
    PATTERNS,
    add_pattern,
    inverse_norm,
    least_distance,
    new_block,
    new_group,
    state_of,
)

SMALL = 4  # neurons that make a block however they are spread
FINE = 4.0  # a block's radius is at most its distance from the nearest gate divided by this


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


@compiled
def add_patterns(arrays, parents, gates):  # type: ignore[no-untyped-def]
    """The first patterns: that of dead neurons, and these."""
    s = state_of(arrays)
    add_pattern(s, np.int64(0), np.zeros(gates.shape[1], np.bool_))
    for p in range(len(parents)):
        add_pattern(s, parents[p], gates[p])


@compiled
def form_blocks(s, g, order, begin, end, unit):  # type: ignore[no-untyped-def]
    """Blocks of the group for the neurons order[begin:end]: halved at the mean of the widest coordinate of their
    directions until they are small beside their distance from the nearest gate."""
    e = s.theta.shape[1]
    stack = np.empty((256, 2), np.int64)
    stack[0, 0], stack[0, 1] = begin, end
    top = 1
    low, high, mean = np.empty(e), np.empty(e), np.empty(e)
    while top > 0:
        top -= 1
        lo, hi = stack[top, 0], stack[top, 1]
        size = hi - lo
        accept = size <= SMALL or top > 250
        if not accept:
            low[:], high[:], mean[:] = np.inf, -np.inf, 0.0
            for at in range(lo, hi):
                j = order[at]
                for i in range(e):
                    v = unit[j, i]
                    mean[i] += v
                    low[i], high[i] = min(low[i], v), max(high[i], v)
            spread, widest, square = -1.0, 0, 0.0
            for i in range(e):
                mean[i] /= size
                reach = max(high[i] - mean[i], mean[i] - low[i])
                square += reach * reach
                if high[i] - low[i] > spread:
                    spread, widest = high[i] - low[i], i
            accept = FINE * np.sqrt(square) <= least_distance(s.lines[1], mean) or spread < 1e-15
        if accept:
            for at in range(lo, hi - 1):
                s.chain[order[at]] = order[at + 1]
            s.chain[order[hi - 1]] = -1
            new_block(s, g, order[lo], np.int64(size))
            continue
        middle, last, cut = lo, hi - 1, mean[widest]
        while middle <= last:
            if unit[order[middle], widest] < cut:
                middle += 1
            else:
                order[middle], order[last] = order[last], order[middle]
                last -= 1
        if middle in (lo, hi):
            middle = (lo + hi) // 2
        stack[top, 0], stack[top, 1] = middle, hi
        stack[top + 1, 0], stack[top + 1, 1] = lo, middle
        top += 2


@compiled
def form_groups(arrays, number):  # type: ignore[no-untyped-def]
    """One group for each pattern, of its neurons; theta holds the weights, and is divided by the groups' scales."""
    s = state_of(arrays)
    m, e = s.theta.shape
    patterns = s.counts[PATTERNS]
    starts = np.zeros(patterns + 1, np.int64)
    largest = np.zeros(patterns)
    unit = np.empty((m, e))
    for j in range(m):
        starts[number[j] + 1] += 1
        for i in range(e):
            largest[number[j]] = max(largest[number[j]], abs(s.theta[j, i]))
    for p in range(patterns):
        starts[p + 1] += starts[p]
    order = np.empty(m, np.int64)
    place = starts.copy()
    for j in range(m):
        order[place[number[j]]] = j
        place[number[j]] += 1
    for p in range(1, patterns):
        if starts[p] == starts[p + 1]:
            continue
        scale = 2.0 ** np.floor(np.log2(largest[p]))
        g = new_group(s, p, scale)
        for at in range(starts[p], starts[p + 1]):
            j = order[at]
            for i in range(e):
                s.theta[j, i] /= scale
            inverse = inverse_norm(s.theta[j])
            for i in range(e):
                unit[j, i] = s.theta[j, i] * inverse
        form_blocks(s, g, order, starts[p], starts[p + 1], unit)


@compiled
def write_back(arrays, theta):  # type: ignore[no-untyped-def]
    """The weights of all neurons as they stand, into theta (m, e); dead neurons are there already."""
    s = state_of(arrays)
    e = s.theta.shape[1]
    for g in range(s.counts[GROUPS]):
        if s.groups[g].pattern == 0:
            continue
        b = s.groups[g].first_block
        while b >= 0:
            j = s.blocks[b].head
            for _ in range(s.blocks[b].size):
                for i in range(e):
                    v = 0.0
                    for q in range(e):
                        v += s.maps[i * e + q, g] * s.theta[j, q]
                    theta[j, i] = v * s.groups[g].scale
                j = s.chain[j]
            b = s.blocks[b].following
    for at in range(s.counts[PAGES]):
        page = s.pages[at].listed
        for slot in range(page * PAGE, page * PAGE + s.pages[page].size):
            for i in range(e):
                theta[s.residents[slot].neuron, i] = s.near[i, slot]
    for at in range(s.counts[LOOSE_COUNT]):
        j = s.loose[at]
        for i in range(e):
            theta[j, i] = s.theta[j, i]
