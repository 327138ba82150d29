"""Where a neuron belongs while descent goes by groups: when its gates may change, and what is done then.

Compiled; the state is described in grouping, the bound that the dates rest on in grouped_sweeps."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouping import (
    AHEAD,
    CHECKS,
    FREE_PAGE,
    FULL,
    GATES,
    LOOSE,
    LOOSE_COUNT,
    NEAR,
    NOW,
    PAGE,
    PAGES,
    SLOT,
    SLOTS,
    WIDTH,
    WORK,
    add_pattern,
    find_pattern,
    halve_block,
    inverse_norm,
    least_distance,
    new_block,
    new_group,
    remove_block,
    shortened,
)

PATIENCE = 8.0  # times NEAR, how long a neuron stays in a page before it is looked at
WORTH = 1.0  # of the clock: how long a group takes newcomers, so that its map is well conditioned
SPREAD = 64.0  # ratio of ||M|| to ||M theta|| beyond which neurons leave for a fresh group


@compiled
def wait_of(distance, norm):  # type: ignore[no-untyped-def]
    """How much the clock may advance before a neuron of this norm can have moved by `distance`."""
    return np.log1p(distance / norm) if norm > 0 else 0.0


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


@shortened
def find_distances(sample, lines, theta, distance):  # type: ignore[no-untyped-def]
    """The distances from all gates, and the code of the open ones."""
    d, n = lines.shape[1:]
    code = np.uint64(0)
    zero = np.uint64(0)
    for k in range(n):
        distance[k] = lines[0, 0, k] * theta[0]
    for i in range(1, d):
        for k in range(n):
            distance[k] += lines[0, i, k] * theta[i]
    for k in range(n):
        code ^= zero if distance[k] <= 0 else sample[k].key
        distance[k] = abs(distance[k]) * sample[k].inverse_length
    return code


@compiled
def find_near(s, theta, page):  # type: ignore[no-untyped-def]
    """The near gates, at most GATES, listed in s.room[-1]; how many there are; the waits until the nearest gate and
    until the nearest of the others can be reached; the code. A gate of `page`, if there is one, is near for longer,
    so that no neuron goes to and fro."""
    n = s.sample.size
    norm = 1 / inverse_norm(theta)
    distance = s.distance[0]
    code = find_distances(s.sample, s.lines, theta, distance)
    near = np.expm1(s.clock[NEAR]) * norm
    least, other, count, known = np.inf, np.inf, 0, 0
    for k in range(n):
        v = distance[k]
        least = min(least, v)
        if v > 2 * near:
            other = min(other, v)
            continue
        listed = False
        if page >= 0:
            while known < s.pages[page].gates and s.page_gates[page, known] < k:
                known += 1
            listed = known < s.pages[page].gates and s.page_gates[page, known] == k
        if listed or v <= near:
            if count < GATES:
                s.room[2, count] = k
            count += 1
        else:
            other = min(other, v)
    s.clock[CHECKS] += 100.0 + n * s.planes.shape[2]
    return count, wait_of(least, norm), wait_of(other, norm), code


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
            z += theta[i] * s.planes[0, k, i]
        gates[k] = not z <= 0
    return add_pattern(s, old, gates)


@compiled
def with_gates_closed(s, pattern, count):  # type: ignore[no-untyped-def]
    """The pattern without the `count` gates that find_near has listed; -1 without room."""
    code = s.patterns[pattern].code
    for i in range(count):
        k = int(s.room[2, i])
        if s.gates[pattern, k]:
            code ^= s.sample[k].key
    p = find_pattern(s, code)
    if p >= 0:
        return p
    gates = s.gates[pattern].copy()
    for i in range(count):
        gates[int(s.room[2, i])] = False
    return add_pattern(s, pattern, gates)


@compiled
def page_with_room(s, pattern, count):  # type: ignore[no-untyped-def]
    """A page of the pattern with the `count` gates that find_near has listed; -1 where there is no room for one."""
    page = s.patterns[pattern].page
    while page >= 0:
        same = s.pages[page].gates == count and s.pages[page].size < PAGE
        for i in range(count):
            same = same and s.page_gates[page, i] == int(s.room[2, i])
        if same:
            return page
        page = s.pages[page].next
    free = s.counts[FREE_PAGE]
    if free == 0:
        s.counts[FULL] = 1
        return -1
    s.counts[FREE_PAGE] = free - 1
    page = s.pages[free - 1].free
    own = s.pages[page]
    own.pattern, own.gates, own.size, own.due = pattern, count, 0, np.inf
    for i in range(count):
        s.page_gates[page, i] = int(s.room[2, i])
    own.place, own.next = s.counts[PAGES], s.patterns[pattern].page
    s.pages[s.counts[PAGES]].listed = page
    s.counts[PAGES] += 1
    s.patterns[pattern].page = page
    return page


@compiled
def put_into_page(s, page, j, theta, due, wait):  # type: ignore[no-untyped-def]
    """A neuron into a page that has room."""
    slot = page * PAGE + s.pages[page].size
    for i in range(theta.size):
        s.near[i, slot] = theta[i]
    s.residents[slot].neuron, s.residents[slot].due, s.residents[slot].wait = j, due, wait
    s.pages[page].due = min(s.pages[page].due, due)
    s.pages[page].size += 1


@compiled
def take_from_page(s, page, slot):  # type: ignore[no-untyped-def]
    """Takes a neuron out of its page; the page's last one takes its place."""
    last = page * PAGE + s.pages[page].size - 1
    if slot != last:
        for i in range(s.near.shape[0]):
            s.near[i, slot] = s.near[i, last]
        s.residents[slot] = s.residents[last]
    s.pages[page].size -= 1


