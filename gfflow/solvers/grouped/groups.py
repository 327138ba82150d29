"""Groups of neurons of one pattern, and the blocks in them that wait for their due dates (compiled)."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.gates import inverse_norm
from gfflow.solvers.grouped.state import BLOCKS, CHECKS, FREE_BLOCK, FREE_GROUP, GROUPS, NOW, SLOT, SLOTS, WIDTH, WORK

WORTH = 1.0  # of the clock: how long a group takes newcomers, so that its map is well conditioned


@compiled
def new_group(s, pattern, scale):  # type: ignore[no-untyped-def]
    """An empty group, or -1 where there is no room."""
    g = s.counts[FREE_GROUP]
    if g >= 0:
        s.counts[FREE_GROUP] = s.groups[g].first_block
    else:
        g = s.counts[GROUPS]
        if g >= s.groups.size:
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
def free_block(s):  # type: ignore[no-untyped-def]
    """The number of a block that is not in use. There are always some: a block has at least one neuron."""
    b = s.counts[FREE_BLOCK]
    if b >= 0:
        s.counts[FREE_BLOCK] = s.blocks[b].following
    else:
        b = s.counts[BLOCKS]
        s.counts[BLOCKS] = b + 1
    return b


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
def apply_map(s, g, vector, out):  # type: ignore[no-untyped-def]
    """M times a vector (e,), into `out`, for the map M of group g."""
    e = vector.size
    for i in range(e):
        v = 0.0
        for q in range(e):
            v += s.maps[i * e + q, g] * vector[q]
        out[i] = v


@compiled
def weights_of(s, g, j, out):  # type: ignore[no-untyped-def]
    """The weights (e,) of neuron j of group g as they stand, into `out`."""
    apply_map(s, g, s.theta[j], out)
    for i in range(out.size):
        out[i] *= s.groups[g].scale


@compiled
def new_block(s, g, head, size):  # type: ignore[no-untyped-def]
    """A block of the group made of the `size` neurons of the chain from `head` on; counted in the group's moments."""
    b = free_block(s)
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
    other = free_block(s)
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
    if s.groups[g].first_block < 0:
        if s.patterns[s.groups[g].pattern].newest == g:
            s.patterns[s.groups[g].pattern].newest = -1
        for i in range(e * e):
            s.maps[i, g] = 0.0
        s.groups[g].pattern = 0
        s.groups[g].first_block = s.counts[FREE_GROUP]
        s.counts[FREE_GROUP] = g


@compiled
def place_block(s, b, wait):  # type: ignore[no-untyped-def]
    """Puts the block on the wheel, to be looked at before the clock has advanced by `wait`."""
    slot = min(int((s.clock[NOW] + wait) / s.clock[WIDTH]), s.counts[SLOT] + SLOTS - 2)
    s.blocks[b].in_slot = s.slots[slot % SLOTS]
    s.slots[slot % SLOTS] = b


@compiled
def solve(maps, g, e, theta):  # type: ignore[no-untyped-def]
    """M^-1 theta in place, by elimination with the largest pivots; M well conditioned (see WORTH)."""
    a = np.empty((e, e))
    for i in range(e):
        for q in range(e):
            a[i, q] = maps[i * e + q, g]
    for c in range(e):
        pivot = c
        for i in range(c + 1, e):
            if abs(a[i, c]) > abs(a[pivot, c]):
                pivot = i
        if pivot != c:
            theta[c], theta[pivot] = theta[pivot], theta[c]
            for q in range(e):
                a[c, q], a[pivot, q] = a[pivot, q], a[c, q]
        for i in range(c + 1, e):
            factor = a[i, c] / a[c, c]
            for q in range(c, e):
                a[i, q] -= factor * a[c, q]
            theta[i] -= factor * theta[c]
    for c in range(e - 1, -1, -1):
        for q in range(c + 1, e):
            theta[c] -= a[c, q] * theta[q]
        theta[c] /= a[c, c]


@compiled
def join(s, j, theta, pattern, wait, out):  # type: ignore[no-untyped-def]
    """A neuron far from every gate goes into a group of its pattern; a dead one is done with. False without room."""
    e = theta.size
    if pattern == 0:
        for i in range(e):
            out[j, i] = theta[i]
        return True
    size = 0.0
    for i in range(e):
        size = max(size, abs(theta[i]))
    g = s.patterns[pattern].newest
    if g >= 0 and (s.clock[NOW] > s.groups[g].birth + WORTH or not 1e-100 < size / s.groups[g].scale < 1e100):
        g = -1
    if g < 0:
        g = new_group(s, pattern, 2.0 ** np.floor(np.log2(size)))
        if g < 0:
            return False
    for i in range(e):
        theta[i] /= s.groups[g].scale
    solve(s.maps, g, e, theta)
    for i in range(e):
        s.theta[j, i] = theta[i]
    s.chain[j] = -1
    place_block(s, new_block(s, g, np.int64(j), np.int64(1)), wait)
    s.clock[CHECKS] += 100.0
    return True
