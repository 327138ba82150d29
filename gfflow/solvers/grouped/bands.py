"""Bands: all neurons that chatter on one gate, in strands; when they are formed, looked at and ended (compiled).

A band's strands grow in number by one or two a step (see `strands`), until it is formed afresh.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.gates import inverse_norm, wait_of
from gfflow.solvers.grouped.pages import take_from_page
from gfflow.solvers.grouped.patterns import add_pattern, find_pattern
from gfflow.solvers.grouped.places import SPREAD, settle
from gfflow.solvers.grouped.state import (
    ACROSS,
    AHEAD,
    ALONG,
    ASKED,
    BAND_COUNT,
    CHECKS,
    INPUTS,
    MANY,
    MAP,
    MIDDLE,
    NEAR,
    NOW,
    OPEN,
    PAGE,
    PAGES,
    PULLS,
    UNIT,
    strands_of,
)
from gfflow.solvers.grouped.strands import (
    ROUNDING,
    apply_strand,
    ask_neurons,
    line_of,
    measure_strand,
    new_strand,
    place_of,
    room_of_each,
    unravel,
)

WORTH_ASKING = 0.1  # of the neurons of all bands, how many may be asked a step: more cost what stepping them costs


@compiled
def driven_back(s, closed, gate):  # type: ignore[no-untyped-def]
    """The sign of a for which neurons of the pattern `closed` are driven back to the gate from either side, or 0; and
    by how much at most a step moves <x, w> / a."""
    before, pull = 0.0, 0.0
    for i in range(s.fields.shape[0]):
        before += s.fields[i, closed] * s.planes[INPUTS, gate, i]
        pull += s.planes[PULLS, gate, i] * s.planes[INPUTS, gate, i]
    after = before + pull
    sign = 1.0 if before > 0 > after else -1.0 if before < 0 < after else 0.0
    return sign, max(abs(before), abs(after))


@compiled
def chatters(s, theta, gate, sign, most):  # type: ignore[no-untyped-def]
    """Whether these weights (3,) are as near to the gate as chattering leaves them."""
    z = theta[0] * s.planes[INPUTS, gate, 0] + theta[1] * s.planes[INPUTS, gate, 1]
    return sign * theta[2] > 0 and abs(z) <= 2 * most * abs(theta[2])


@compiled
def find_chatterers(s, closed, gate, who):  # type: ignore[no-untyped-def]
    """How many neurons chatter in the pages of this pattern and gate. Where `who` has room, they leave the pages,
    their numbers for `who` and their weights for s.theta."""
    sign, most = driven_back(s, closed, gate)
    count, theta = 0, np.empty(3)
    page = s.patterns[closed].page if sign != 0 else np.int64(-1)
    while page >= 0:
        slot = page * PAGE
        same = s.pages[page].gates == 1 and s.page_gates[page, 0] == gate
        while same and slot < page * PAGE + s.pages[page].size:
            for i in range(3):
                theta[i] = s.near[i, slot]
            chattering = chatters(s, theta, gate, sign, most)
            count += chattering
            if not chattering or who.size == 0:
                slot += 1
                continue
            who[count - 1] = s.residents[slot].neuron
            s.theta[who[count - 1]] = theta
            take_from_page(s, page, slot)
        page = s.pages[page].next
    return count


@compiled
def settle_all(s, who, old, out):  # type: ignore[no-untyped-def]
    """Settles neurons whose weights are in s.theta. False without room: all are in `out` then."""
    settled, theta = True, np.empty(3)
    for j in who:
        theta[:] = s.theta[j]
        if settled:
            settled = settle(s, j, theta, old, out)
        else:
            out[j] = theta
    return settled


@compiled
def end_strand(s, band, strand, out):  # type: ignore[no-untyped-def]
    """Settles every neuron of a strand. False without room."""
    who = np.empty(s.strand_chains[strand].size, np.int64)
    s.bands[band].neurons -= who.size
    unravel(s, band, strand, who, 0)
    return settle_all(s, who, s.bands[band].closed, out)


@compiled
def end_band(s, band, out):  # type: ignore[no-untyped-def]
    """Settles every neuron of a band. False without room."""
    while s.bands[band].size > 0:
        if not end_strand(s, band, s.bands[band].first + s.bands[band].size - 1, out):
            return False
    return True


@compiled
def gather(s, band, closed, gate):  # type: ignore[no-untyped-def]
    """All neurons of a band and those that chatter in pages, taken from there, their weights into s.theta."""
    own = s.bands[band]
    more = find_chatterers(s, closed, gate, np.empty(0, np.int64))
    count = more
    for strand in range(own.first, own.first + own.size):
        count += s.strand_chains[strand].size
    who = np.empty(count, np.int64)
    if more > 0:
        find_chatterers(s, closed, gate, who)
    while own.size > 0:
        strand = own.first + own.size - 1
        size = s.strand_chains[strand].size
        unravel(s, band, strand, who, more)
        more += size
    return who


@compiled
def sort_chatterers(s, band, who):  # type: ignore[no-untyped-def]
    """Which strand each neuron goes to, by z_j / ||theta_j||, and the largest weight of all; -1 for neurons that
    chatter no more or are so small that their squares may vanish."""
    own, (x0, x1) = s.bands[band], line_of(s, band)
    sign, most = driven_back(s, own.closed, own.gate)
    z, largest, low, high = np.empty(who.size), 0.0, np.inf, -np.inf
    for at in range(who.size):
        v = s.theta[who[at]]
        z[at] = np.inf
        if chatters(s, v, own.gate, sign, most):
            z[at] = (x0 * v[0] + x1 * v[1]) * inverse_norm(v)
            low, high = min(low, z[at]), max(high, z[at])
            largest = max(largest, abs(v[0]), abs(v[1]), abs(v[2]))
    strands, number = np.empty(who.size, np.int64), strands_of(who.size)
    per = number / max(high - low, 1e-300)
    for at in range(who.size):
        v = s.theta[who[at]]
        strands[at] = min(np.int64((z[at] - low) * per), number - 1) if z[at] < np.inf else -1
        if max(abs(v[0]), abs(v[1]), abs(v[2])) <= 1e-100 * largest:
            strands[at] = -1
    return strands, largest


@compiled
def form_band(s, band, closed, gate, out):  # type: ignore[no-untyped-def]
    """Forms a band, new or afresh, of the neurons of this gate that chatter, those of its strands and those in pages.
    False without room."""
    own = s.bands[band]
    if find_pattern(s, s.patterns[closed].code ^ s.sample[gate].key) < 0:
        gates = s.gates[closed].copy()  # the pattern on the other side, so that the clock counts its field too
        gates[gate] = True
        if add_pattern(s, closed, gates) < 0:
            return end_band(s, band, out)
    own.closed, own.gate, own.first = closed, gate, band * room_of_each(s)
    who = gather(s, band, closed, gate)
    strands, largest = sort_chatterers(s, band, who)
    own.scale = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
    own.square, own.due = own.scale**2, s.clock[NOW]
    heads, sizes = np.full(strands_of(who.size), -1, np.int64), np.zeros(strands_of(who.size), np.int64)
    others = 0
    for at in range(who.size):
        j, strand = who[at], strands[at]
        if strand < 0:
            who[others] = j
            others += 1
            continue
        for i in range(3):
            s.theta[j, i] /= own.scale
        s.chain[j] = heads[strand]
        heads[strand] = j
        sizes[strand] += 1
    own.neurons = who.size - others
    for part in range(heads.size):
        if sizes[part] > 0:
            measure_strand(s, band, new_strand(s, band, heads[part], sizes[part]))
    own.formed = own.size
    whole, line = True, line_of(s, band)
    for strand in range(own.first, own.first + own.formed):
        z = line[0] * s.strands[place_of(strand, MIDDLE)] + line[1] * s.strands[place_of(strand, MIDDLE + 1)]
        s.strands[place_of(strand, OPEN)] = 1.0 if z > 0 else 0.0
        if abs(z) <= s.strands[place_of(strand, ALONG)] + 3 * ROUNDING:
            whole = whole and ask_neurons(s, band, strand)
    s.clock[CHECKS] += 50.0 * who.size
    return settle_all(s, who[:others], closed, out) & whole


@compiled
def look_at_bands(s, theta, out):  # type: ignore[no-untyped-def]
    """Gives every band that is due its next due date, until which no neuron can reach a gate but the band's own;
    strands that are near one end. False without room."""
    middle = np.empty(3)
    for band in range(s.counts[BAND_COUNT]):
        own = s.bands[band]
        if own.size == 0 or own.due > s.clock[AHEAD]:
            continue
        soonest, strand = np.inf, own.first + own.size - 1
        while strand >= own.first:
            square, norm, least = 0.0, 0.0, np.inf
            for i in range(3):
                middle[i] = s.strands[place_of(strand, MIDDLE + i)]
            apply_strand(s, strand, middle, theta)
            for i in range(3):
                norm += theta[i] * theta[i]
                for q in range(3):
                    square += s.strands[place_of(strand, MAP + 3 * i + q)] ** 2
            for k in range(s.sample.size):
                if k != own.gate:
                    least = min(least, abs(s.lines[UNIT, 0, k] * theta[0] + s.lines[UNIT, 1, k] * theta[1]))
            length, norm = np.sqrt(square), np.sqrt(norm)
            # all u_j lie within this of their middle
            spread = s.strands[place_of(strand, ALONG)] + 2 * s.strands[place_of(strand, ACROSS)]
            reach = length * spread
            wait = wait_of(max(least - reach, 0.0), norm + reach)
            s.clock[CHECKS] += 50.0 + 0.5 * s.planes[INPUTS].size
            if wait > s.clock[NEAR] and length < SPREAD * norm:
                soonest = min(soonest, wait)
            elif not end_strand(s, band, strand, out):
                return False
            strand -= 1
        own.due = s.clock[NOW] + soonest
    return True


@compiled
def is_first(s, page):  # type: ignore[no-untyped-def]
    """Whether no page before this one, among its pattern's, has the same single gate."""
    other = s.patterns[s.pages[page].pattern].page
    while other != page:
        if s.pages[other].gates == 1 and s.page_gates[other, 0] == s.page_gates[page, 0]:
            return False
        other = s.pages[other].next
    return True