@compiled
def drop_empty_page(s, page):  # type: ignore[no-untyped-def]
    """Frees a page in which no neuron is left."""
    pattern = s.pages[page].pattern
    if s.patterns[pattern].page == page:
        s.patterns[pattern].page = s.pages[page].next
    else:
        before = s.patterns[pattern].page
        while s.pages[before].next != page:
            before = s.pages[before].next
        s.pages[before].next = s.pages[page].next
    place, last = s.pages[page].place, s.pages[s.counts[PAGES] - 1].listed
    s.pages[place].listed, s.pages[last].place = last, place
    s.counts[PAGES] -= 1
    s.pages[s.counts[FREE_PAGE]].free = page
    s.counts[FREE_PAGE] += 1


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


@compiled
def settle(s, j, theta, old, out):  # type: ignore[no-untyped-def]
    """Puts a neuron that is in no block and no page where it belongs: into a group, a page or among the loose ones.
    `old` is a pattern it had. False without room: its weights are then where they will be written back to."""
    settled = find_place(s, j, theta, old, out)
    if not settled:
        for i in range(theta.size):
            out[j, i] = theta[i]
    return settled


@compiled
def find_place(s, j, theta, old, out):  # type: ignore[no-untyped-def]
    """`settle` without its last resort."""
    count, first, other, code = find_near(s, theta, np.int64(-1))
    pattern = pattern_of(s, theta, code, old)
    if pattern < 0:
        return False
    near = s.clock[NEAR]
    if pattern == 0 or count == 0:
        return join(s, j, theta, pattern, first, out)
    if count <= GATES:
        closed = with_gates_closed(s, pattern, count)
        page = page_with_room(s, closed, count) if closed >= 0 else closed
        if page < 0:
            return False
        wait = min(other, PATIENCE * near)
        put_into_page(s, page, j, theta, s.clock[NOW] + wait, wait)
        return True
    at = s.counts[LOOSE_COUNT]
    if at == LOOSE:
        s.counts[FULL] = 1
        return False
    for i in range(theta.size):
        s.theta[j, i] = theta[i]
    s.loose[at] = j
    s.counts[LOOSE_COUNT] = at + 1
    return True


