"""Pages: neurons of one pattern near the same few gates, stepped one by one (compiled)."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.state import FREE_PAGE, GATES, PAGE, PAGES


@compiled
def has_gates(s, page, count):  # type: ignore[no-untyped-def]
    """Whether the page's gates are the `count` that find_near has listed."""
    same = s.pages[page].gates == count
    for i in range(min(count, GATES)):
        same = same and s.page_gates[page, i] == s.near_gates[i]
    return same


@compiled
def page_with_room(s, pattern, count):  # type: ignore[no-untyped-def]
    """A page of the pattern with the `count` gates that find_near has listed; -1 where there is no room for one."""
    page = s.patterns[pattern].page
    while page >= 0:
        if s.pages[page].size < PAGE and has_gates(s, page, count):
            return page
        page = s.pages[page].next
    free = s.counts[FREE_PAGE]
    if free == 0:
        return -1
    s.counts[FREE_PAGE] = free - 1
    page = s.pages[free - 1].free
    own = s.pages[page]
    own.pattern, own.gates, own.size, own.due = pattern, count, 0, np.inf
    for i in range(count):
        s.page_gates[page, i] = s.near_gates[i]
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
