"""Strands: neurons in the plane that chatter on one gate, and open and close together (compiled).

The fields on the two sides of such a gate drive the neuron back to it, so that it opens and closes every few steps
for as long as this lasts. Seen along the gate, z_j / a_j moves by one constant where the neuron is open and by
another, of the other sign, where it is closed: an interval that is turned onto itself. Neighbours in
z_j / ||theta_j|| therefore have the same gates for many steps: within K steps there are K + 1 sequences of gates, not
2^K. A **strand** is a set of neighbours that have shared all maps since the band was formed; as of a group
(`sweeps`), their second moment and the product of the maps are all that a step needs of them.

With M that product, g = M^T (x / ||x||, 0), u_j the direction theta_j / ||theta_j|| when the band was formed, mu the
middle of these, and t the unit vector across x,

    |<g, u_j> - <g, mu>| <= |<g, x>| / ||x|| max_j |<x, u_j - mu>| / ||x||
                            + (|<g, t>| + |g_3|) max_j max(|<t, u_j - mu>|, |(u_j - mu)_3|).

Where this leaves it in doubt whether the gate is open, the neurons themselves are asked, and those that do not agree
part.
"""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.gates import inverse_norm
from gfflow.solvers.grouped.state import (
    ACROSS,
    ALONG,
    ASKED,
    BAND_COUNT,
    CHECKS,
    DOUBT,
    LANES,
    MAP,
    MIDDLE,
    MOMENT,
    OPEN,
    PULLS,
    STRAND_ROWS,
    SUMS,
    UNIT,
    shortened,
)

ROUNDING = 1e-15  # of <g, u_j>, relative to the sizes of its terms


