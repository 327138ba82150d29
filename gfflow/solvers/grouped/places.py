"""Where a neuron belongs: when its gates may change it is looked at, and put into a group, a page or among the loose.

Compiled; the bound that the dates rest on is in sweeps."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.gates import find_near, least_distance, wait_of
from gfflow.solvers.grouped.groups import apply_map, halve_block, join, place_block, remove_block, weights_of
from gfflow.solvers.grouped.pages import drop_empty_page, has_gates, page_with_room, put_into_page, take_from_page
from gfflow.solvers.grouped.patterns import pattern_of, with_gates_closed
from gfflow.solvers.grouped.state import (
    AHEAD,
    GATES,
    INPUTS,
    LOOSE,
    LOOSE_COUNT,
    NEAR,
    NOW,
    PAGE,
    PAGES,
    SLOT,
    SLOTS,
    UNIT,
    WIDTH,
    WORK,
)

PATIENCE = 8.0  # times NEAR, how long a neuron stays in a page before it is looked at
SPREAD = 64.0  # ratio of ||M|| to ||M theta|| beyond which neurons leave for a fresh group


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
        apply_map(s, g, s.centre[b], theta)
        square, norm = 0.0, 0.0
        for i in range(e):
            norm += theta[i] * theta[i]
            for q in range(e):
                square += s.maps[i * e + q, g] ** 2
        length, norm = np.sqrt(square), np.sqrt(norm)
        reach = length * s.blocks[b].radius
        distance = max(least_distance(s.lines[UNIT], theta) - reach, 0.0)
        wait = wait_of(distance, norm + reach)
        s.clock[WORK] += 50.0 + 0.5 * s.planes[INPUTS].size
        if wait > s.clock[NEAR] and length < SPREAD * norm:
            place_block(s, b, wait)
            continue
        if s.blocks[b].size > 1:
            stack[top], stack[top + 1] = b, halve_block(s, b)
            top += 2
            s.clock[WORK] += 10.0 * s.blocks[b].size
            continue
        j, pattern = s.blocks[b].head, s.groups[g].pattern
        weights_of(s, g, j, theta)
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
        if has_gates(s, page, count):
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
