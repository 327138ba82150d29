"""The state of grouped descent, and how it is built from a network's weights and written back into them.

Neurons that are open on the same samples have one **pattern**, and one step moves them by one linear map (THE map of
the pattern, see grouped_kernels). A **group** is a set of neurons of one pattern that have shared all maps since it
was formed: the product `maps`, and the second moment `moments` of its neurons' weights theta = (w, a) as they were
then, are all that a step needs. Within a group neurons lie in **blocks**: a ball around their directions says until
when no gate of any of them can have changed. Neurons near a few gates lie in **pages** and are stepped one by one,
with these gates alone looked at; those near many are **loose** and stepped with all gates looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from gfflow.compiled import compiled

PAGE = 128  # neurons in a page
SLOTS = 1024  # of the wheel on which blocks wait for their due date
SLOT_STEPS = 4  # steps, at the speed of the build, that a slot of the wheel lasts
GATES = 6  # near gates of a neuron in a page, at most
LOOSE = 512  # loose neurons at most
SMALL = 4  # neurons that make a block however they are spread
FINE = 4.0  # a block's radius is at most its distance from the nearest gate divided by this

# without regard to NaN, which is never seen here: it ends a call before
shortened: Any = compiled(fastmath={"reassoc", "contract", "nnan", "nsz"})

# indices into State.count
PATTERNS, EDGES, GROUPS, BLOCKS, FREE_GROUP, FREE_BLOCK, PAGES, FREE_PAGE, LOOSE_COUNT, SLOT, FULL = range(11)
# indices into State.clock
NOW, AHEAD, WIDTH, NEAR, WORK, CHECKS, DONE_STEPS = range(7)


WHOLE, REAL = np.int64, np.float64


def record(whole: str, real: str = "") -> np.dtype[Any]:
    """A numpy record of these fields."""
    return np.dtype([(name, WHOLE) for name in whole.split()] + [(name, REAL) for name in real.split()])


SAMPLE = np.dtype([*((name, REAL) for name in ("y", "inverse_length", "h", "loose_h")), ("key", np.uint64)])
PATTERN = np.dtype([("code", np.uint64), *((name, WHOLE) for name in ("parent", "edges", "newest", "page"))])
GROUP = record("pattern first_block", "scale square birth reference")
BLOCK = record("group head size following preceding in_slot", "radius")
RESIDENT = record("neuron", "due wait")
PAGE_RECORD = record("pattern gates size place listed free next", "due")


class Arrays(NamedTuple):
    """Everything that grouped descent keeps while it steps: m neurons, n samples, e = d + 1 weights a neuron."""

    sample: NDArray[Any]  # (n,): label, 1 / ||x_k||, outputs, and a random word: a pattern's code is the exclusive or
    # of the words of its open samples
    planes: NDArray[Any]  # (4, n, d): x_k, x_k / ||x_k||, lr r_k x_k / n, sum of a_j w_j over the neurons open on k
    counts: NDArray[Any]
    clock: NDArray[Any]  # NOW = sum over the steps of the largest lr ||D||, an upper bound of every ln ||map||
    gates: NDArray[Any]  # (patterns, n) bool
    patterns: NDArray[Any]  # code, a parent that differs in few gates (a smaller number; 0 is the pattern of dead
    # neurons), where the differences from it begin in `edge`, the group that takes newcomers, the first of its pages
    table: NDArray[Any]  # hash table of codes: pattern + 1, or 0
    edge: NDArray[Any]  # a sample that is open here and closed in the parent, or -1 - it the other way round
    fields: NDArray[Any]  # (d, patterns): lr D
    total: NDArray[Any]  # (d, patterns): sum of a_j w_j over the neurons of the pattern
    groups: NDArray[Any]  # theirs: a power of two by which theta is divided, its square, the clock when the group was
    # formed, the trace of the moments when they were last summed afresh
    maps: NDArray[Any]  # (e e, groups)
    moments: NDArray[Any]  # (e e, groups)
    work: NDArray[Any]  # (4 e, groups): room for a sweep
    blocks: NDArray[Any]
    centre: NDArray[Any]  # (blocks, e)
    block_moments: NDArray[Any]  # (blocks, e e)
    slots: NDArray[Any]  # the wheel: the first block that waits in each slot
    theta: NDArray[Any]  # (m, e): weights when the neuron joined its group, over the group's scale; or as they are
    chain: NDArray[Any]  # (m,): the next neuron of the same block
    pages: NDArray[Any]  # their pattern with all their gates closed; the next page of this pattern; `listed` and
    # `free` are lists, of the pages in use and of the others
    page_gates: NDArray[Any]  # (pages, GATES): the samples whose gates are near
    residents: NDArray[Any]  # (pages PAGE,)
    near: NDArray[Any]  # (e, pages PAGE): their weights
    room: NDArray[Any]  # (2 + GATES, PAGE)
    lines: NDArray[Any]  # (2, d, n): x_k and x_k / ||x_k||, by coordinate
    distance: NDArray[Any]  # (2, n): room for distances from gates
    loose: NDArray[Any]  # (LOOSE,)


class StateType(types.StructRef):
    """Arrays as compiled code hands them from function to function: by one pointer."""

    def preprocess_fields(self, fields):  # type: ignore[no-untyped-def]
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class State:
    """Stands for StateType in compiled code; made of Arrays by state_of."""


structref.register(StateType)
structref.define_constructor(State, StateType, list(Arrays._fields))
structref.define_attributes(StateType)


@compiled
def state_of(arrays):  # type: ignore[no-untyped-def]
    """The arrays as one value of compiled code."""
    return State(  # type: ignore[call-arg]
        arrays.sample,
        arrays.planes,
        arrays.counts,
        arrays.clock,
        arrays.gates,
        arrays.patterns,
        arrays.table,
        arrays.edge,
        arrays.fields,
        arrays.total,
        arrays.groups,
        arrays.maps,
        arrays.moments,
        arrays.work,
        arrays.blocks,
        arrays.centre,
        arrays.block_moments,
        arrays.slots,
        arrays.theta,
        arrays.chain,
        arrays.pages,
        arrays.page_gates,
        arrays.residents,
        arrays.near,
        arrays.room,
        arrays.lines,
        arrays.distance,
        arrays.loose,
    )


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
        s.counts[FULL] = 1
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
                s.fields[i, p] += sign * s.planes[2, k, i]
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
def new_group(s, pattern, scale):  # type: ignore[no-untyped-def]
    """An empty group, or -1 where there is no room."""
    g = s.counts[FREE_GROUP]
    if g >= 0:
        s.counts[FREE_GROUP] = s.groups[g].first_block
    else:
        g = s.counts[GROUPS]
        if g >= s.groups.size:
            s.counts[FULL] = 1
            return np.int64(-1)
        s.counts[GROUPS] = g + 1
    e = s.theta.shape[1]
    for i in range(e * e):
        s.maps[i, g] = 1.0 if i % (e + 1) == 0 else 0.0
        s.moments[i, g] = 0.0
    s.groups[g].pattern, s.groups[g].scale, s.groups[g].square = pattern, scale, scale * scale
    s.groups[g].birth, s.groups[g].reference, s.groups[g].first_block = s.clock[NOW], 0.0, -1
    s.patterns[pattern].newest = g
    return np.int64(g)


@compiled
def inverse_norm(theta):  # type: ignore[no-untyped-def]
    """1 / ||theta|| without squaring tiny numbers."""
    most = 0.0
    for i in range(theta.size):
        most = max(most, abs(theta[i]))
    square = 0.0
    for i in range(theta.size):
        square += (theta[i] / most) ** 2
    return 1 / (most * np.sqrt(square))


@compiled
def measure_block(s, b):  # type: ignore[no-untyped-def]
    """Centre, radius and second moment of the block's neurons, from its chain."""
    e = s.theta.shape[1]
    s.centre[b] = 0.0
    s.block_moments[b] = 0.0
    j = s.blocks[b].head
    for _ in range(s.blocks[b].size):
        inverse = inverse_norm(s.theta[j])
        for i in range(e):
            s.centre[b, i] += s.theta[j, i] * inverse
            for q in range(e):
                s.block_moments[b, i * e + q] += s.theta[j, i] * s.theta[j, q]
        j = s.chain[j]
    for i in range(e):
        s.centre[b, i] /= s.blocks[b].size
    farthest = 0.0
    j = s.blocks[b].head
    for _ in range(s.blocks[b].size):
        inverse = inverse_norm(s.theta[j])
        distance = 0.0
        for i in range(e):
            distance += (s.theta[j, i] * inverse - s.centre[b, i]) ** 2
        farthest = max(farthest, distance)
        j = s.chain[j]
    # one neuron is its own centre up to rounding, which the margins that are asked for exceed by far
    s.blocks[b].radius = np.sqrt(farthest) if s.blocks[b].size > 1 else 0.0


