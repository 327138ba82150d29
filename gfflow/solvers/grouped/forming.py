"""Groups formed from a network's weights, and written back into them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gfflow.compiled import compiled
from gfflow.solvers.grouped.gates import inverse_norm, least_distance
from gfflow.solvers.grouped.groups import new_block, new_group, weights_of
from gfflow.solvers.grouped.patterns import add_patterns, chain_of_patterns, classify
from gfflow.solvers.grouped.state import (
    BAND_COUNT,
    GROUPS,
    LOOSE_COUNT,
    PAGE,
    PAGES,
    PATTERNS,
    UNIT,
    Array,
    Arrays,
    empty_state,
    state_of,
)
from gfflow.solvers.grouped.strands import weights_in_strand

SMALL = 4  # neurons that make a block however they are spread
FINE = 4.0  # a block's radius is at most its distance from the nearest gate divided by this


def form(theta: Array, x: Array, y: Array, keys: NDArray[np.uint64], most: int, many: int) -> Arrays | None:
    """The groups of the weights theta (m, d + 1) as they stand; None where there are more than `most` patterns.
    `many` chatterers on one gate will make a band."""
    number, first = classify(theta[:, :-1], x, keys, most)
    if not len(first) and number.any():
        return None
    gates = theta[first, :-1] @ x.T > 0
    order, parents = chain_of_patterns(gates, theta[first, :-1])
    state = empty_state(x, y, keys, len(theta), 2 * len(first) + 64, many)._replace(theta=theta.copy())
    place = np.zeros(len(first) + 1, dtype=np.int32)
    add_patterns(state, np.array(parents, dtype=np.int64), gates[order])
    place[order + 1] = np.arange(1, len(first) + 1)
    form_groups(state, place[number])
    return state


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
            accept = FINE * np.sqrt(square) <= least_distance(s.lines[UNIT], mean) or spread < 1e-15
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
                weights_of(s, g, j, theta[j])
                j = s.chain[j]
            b = s.blocks[b].following
    for at in range(s.counts[PAGES]):
        page = s.pages[at].listed
        for slot in range(page * PAGE, page * PAGE + s.pages[page].size):
            for i in range(e):
                theta[s.residents[slot].neuron, i] = s.near[i, slot]
    for band in range(s.counts[BAND_COUNT]):
        for strand in range(s.bands[band].first, s.bands[band].first + s.bands[band].size):
            j = s.strand_chains[strand].head
            for _ in range(s.strand_chains[strand].size):
                weights_in_strand(s, band, strand, j, theta[j])
                j = s.chain[j]
    for at in range(s.counts[LOOSE_COUNT]):
        j = s.loose[at]
        for i in range(e):
            theta[j, i] = s.theta[j, i]
