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