@compiled
def place_of(strand, row):  # type: ignore[no-untyped-def]
    """Where the number in this row of a strand's column is in s.strands."""
    return (strand // LANES * STRAND_ROWS + row) * LANES + strand % LANES


@compiled
def apply_strand(s, strand, vector, out):  # type: ignore[no-untyped-def]
    """M times a vector (3,), into `out`, for the strand's map M."""
    for i in range(3):
        v = 0.0
        for q in range(3):
            v += s.strands[place_of(strand, MAP + 3 * i + q)] * vector[q]
        out[i] = v


@compiled
def weights_in_strand(s, band, strand, j, out):  # type: ignore[no-untyped-def]
    """The weights (3,) of neuron j of the strand as they stand, into `out`."""
    apply_strand(s, strand, s.theta[j], out)
    for i in range(3):
        out[i] *= s.bands[band].scale


@compiled
def line_of(s, band):  # type: ignore[no-untyped-def]
    """x / ||x|| of the band's gate."""
    k = s.bands[band].gate
    return s.lines[UNIT, 0, k], s.lines[UNIT, 1, k]


@compiled
def measure_strand(s, band, strand):  # type: ignore[no-untyped-def]
    """Second moment of the strand's neurons, the middle of their directions, and how far they lie from it."""
    x0, x1 = line_of(s, band)
    low, high, moment = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(6)
    j = s.strand_chains[strand].head
    for _ in range(s.strand_chains[strand].size):
        v, at = s.theta[j], 0
        for i in range(3):
            for q in range(i, 3):
                moment[at] += v[i] * v[q]
                at += 1
        inverse = inverse_norm(v)
        along, across, output = (x0 * v[0] + x1 * v[1]) * inverse, (x0 * v[1] - x1 * v[0]) * inverse, v[2] * inverse
        low[0], high[0] = min(low[0], along), max(high[0], along)
        low[1], high[1] = min(low[1], across), max(high[1], across)
        low[2], high[2] = min(low[2], output), max(high[2], output)
        j = s.chain[j]
    for i in range(6):
        s.strands[place_of(strand, MOMENT + i)] = moment[i]
    along, across = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
    s.strands[place_of(strand, MIDDLE)] = x0 * along - x1 * across
    s.strands[place_of(strand, MIDDLE + 1)] = x1 * along + x0 * across
    s.strands[place_of(strand, MIDDLE + 2)] = (low[2] + high[2]) / 2
    s.strands[place_of(strand, ALONG)] = (high[0] - low[0]) / 2
    s.strands[place_of(strand, ACROSS)] = max(high[1] - low[1], high[2] - low[2]) / 2
    s.clock[CHECKS] += 10.0 * s.strand_chains[strand].size


@compiled
def copy_strand(s, strand, other):  # type: ignore[no-untyped-def]
    """Copies all of a strand to the place of another."""
    s.strand_chains[other] = s.strand_chains[strand]
    for row in range(STRAND_ROWS):
        s.strands[place_of(other, row)] = s.strands[place_of(strand, row)]


@compiled
def clear_strand(s, strand):  # type: ignore[no-untyped-def]
    """Makes a place empty: it is swept, and neither adds anything nor is ever in doubt."""
    for row in range(STRAND_ROWS):
        s.strands[place_of(strand, row)] = 0.0


@compiled
def new_strand(s, band, head, size):  # type: ignore[no-untyped-def]
    """A strand of the `size` neurons of the chain from `head` on, with no map yet and not measured; there is room."""
    own = s.bands[band]
    strand = own.first + own.size
    if own.size % LANES == 0:
        for lane in range(LANES):
            clear_strand(s, strand + lane)
    own.size += 1
    for i in range(3):
        s.strands[place_of(strand, MAP + 4 * i)] = 1.0
    s.strand_chains[strand].head, s.strand_chains[strand].size = head, size
    return strand


@compiled
def unravel(s, band, strand, who, at):  # type: ignore[no-untyped-def]
    """Ends a strand, whose place the last one takes: its neurons go into `who` from the place `at` on, their weights
    into s.theta."""
    theta, own = np.empty(3), s.bands[band]
    j = s.strand_chains[strand].head
    for _ in range(s.strand_chains[strand].size):
        weights_in_strand(s, band, strand, j, theta)
        s.theta[j] = theta
        who[at] = j
        at += 1
        j = s.chain[j]
    own.size -= 1
    copy_strand(s, own.first + own.size, strand)
    clear_strand(s, own.first + own.size)


@shortened
def sweep_strands(strands, first, packs, x, field, pull, share):  # type: ignore[no-untyped-def]
    """`share` of a step (1, or 0) of all strands in so many packs from the number `first` on, and which are open
    after it. x (2,) is the gate's direction, `field` (2,) the field where it is closed, `pull` (2,) what it adds.
    Returns the sum of a_j w_j over all neurons and over those that are open, without the strands that are in doubt,
    and how many these are."""
    t0 = t1 = u0 = u1 = doubtful = 0.0
    for pack in range(first, first + packs):
        own = strands[pack * STRAND_ROWS * LANES : (pack + 1) * STRAND_ROWS * LANES]
        for lane in range(LANES):
            w0, w1, w2 = own[lane], own[LANES + lane], own[2 * LANES + lane]
            v0, v1, v2 = own[3 * LANES + lane], own[4 * LANES + lane], own[5 * LANES + lane]
            a0, a1, a2 = own[6 * LANES + lane], own[7 * LANES + lane], own[8 * LANES + lane]
            p = share * (field[0] + own[OPEN * LANES + lane] * pull[0])
            q = share * (field[1] + own[OPEN * LANES + lane] * pull[1])
            b0, b1, b2 = a0 + p * w0 + q * v0, a1 + p * w1 + q * v1, a2 + p * w2 + q * v2
            w0, w1, w2 = w0 + p * a0, w1 + p * a1, w2 + p * a2
            v0, v1, v2 = v0 + q * a0, v1 + q * a1, v2 + q * a2
            own[lane], own[LANES + lane], own[2 * LANES + lane] = w0, w1, w2
            own[3 * LANES + lane], own[4 * LANES + lane], own[5 * LANES + lane] = v0, v1, v2
            own[6 * LANES + lane], own[7 * LANES + lane], own[8 * LANES + lane] = b0, b1, b2
            g0, g1, g2 = x[0] * w0 + x[1] * v0, x[0] * w1 + x[1] * v1, x[0] * w2 + x[1] * v2
            z = g0 * own[MIDDLE * LANES + lane]
            z += g1 * own[(MIDDLE + 1) * LANES + lane] + g2 * own[(MIDDLE + 2) * LANES + lane]
            bound = abs(x[0] * g0 + x[1] * g1) * own[ALONG * LANES + lane]
            bound += (abs(x[0] * g1 - x[1] * g0) + abs(g2)) * own[ACROSS * LANES + lane]
            bound += ROUNDING * (abs(g0) + abs(g1) + abs(g2))
            is_open = 1.0 if z > 0 else 0.0
            doubt = 1.0 if abs(z) < bound else 0.0
            own[OPEN * LANES + lane], own[DOUBT * LANES + lane] = is_open, doubt
            # S, in the rows from MOMENT = 9 on, times the last row of M; S is symmetric
            s00, s01, s02 = own[9 * LANES + lane], own[10 * LANES + lane], own[11 * LANES + lane]
            s11, s12, s22 = own[12 * LANES + lane], own[13 * LANES + lane], own[14 * LANES + lane]
            y0 = s00 * b0 + s01 * b1 + s02 * b2
            y1 = s01 * b0 + s11 * b1 + s12 * b2
            y2 = s02 * b0 + s12 * b1 + s22 * b2
            m0 = (1.0 - doubt) * (w0 * y0 + w1 * y1 + w2 * y2)
            m1 = (1.0 - doubt) * (v0 * y0 + v1 * y1 + v2 * y2)
            t0 += m0
            t1 += m1
            u0 += is_open * m0
            u1 += is_open * m1
            doubtful += doubt
    return t0, t1, u0, u1, doubtful


@compiled
def room_of_each(s):  # type: ignore[no-untyped-def]
    """For how many strands each band has room: those of band b have the places from b times this number on."""
    return s.strand_chains.size // s.bands.size


@compiled
def side_of(g, theta):  # type: ignore[no-untyped-def]
    """1 where <g, theta> > 0, else 0; g and theta (3,)."""
    return 1 if g[0] * theta[0] + g[1] * theta[1] + g[2] * theta[2] > 0 else 0


@compiled
def ask_neurons(s, band, strand):  # type: ignore[no-untyped-def]
    """Finds the side of every neuron of a strand; those that do not agree part. False where there is no room."""
    own, chain, (x0, x1) = s.bands[band], s.strand_chains[strand], line_of(s, band)
    g, heads, sizes = np.empty(3), np.full(2, -1, np.int64), np.zeros(2, np.int64)
    for q in range(3):
        g[q] = x0 * s.strands[place_of(strand, MAP + q)] + x1 * s.strands[place_of(strand, MAP + 3 + q)]
    j = chain.head
    for _ in range(chain.size):
        sizes[side_of(g, s.theta[j])] += 1
        j = s.chain[j]
    s.clock[CHECKS] += 10.0 * chain.size
    s.clock[ASKED] += chain.size
    s.strands[place_of(strand, OPEN)], s.strands[place_of(strand, DOUBT)] = 1.0 if sizes[1] > 0 else 0.0, 0.0
    if sizes[0] == 0 or sizes[1] == 0:
        return True
    if own.size >= room_of_each(s):
        return False
    j = chain.head
    for _ in range(chain.size):
        after, side = s.chain[j], side_of(g, s.theta[j])
        s.chain[j] = heads[side]
        heads[side] = j
        j = after
    other = new_strand(s, band, np.int64(-1), np.int64(0))
    copy_strand(s, strand, other)
    for part, side in ((strand, 0), (other, 1)):
        s.strand_chains[part].head, s.strand_chains[part].size = heads[side], sizes[side]
        s.strands[place_of(part, OPEN)] = side
        measure_strand(s, band, part)
    return True


@compiled
def share_of(s, strand):  # type: ignore[no-untyped-def]
    """The sum of a_j w_j over a strand's neurons."""
    product, b = np.zeros(3), np.empty(3)
    for q in range(3):
        b[q] = s.strands[place_of(strand, MAP + 6 + q)]
    at = MOMENT
    for i in range(3):
        for q in range(i, 3):
            v = s.strands[place_of(strand, at)]
            product[i] += v * b[q]
            if q > i:
                product[q] += v * b[i]
            at += 1
    m0, m1 = 0.0, 0.0
    for q in range(3):
        m0 += s.strands[place_of(strand, MAP + q)] * product[q]
        m1 += s.strands[place_of(strand, MAP + 3 + q)] * product[q]
    return m0, m1


@compiled
def sweep_bands(s, move):  # type: ignore[no-untyped-def]
    """One step of all bands, if `move`, and their share of the totals. False where there is no room for a strand."""
    for band in range(s.counts[BAND_COUNT]):
        own = s.bands[band]
        if own.size == 0:
            continue
        field = s.fields[0, own.closed], s.fields[1, own.closed]
        pull = s.planes[PULLS, own.gate, 0], s.planes[PULLS, own.gate, 1]
        first, packs, share = own.first // LANES, -(-own.size // LANES), 1.0 if move else 0.0
        t0, t1, u0, u1, doubtful = sweep_strands(s.strands, first, packs, line_of(s, band), field, pull, share)
        if doubtful > 0:
            at, end, last = own.first, own.first + own.size, own.first + own.size
            while at < end:
                if s.strands[place_of(at, DOUBT)] > 0:
                    if not ask_neurons(s, band, at):
                        return False
                    last = own.first + own.size
                    m0, m1 = share_of(s, at)
                    is_open = s.strands[place_of(at, OPEN)]
                    t0, t1, u0, u1 = t0 + m0, t1 + m1, u0 + is_open * m0, u1 + is_open * m1
                at += 1
            for strand in range(end, last):  # those that parted are open
                m0, m1 = share_of(s, strand)
                t0, t1, u0, u1 = t0 + m0, t1 + m1, u0 + m0, u1 + m1
        s.total[0, own.closed] += t0 * own.square
        s.total[1, own.closed] += t1 * own.square
        s.planes[SUMS, own.gate, 0] += u0 * own.square
        s.planes[SUMS, own.gate, 1] += u1 * own.square
    return True