@compiled
def new_block(s, g, head, size):  # type: ignore[no-untyped-def]
    """A block of the group made of the `size` neurons of the chain from `head` on; counted in the group's moments."""
    b = s.counts[FREE_BLOCK]
    if b >= 0:
        s.counts[FREE_BLOCK] = s.blocks[b].following
    else:
        b = s.counts[BLOCKS]
        s.counts[BLOCKS] = b + 1
    s.blocks[b].group, s.blocks[b].head, s.blocks[b].size = g, head, size
    measure_block(s, b)
    s.blocks[b].preceding, s.blocks[b].following = -1, s.groups[g].first_block
    if s.groups[g].first_block >= 0:
        s.blocks[s.groups[g].first_block].preceding = b
    s.groups[g].first_block = b
    e = s.theta.shape[1]
    for i in range(e * e):
        s.moments[i, g] += s.block_moments[b, i]
    for i in range(e):
        s.groups[g].reference += s.block_moments[b, i * (e + 1)]
    return b


@compiled
def halve_block(s, b):  # type: ignore[no-untyped-def]
    """Cuts a block of at least two neurons in two, and returns the new one; the group's moments stay."""
    g, half = s.blocks[b].group, s.blocks[b].size // 2
    last = s.blocks[b].head
    for _ in range(half - 1):
        last = s.chain[last]
    other = s.counts[FREE_BLOCK]
    if other >= 0:
        s.counts[FREE_BLOCK] = s.blocks[other].following
    else:
        other = s.counts[BLOCKS]
        s.counts[BLOCKS] = other + 1
    s.blocks[other].group, s.blocks[other].head, s.blocks[other].size = g, s.chain[last], s.blocks[b].size - half
    s.chain[last] = -1
    s.blocks[b].size = half
    s.blocks[other].preceding, s.blocks[other].following = b, s.blocks[b].following
    if s.blocks[b].following >= 0:
        s.blocks[s.blocks[b].following].preceding = other
    s.blocks[b].following = other
    measure_block(s, b)
    measure_block(s, other)
    return other