@compiled
def look_at_block(s, b, stack, theta, out):  # type: ignore[no-untyped-def]
    """Gives a block its next due date, or halves it, or takes its only neuron out. False without room."""
    e = theta.size
    stack[0], top = b, 1
    while top > 0:
        top -= 1
        b = stack[top]
        g = s.blocks[b].group
        square, norm = 0.0, 0.0
        for i in range(e):
            v = 0.0
            for q in range(e):
                v += s.maps[i * e + q, g] * s.centre[b, q]
                square += s.maps[i * e + q, g] ** 2
            theta[i] = v
            norm += v * v
        length, norm = np.sqrt(square), np.sqrt(norm)
        reach = length * s.blocks[b].radius
        distance = max(least_distance(s.lines[1], theta) - reach, 0.0)
        wait = wait_of(distance, norm + reach)
        s.clock[WORK] += 50.0 + 0.5 * s.planes[1].size
        if wait > s.clock[NEAR] and length < SPREAD * norm:
            place_block(s, b, wait)
            continue
        if s.blocks[b].size > 1:
            stack[top], stack[top + 1] = b, halve_block(s, b)
            top += 2
            s.clock[WORK] += 10.0 * s.blocks[b].size
            continue
        j, pattern, scale = s.blocks[b].head, s.groups[g].pattern, s.groups[g].scale
        for i in range(e):
            v = 0.0
            for q in range(e):
                v += s.maps[i * e + q, g] * s.theta[j, q]
            theta[i] = v * scale
        remove_block(s, b)
        if not settle(s, j, theta, pattern, out):
            return False
    return True


@compiled
def look_at_page(s, page, theta, out):  # type: ignore[no-untyped-def]
    """Every neuron of the page that is due stays, with a new date, or goes where it belongs. False without room."""
    slot = page * PAGE
    soonest = np.inf
    while slot < page * PAGE + s.pages[page].size:
        own = s.residents[slot]
        if own.due > s.clock[AHEAD]:
            soonest = min(soonest, own.due)
            slot += 1
            continue
        for i in range(theta.size):
            theta[i] = s.near[i, slot]
        count, _, other, _ = find_near(s, theta, page)
        same = count == s.pages[page].gates
        for i in range(min(count, GATES)):
            same = same and s.page_gates[page, i] == int(s.room[2, i])
        if same:
            own.wait = min(other, 2 * own.wait)
            own.due = s.clock[NOW] + own.wait
            soonest = min(soonest, own.due)
            slot += 1
            continue
        j = own.neuron
        take_from_page(s, page, slot)
        s.pages[page].due = np.inf
        if not settle(s, j, theta, s.pages[page].pattern, out):
            return False
        soonest = min(soonest, s.pages[page].due)  # it may have come back
    s.pages[page].due = soonest
    return True


@compiled
def look_at_loose(s, theta, out):  # type: ignore[no-untyped-def]
    """Loose neurons that are near one gate only, or none, go where they belong. False without room."""
    count = s.counts[LOOSE_COUNT]
    s.counts[LOOSE_COUNT] = 0
    for at in range(count):
        j = s.loose[at]
        for i in range(theta.size):
            theta[i] = s.theta[j, i]
        if not settle(s, j, theta, np.int64(0), out):
            for rest in range(at + 1, count):  # nothing is lost: all are to be written back
                s.loose[s.counts[LOOSE_COUNT]] = s.loose[rest]
                s.counts[LOOSE_COUNT] += 1
            return False
    return True


@compiled
def look_at_due(s, stack, theta, out):  # type: ignore[no-untyped-def]
    """Looks at all blocks and pages that are due before the clock is at AHEAD. False without room."""
    while s.counts[SLOT] * s.clock[WIDTH] <= s.clock[AHEAD]:
        slot = s.counts[SLOT] % SLOTS
        b = s.slots[slot]
        s.slots[slot] = -1
        s.counts[SLOT] += 1
        while b >= 0:
            after = s.blocks[b].in_slot
            if not look_at_block(s, b, stack, theta, out):
                return False
            b = after
    at = 0
    while at < s.counts[PAGES]:
        page = s.pages[at].listed
        if s.pages[page].due <= s.clock[AHEAD] and not look_at_page(s, page, theta, out):
            return False
        if s.pages[page].size == 0:
            drop_empty_page(s, page)
        else:
            at += 1
    return True