@compiled
def find_band(s, closed, gate):  # type: ignore[no-untyped-def]
    """The band of this pattern and gate, or -1; and one that is not in use, or -1."""
    unused = np.int64(-1)
    for band in range(s.counts[BAND_COUNT]):
        if s.bands[band].size == 0:
            unused = np.int64(band)
        elif s.bands[band].closed == closed and s.bands[band].gate == gate:
            return np.int64(band), unused
    if unused < 0 and s.counts[BAND_COUNT] < s.bands.size:
        unused = s.counts[BAND_COUNT]
    return np.int64(-1), unused


@compiled
def tend_bands(s, steps, direct, out):  # type: ignore[no-untyped-def]
    """Forms bands where many neurons chatter in pages, forms those afresh that have too many strands by now, and
    ends those whose neurons are driven back no more; all, and for good, where they do not pay: `steps` have been done
    since the last call, and `direct` is the cost of one without groups. False without room."""
    together, nobody = 0, np.empty(0, np.int64)
    for band in range(s.counts[BAND_COUNT]):
        own = s.bands[band]
        together += own.neurons
        if own.size == 0:
            continue
        more = find_chatterers(s, own.closed, own.gate, nobody)
        whole = True
        if driven_back(s, own.closed, own.gate)[0] == 0:
            whole = end_band(s, band, out)
        elif own.size > 2 * own.formed or more > max(s.counts[MANY], own.neurons):
            whole = form_band(s, band, own.closed, own.gate, out)
        if not whole:
            return False
    if s.clock[ASKED] > WORTH_ASKING * steps * together and np.isfinite(direct):
        s.counts[MANY] = s.theta.shape[0] + 1
        for band in range(s.counts[BAND_COUNT]):
            if not end_band(s, band, out):
                return False
    s.clock[ASKED] = 0.0
    if s.bands.size == 0:
        return True
    for at in range(s.counts[PAGES]):
        page = s.pages[at].listed
        closed, gate = s.pages[page].pattern, s.page_gates[page, 0]
        if s.pages[page].gates != 1 or not is_first(s, page):
            continue
        known, unused = find_band(s, closed, gate)
        if known >= 0 or unused < 0 or find_chatterers(s, closed, gate, nobody) < s.counts[MANY]:
            continue
        s.counts[BAND_COUNT] = max(s.counts[BAND_COUNT], unused + 1)
        if not form_band(s, unused, closed, gate, out):
            return False
    return True