@compiled
def remove_block(s, b):  # type: ignore[no-untyped-def]
    """Takes a block out of its group. The group's moments are what is left; summed afresh when they have halved, so
    that no rounding error of what has left outweighs what stays."""
    g, e = s.blocks[b].group, s.theta.shape[1]
    before, after = s.blocks[b].preceding, s.blocks[b].following
    if before >= 0:
        s.blocks[before].following = after
    else:
        s.groups[g].first_block = after
    if after >= 0:
        s.blocks[after].preceding = before
    s.blocks[b].following = s.counts[FREE_BLOCK]
    s.counts[FREE_BLOCK] = b
    trace = 0.0
    for i in range(e * e):
        s.moments[i, g] -= s.block_moments[b, i]
        if i % (e + 1) == 0:
            trace += s.moments[i, g]
    if trace > 0.5 * s.groups[g].reference and s.groups[g].first_block >= 0:
        return
    for i in range(e * e):
        s.moments[i, g] = 0.0
    other = s.groups[g].first_block
    while other >= 0:
        for i in range(e * e):
            s.moments[i, g] += s.block_moments[other, i]
        other = s.blocks[other].following
        s.clock[WORK] += 5.0
    trace = 0.0
    for i in range(e):
        trace += s.moments[i * (e + 1), g]
    s.groups[g].reference = trace
    if s.groups[g].first_block >= 0:
        if trace < 1e-200:  # what is left is too small for the scale
            s.counts[FULL] = 1
    else:
        if s.patterns[s.groups[g].pattern].newest == g:
            s.patterns[s.groups[g].pattern].newest = -1
        for i in range(e * e):
            s.maps[i, g] = 0.0
        s.groups[g].pattern = 0
        s.groups[g].first_block = s.counts[FREE_GROUP]
        s.counts[FREE_GROUP] = g


@shortened
def least_distance(lines, point):  # type: ignore[no-untyped-def]
    """min_k |<x_k / ||x_k||, w>| for the first d coordinates w of `point`; lines (d, n)."""
    d, n = lines.shape
    least = np.inf
    if d == 2:
        first, second = lines[0], lines[1]
        for k in range(n):
            least = min(least, abs(first[k] * point[0] + second[k] * point[1]))
        return least
    for k in range(n):
        z = 0.0
        for i in range(d):
            z += lines[i, k] * point[i]
        least = min(least, abs(z))
    return least


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
